"""Every transition on a job in every state: it moves exactly the jobs that the table says."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection

from jobs import states
from jobs.engine import cancel, requeue
from jobs.engine.chords import release
from jobs.engine.control import reclassify
from jobs.engine.finish import record_one
from jobs.engine.link import Link
from jobs.models import Job, Pause
from jobs.states import End, State, Transition
from tests.support.engine import outcome, row
from tests.support.rows import make_job, make_worker
from tests.support.statements import lost

PAST = datetime.now(UTC) - timedelta(hours=1)
FENCE = UUID("00000000-0000-4000-8000-0000000000fe")


def recording(state: State, end: End) -> Callable[[Link, UUID], object]:
    def record(link: Link, job_id: UUID) -> object:
        delay = 60.0 if state in (State.RETRYING, State.SCHEDULED) else None
        return record_one(link, FENCE, outcome(job_id, state=state, end=end, delay=delay), node="worker@test")

    return record


def lose(link: Link, job_id: UUID) -> object:
    return lost(link, FENCE)


def postponing(move: Transition) -> Callable[[Link, UUID], object]:
    who = {"actor": "ada", "reason": "", "ip": None}
    return lambda link, job_id: link.rows(
        "postpone", ids=[job_id], sources=sorted(move.sources), run_at=PAST - timedelta(1), **who
    )


MAKERS: dict[str, Callable[[Link, UUID], object]] = {
    "promote": lambda link, job_id: link.rows("promote", limit=10, aging_us=0),
    "dispatch": lambda link, job_id: link.rows(
        "dispatch", queue="default", routing_key="jobs.any", ids=[job_id], tokens=[uuid4()], places=None
    ),
    "start": lambda link, job_id: link.rows("start", id=job_id, token=FENCE, started_at=PAST, node="worker@test"),
    "complete": recording(State.COMPLETED, End.COMPLETED),
    "retry": recording(State.RETRYING, End.RETRIED),
    "snooze": recording(State.SCHEDULED, End.RETRIED),
    "fail": recording(State.FAILED, End.FAILED),
    "bury": recording(State.DEAD_LETTER, End.FAILED),
    "stop": recording(State.CANCELLED, End.CANCELLED),
    "return": lose,
    "replace": recording(State.BLOCKED, End.COMPLETED),
    "release": lambda link, job_id: release(link, [complete_chord(job_id)]),
    "release later": lambda link, job_id: release(link, [complete_chord(job_id)]),
    "hold": lambda link, job_id: hold_back(link),
    "resume": lambda link, job_id: link.rows("resume", limit=10),
    "postpone": postponing(states.POSTPONE),
    "postpone retry": postponing(states.POSTPONE_RETRY),
    "cancel": lambda link, job_id: cancel([job_id], actor="ada", running=False),
    "expire": lambda link, job_id: link.rows("expire", limit=10),
    "requeue": lambda link, job_id: requeue([job_id], actor="ada"),
    "reopen": lambda link, job_id: requeue([job_id], actor="ada"),
    "requeue later": lambda link, job_id: requeue([job_id], actor="ada", delays=[60.0]),
    "escalate": lambda link, job_id: reclassify([job_id], states.ESCALATE, actor="ada"),
    "dismiss": lambda link, job_id: reclassify([job_id], states.DISMISS, actor="ada"),
}


def hold_back(link: Link) -> object:
    Pause.objects.create(kind="task", name="tests.support.tasks.add")
    return link.rows("hold", queue="default", limit=10)


IN_TIME = {"after": None, "expires_at": None}
WAITS = {
    "release": {},
    "release later": {"run_at": datetime.now(UTC) + timedelta(hours=1)},
    "reopen": {},
    "postpone": IN_TIME,
    "postpone retry": IN_TIME,
}
"""Transitions of a job that waits for a chord or has not expired, and what else its row says."""


def complete_chord(job_id: UUID) -> UUID:
    """The chord that a job waits for; all its members, none, have completed."""
    chord = row(job_id).after
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO jobs_chord (id, size) VALUES (%s, 0)", [chord])
    return chord


def job_in(state: State, **columns) -> UUID:
    """A job in that state, under the fence if it is leased, whose lease a worker has won."""
    columns = {"expires_at": PAST, "attempt": 1, "max_retries": 5, **columns}
    if state in (State.SCHEDULED, State.RETRYING):
        columns["run_at"] = PAST
    if state not in states.LEASED:
        return make_job(state=state, **columns)
    job_id = make_job(state=state, lease=FENCE, **columns)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_lease (token, queue, routing_key, job_ids, payload, sent_at, worker, won_at)"
            " VALUES (%s, 'default', 'jobs.any', %s, '[]', now(), %s, now())",
            [FENCE, [job_id], make_worker()],
        )
    return job_id


def test_every_transition_is_tried() -> None:
    assert set(MAKERS) == {move.name for move in states.TRANSITIONS}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("move", states.TRANSITIONS, ids=lambda move: move.name)
def test_a_transition_moves_a_job_if_and_only_if_the_table_says_so(link: Link, move: Transition, state: State) -> None:
    waiting = {"after": uuid4(), **WAITS[move.name]} if move.name in WAITS else {}
    job_id = job_in(state, **waiting)
    before = Job.objects.values().get(pk=job_id)
    MAKERS[move.name](link, job_id)
    if state in move.sources:
        assert row(job_id).state == move.target
    else:
        assert Job.objects.values().get(pk=job_id) == before


def test_every_state_can_be_reached_and_only_an_operator_leaves_a_final_one() -> None:
    born = {State.PENDING, State.SCHEDULED, State.BLOCKED}
    assert born | {move.target for move in states.TRANSITIONS} == set(State)
    assert {move.actor for move in states.TRANSITIONS if move.sources & states.FINAL} == {"operator"}
    assert all(any(state in move.sources for move in states.TRANSITIONS) for state in states.LIVE)
