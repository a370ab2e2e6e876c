"""`manage.py jobs list`: the API's list on the command line."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from jobs.search import given
from tests.support.rows import make_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]


def jobs(*arguments: str, terminal: bool = False) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    out, err, code = (Terminal() if terminal else io.StringIO()), io.StringIO(), 0
    try:
        call_command("jobs", "list", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_is_what_the_api_answers(api: Client) -> None:
    for state in ("failed", "completed", "failed"):
        make_job(state=state, queue="mail", tags={"a": "b"})
    code, out, err = jobs("--json", "--status", "failed", "-q", "queue:mail", "--limit", "1")
    assert (code, err) == (0, "")
    assert json.loads(out) | {"jobs": None} == api.get("/api/jobs?status=failed&q=queue:mail&limit=1").json() | {
        "jobs": None
    }
    assert [job["state"] for job in json.loads(out)["jobs"]] == ["failed"]


def test_every_filter_of_the_api_is_an_option() -> None:
    for name in given.FILTERS:
        value = "running" if name in ("status", "state") else "-1h" if "created" in name else "a:b"
        assert jobs(f"--{name.replace('_', '-')}={value}") == (0, jobs("--tag=x")[1], "0 of 0 jobs.\n")


def test_elsewhere_than_on_a_terminal_lines_are_plain_and_aligned() -> None:
    id_ = make_job(state="dead_letter", task="mail.send", name="Weekly", queue="mail", priority=20, max_retries=None)
    code, out, err = jobs()
    heads, line = out.splitlines()
    assert heads.split() == ["state", "task", "queue", "priority", "attempts", "worker", "created", "took", "id"]
    cells = re.split(r" {2,}", line)
    assert cells[:6] == ["dead_letter", "mail.send · Weekly", "mail", "20", "1/∞", "worker@test"]
    assert cells[-1] == str(id_)
    assert (code, err) == (0, "1 of 1 jobs.\n")


def test_a_terminal_shows_a_table_with_whole_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = make_job(task="a.task.with.quite.a.long.name.that.has.no.room.on.a.narrow.terminal")
    for columns in ("80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        assert str(id_) in jobs(terminal=True)[1]


def test_the_next_page_is_a_cursor_away() -> None:
    now = datetime.now(UTC)
    for age in range(3):
        make_job(name=f"job{age}", created_at=now - timedelta(days=age))
    _, out, err = jobs("--limit", "2")
    assert "job1" in out
    assert "job2" not in out
    cursor = re.fullmatch(r"2 of 3 jobs\. The next page: --cursor (\S+)\n", err)
    assert cursor
    assert "job2" in jobs("--limit", "2", "--cursor", cursor[1])[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--status", "faild"), "Did you mean 'failed'?"),
        (("-q", "quue:mail"), "Did you mean 'queue'?"),
        (("--limit", "0"), "expected 1 to 1,000"),
        (("--page", "0"), "expected 1"),
        (("--page", "2", "--offset", "3"), "Give one of offset, page, cursor"),
    ],
)
def test_what_is_not_known_is_a_usage_error(arguments: tuple[str, ...], says: str) -> None:
    code, out, err = jobs(*arguments)
    assert (code, out) == (2, "")
    assert says in err


@pytest.mark.parametrize("terminal", [False, True])
def test_what_a_caller_wrote_does_not_steer_the_terminal(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    make_job(name="\x1b[2Jgone\x07[red]", queue="a\nb")
    _, out, _ = jobs(terminal=terminal)
    assert "\x1b[2J" not in out
    assert "\x07" not in out
    assert "gone�[red]" in out
    assert "a�b" in out


def test_an_error_of_any_length_leaves_a_line_a_line() -> Any:
    make_job(state="failed", error="a\nb" * 1000)
    assert len(jobs()[1].splitlines()) == 2
