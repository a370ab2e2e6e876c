"""Why a job is not running, from given facts."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.reasons import COUNTED, Facts, Paused, reasons
from jobs.states import State

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(seconds=90)
PAUSED = (Paused(kind="queue", what="mail", at=NOW),)
AT_WORK = {"dispatchers": 1, "workers": 1, "slots": 4}


def of(state: str = "pending", **known: object) -> list[str]:
    return [reason.code for reason in reasons(Facts(now=NOW, state=State(state), queue="mail", **known))]


def said(state: str = "pending", **known: object) -> str:
    first = reasons(Facts(now=NOW, state=State(state), queue="mail", **known))[0]
    return f"{first.text} {first.advice}".strip()


def test_everything_that_holds_a_waiting_job_up_comes_in_order() -> None:
    known = {"expires_at": SOON, "pauses": PAUSED, "ahead": 3, "carriers": 8, "slots": 4, "workers": 1}
    assert of(**known) == ["expires_soon", "paused", "no_dispatcher", "no_room", "outranked"]
    assert of("scheduled", run_at=SOON, pauses=PAUSED) == ["not_due", "paused", "no_dispatcher", "no_worker"]
    assert of("retrying", run_at=SOON, **AT_WORK) == ["retrying"]
    assert of("blocked", waits_for="x", members_left=1, **AT_WORK) == ["blocked"]


def test_a_job_that_nothing_holds_up_is_next() -> None:
    assert of(**AT_WORK) == ["next"]
    assert of("scheduled", run_at=NOW - timedelta(seconds=1), **AT_WORK) == ["next"]


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"state": "scheduled", "run_at": SOON}, "It is scheduled for 2026-01-01 12:01:30 UTC, 90 s from now."),
        (
            {"state": "retrying", "run_at": NOW + timedelta(hours=2), "attempt": 2, "error": "ValueError: no\nmore"},
            "Attempt 2 failed (ValueError: no); it runs again at 2026-01-01 14:00:00 UTC, 2 h 0 min from now.",
        ),
        ({"expires_at": SOON}, "It expires at 2026-01-01 12:01:30 UTC unless it starts before. Boost it"),
        (
            {"pauses": (Paused(kind="queue", what="mail", at=NOW, by="ada", reason="SMTP is down"),)},
            "Its queue mail was paused by ada at 2026-01-01 12:00:00 UTC: SMTP is down. Resume it: "
            "`python3 manage.py jobs resume queue mail`.",
        ),
        (
            {"pauses": (Paused(kind="tag", what="of=a b", at=NOW, until=SOON),), "state": "paused"},
            "Its tag of=a b was paused at 2026-01-01 12:00:00 UTC until 2026-01-01 12:01:30 UTC, without a reason. "
            "Resume it: `python3 manage.py jobs resume tag 'of=a b'`.",
        ),
        ({"state": "paused"}, "is not paused any more"),
        ({"pauses": PAUSED}, "was paused at 2026-01-01 12:00:00 UTC, without a reason."),
        ({"state": "blocked"}, "It waits for jobs that are gone. Cancel it"),
        ({"state": "blocked", "waits_for": "the chord c", "members_left": 2}, "the chord c: 2 jobs left to complete."),
        (
            {"state": "blocked", "waits_for": "the chord c", "members_left": 2, "members_failed": 1},
            "1 of its jobs did not complete. Requeue those that failed",
        ),
        ({}, "No dispatcher is at work. Start `python3 manage.py dispatch`"),
        ({"dispatchers": 1}, "No live worker serves its queue mail. Start `celery -A jobsite worker`"),
        ({**AT_WORK, "carriers": 8}, "Every worker is busy: 8 leases are out for 4 slots."),
        ({**AT_WORK, "ahead": 1}, "It is outranked by 1 job of its queue. Boost it"),
        ({**AT_WORK, "ahead": COUNTED + 1}, "outranked by more than 10,000 jobs"),
        ({"state": "dispatched", "sent_at": NOW}, "went to the broker at 2026-01-01 12:00:00 UTC and no worker has"),
        ({"state": "dispatched"}, "It is on its way to a worker."),
        ({"state": "dispatched", "worker": "w@x"}, "It runs on w@x."),
        ({"state": "running", "is_lease_gone": True}, "Its lease is gone, so nobody would notice the loss of its"),
        ({"state": "running", "worker": "w@x", "started_at": NOW}, "It runs on w@x since 2026-01-01 12:00:00 UTC."),
        ({"state": "running", "cancel_requested_at": NOW}, "asked at 2026-01-01 12:00:00 UTC to stop it."),
        ({"state": "completed", "finished_at": NOW}, "It completed at 2026-01-01 12:00:00 UTC."),
        ({"state": "dead_letter", "attempt": 4, "error": "E: x"}, "It failed for good, after 4 attempts: E: x. Mend"),
        ({"state": "failed"}, "jobs retry ID"),
        ({"state": "cancelled", "error": "cancelled before it started"}, "It was cancelled: cancelled before it"),
        ({"state": "expired"}, "nobody started it in time. Requeue it"),
    ],
)
def test_each_reason_says_what_is_and_what_to_do(known: dict, says: str) -> None:
    assert says in said(**known)


def test_no_room_is_no_reason_of_a_job_that_is_not_pending_and_none_ahead_of_one_in_a_hurry() -> None:
    assert of("retrying", run_at=NOW, **AT_WORK, carriers=100, ahead=5) == ["next"]
    assert of(**AT_WORK, carriers=7) == ["next"]
    assert of(**AT_WORK, expires_at=NOW + timedelta(hours=1)) == ["next"]
