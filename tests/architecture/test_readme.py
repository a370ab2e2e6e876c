"""What the README says of code, compared with the code."""

import re
from dataclasses import fields
from pathlib import Path

from jobs.conf import JobsSettings
from jobs.states import State, diagram

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def test_the_state_diagram_is_the_transition_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in README


def test_every_state_is_explained() -> None:
    assert set(re.findall(r"^\| ([a-z_]+) \| .* \| [A-Z]+ \|$", README, re.MULTILINE)) == set(State)


def test_the_settings_table_names_every_setting_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `JOBS_([A-Z_]+)` \| `([^`]*)` \|", README, re.MULTILINE))
    assert rows == {field.name.upper(): str(field.default) for field in fields(JobsSettings)}
