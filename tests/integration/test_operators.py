"""Who asks and why: what every verb makes of a text that PostgreSQL can't store."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest

from jobs import engine
from jobs.engine import JobFilter, Request, bulk, control
from jobs.engine.link import Link
from jobs.engine.operators import LONGEST_REASON
from jobs.errors import InvalidActor, InvalidFilter
from jobs.models import AuditEntry, Job
from jobs.states import ESCALATE
from tests.support.engine import new_job, row, won
from tests.support.rows import make_job

Verb = Callable[..., object]
FUTURE = datetime(2099, 1, 1, tzinfo=UTC)


def in_bulk(job_id: UUID, actor: str, reason: str = "") -> object:
    return bulk.cancel(JobFilter(ids=[job_id]), Request(actor=actor, reason=reason))


VERBS: dict[str, tuple[str, Verb]] = {
    "requeue": ("failed", lambda id_, **who: engine.requeue([id_], **who)),
    "cancel": ("pending", lambda id_, **who: engine.cancel([id_], **who)),
    "request_cancel": ("running", lambda id_, **who: engine.cancel([id_], **who)),
    "boost": ("pending", lambda id_, **who: engine.boost([id_], 5, **who)),
    "set_priority": ("pending", lambda id_, **who: engine.set_priority([id_], "high", **who)),
    "postpone": ("pending", lambda id_, **who: engine.postpone([id_], FUTURE, **who)),
    "escalate": ("failed", lambda id_, **who: control.reclassify([id_], ESCALATE, **who)),
    "bulk": ("pending", in_bulk),
    "audit": ("pending", lambda id_, **who: control.audit("look", ("job", str(id_)), **who)),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_a_text_that_can_not_be_stored_stops_no_verb(link: Link, verb: str, text: str) -> None:
    state, does = VERBS[verb]
    does(make_job(state=state), actor=f"ada {text}", reason=text)
    entries = list(AuditEntry.objects.all())
    assert entries
    for entry in entries:
        assert entry.actor in ("ada a�b", "ada a?b")
        assert entry.detail["reason"] in ("a�b", "a?b")


@pytest.mark.parametrize("verb", [*VERBS, "pause", "resume"])
@pytest.mark.parametrize("actor", ["", " ", None, 5])
def test_nobody_is_refused_and_nothing_is_changed(link: Link, verb: str, actor: str) -> None:
    verbs = {
        **VERBS,
        "pause": ("pending", lambda id_, **who: engine.pause("task", "t", **who)),
        "resume": ("pending", lambda id_, **who: engine.resume("task", "t", **who)),
    }
    state, does = verbs[verb]
    job_id = make_job(state=state)
    before = Job.objects.values().get()
    with pytest.raises(InvalidActor, match="say who asks, as actor='ada'"):
        does(job_id, actor=actor)
    assert Job.objects.values().get() == before
    assert not AuditEntry.objects.exists()


def test_a_pause_keeps_a_name_that_can_be_stored(link: Link) -> None:
    engine.pause("task", "t", actor="ada\x00", reason="why")
    assert set(AuditEntry.objects.values_list("actor", flat=True)) == {"ada�"}
    assert engine.resume("task", "t", actor="ada\x00")


def test_a_long_reason_is_cut(link: Link) -> None:
    engine.cancel([new_job()], actor="ada", reason="x" * 100_000)
    assert len(AuditEntry.objects.get().detail["reason"]) < LONGEST_REASON + 30


def test_a_stray_message_of_an_odd_name_is_on_file(link: Link) -> None:
    control.refuse_message(link, worker="w", task="odd\x00" + "x" * 300, detail="{}")
    assert AuditEntry.objects.get().resource_id.startswith("odd�x")


@pytest.mark.parametrize(
    "given", [{"queue": "\x00"}, {"task": "\ud800"}, {"error": "\ud800"}, {"tags": {"a": "\ud800"}}]
)
def test_a_filter_of_what_no_job_can_hold_is_refused(given: dict) -> None:
    with pytest.raises(InvalidFilter, match="NUL or half a surrogate pair"):
        JobFilter(**given)


def test_a_job_that_runs_is_asked_with_the_reason_that_was_given(link: Link) -> None:
    job_id = new_job()
    won(link, [job_id])
    assert engine.cancel([job_id], actor="ada", reason="\x00").asked == [job_id]
    assert row(job_id).cancel_requested_at is not None
