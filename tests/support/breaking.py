"""Broken twins: the engine with one guard taken out, for as long as a test runs.

A guard is found by its text. If the text is no longer there, the twin says so instead of passing.
"""

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

import psycopg
import pytest
from django import db

from jobs.engine import sql
from jobs.engine.link import Link

Scenario = Callable[..., None]
RED = (AssertionError, psycopg.IntegrityError, psycopg.OperationalError, db.IntegrityError)
"""How a scenario fails; the constraints of the tables are the second net below some guards."""


@dataclass(frozen=True)
class Twin:
    """`guard` is cut from a statement (by name) or a function (module or class, name), and `without` put there.

    Every occurrence goes, and of several texts each: what is guarded twice needs both to be gone.
    """

    place: str | tuple[object, str]
    guard: str | tuple[str, ...]
    without: str

    def __str__(self) -> str:
        place = self.place if isinstance(self.place, str) else self.place[1]
        return f"{place}: {' '.join(self.texts[0].split())[:50]} → {self.without[:20]}"

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.guard,) if isinstance(self.guard, str) else self.guard

    def cut(self, text: str) -> str:
        for guard in self.texts:
            assert guard in text, f"{self} is gone or is written otherwise; a guard needs a twin that fails without it"
            text = text.replace(guard, self.without)
        return text

    def apply(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        if isinstance(self.place, str):
            self._break_statement(monkeypatch, folder, self.place)
        else:
            self._break_function(monkeypatch, *self.place)

    def _break_statement(self, monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
        text = sql.statement(name)
        for path in sql.HERE.glob("*.sql"):
            (folder / path.name).write_text(path.read_text())
        (folder / f"{name}.sql").write_text(self.cut(text))
        monkeypatch.setattr(sql, "HERE", folder)
        sql.statement.cache_clear()

    def _break_function(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        whole = inspect.unwrap(getattr(owner, name))
        text = self.cut(textwrap.dedent(inspect.getsource(whole)))
        module = sys.modules[whole.__module__]
        made: dict[str, FunctionType] = {}
        exec(compile(text, f"<without {self.texts[0]}>", "exec", dont_inherit=True), module.__dict__, made)
        monkeypatch.setattr(owner, name, made[name])


def must_fail(scenario: Scenario, *given: object) -> None:
    """Run a scenario that has to turn red."""
    try:
        scenario(*given)
    except RED:
        return
    pytest.fail(f"without its guard nothing fails in {scenario.__name__}")


def proofs(table: dict[Scenario, list[Twin]]) -> tuple[Callable[..., None], Callable[..., None]]:
    """Two tests for a module of scenarios: each holds, and none does with one of its guards taken out."""

    @pytest.mark.parametrize("scenario", table, ids=lambda scenario: scenario.__name__)
    def test_it_holds(link: Link, scenario: Scenario) -> None:
        scenario(link)

    @pytest.mark.parametrize(("scenario", "twin"), twins_of(table))
    def test_it_does_not_without_its_guard(
        link: Link, scenario: Scenario, twin: Twin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        twin.apply(monkeypatch, tmp_path)
        must_fail(scenario, link)

    return test_it_holds, test_it_does_not_without_its_guard


def twins_of(table: dict[Scenario, list[Twin]]) -> list[object]:
    """Every pair of scenario and twin, for `pytest.mark.parametrize`."""
    return [
        pytest.param(scenario, twin, id=f"{scenario.__name__}-{twin}")
        for scenario, twins in table.items()
        for twin in twins
    ]
