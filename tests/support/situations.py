"""Jobs in one situation, and the calls that may be made about them at the same moment."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from kombu.utils.json import dumps

from jobs.conf import jobs_settings
from jobs.engine import cancel, requeue
from jobs.engine.chords import RESULTS
from jobs.engine.dispatch import front
from jobs.engine.enqueue import NewJob, enqueue
from jobs.engine.finish import columns_of
from jobs.engine.finish import finish as finish_and_follow
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.states import End, State

from .engine import NODE, lease, new_job, outcome, sweep_chords, won
from .rows import make_job, make_worker

NOW = datetime.now(UTC)
PAST = NOW - timedelta(hours=1)


@dataclass(frozen=True)
class Case:
    """Jobs in one situation, the lease that holds them, if any, and a boot that may win it."""

    jobs: list[UUID]
    token: UUID
    boot: UUID


Op = Callable[[Link, Case], Any]


def claim(link: Link, case: Case) -> int:
    with link.transaction():
        ids = [found.id for found in front(link, "default", limit=5)]
        tokens = [uuid4()] * len(ids)
        return len(link.rows("dispatch", queue="default", routing_key="x", ids=ids, tokens=tokens, places=None))


def take(link: Link, case: Case) -> int:
    return len(link.rows("win", token=case.token, worker=case.boot, node=NODE, receipt=uuid4()))


def start(link: Link, case: Case) -> None:
    link.rows("start", id=case.jobs[0], token=case.token, started_at=NOW, node=NODE)


def progress(link: Link, case: Case) -> None:
    link.rows("progress", id=case.jobs[0], token=case.token, started_at=NOW, node=NODE, progress="1")


def finish(link: Link, case: Case) -> int:
    batch = [outcome(job) for job in reversed(case.jobs)]
    return len(link.rows("finish", **columns_of(batch, token=case.token, node=NODE, done=True)))


def flush(link: Link, case: Case) -> int:
    batch = [outcome(case.jobs[-1])]
    return len(link.rows("finish", **columns_of(batch, token=case.token, node=NODE, done=False)))


def retry(link: Link, case: Case) -> int:
    batch = [outcome(job, state=State.RETRYING, end=End.RETRIED, spent=1) for job in case.jobs]
    return len(link.rows("finish", **columns_of(batch, token=case.token, node=NODE, done=True)))


def give_back(link: Link, case: Case) -> int:
    return len(link.rows("give_back", ids=case.jobs, token=case.token))


def lost(link: Link, case: Case) -> tuple[int, int, int]:
    return lose(link, case.token, jobs_settings(), won=True, begun=None, reason="gone")


def returned(link: Link, case: Case) -> tuple[int, int, int]:
    return lose(link, case.token, jobs_settings(), won=False, begun=None, reason="late")


def cancelled(link: Link, case: Case) -> tuple[int, int]:
    done = cancel(case.jobs[:1], actor="ada")
    return len(done.now), len(done.asked)


def requeued(link: Link, case: Case) -> int:
    return len(requeue(case.jobs, actor="ada"))


def enqueued(link: Link, case: Case) -> None:
    enqueue(NewJob(task="t", id=case.jobs[0]))


def replaced(link: Link, case: Case) -> None:
    enqueue(NewJob(task="t", unique_key="k", on_conflict="replace"))


def counted(link: Link, case: Case) -> int:
    """Its member completes, and with it perhaps the chord."""
    batch = [outcome(case.jobs[0], result="1", in_chord=True)]
    return len(finish_and_follow(link, batch, token=case.token, node=NODE, done=True))


def cancelled_body(link: Link, case: Case) -> tuple[int, int]:
    done = cancel(case.jobs[-1:], actor="ada")
    return len(done.now), len(done.asked)


def judged(link: Link, case: Case) -> None:
    sweep_chords(link)


def promote(link: Link, case: Case) -> int:
    return len(link.rows("promote", limit=10, aging_us=1))


def expire(link: Link, case: Case) -> int:
    return len(link.rows("expire", limit=10))


def pending(link: Link) -> Case:
    return Case([new_job()], uuid4(), make_worker())


def late(link: Link) -> Case:
    return Case([make_job(expires_at=PAST)], uuid4(), make_worker())


def waiting_and_late(link: Link) -> Case:
    job = make_job(state="retrying", run_at=PAST, expires_at=PAST, attempt=1, retries=1)
    return Case([job], uuid4(), make_worker())


def dispatched(link: Link) -> Case:
    jobs = [new_job()]
    return Case(jobs, lease(link, jobs), make_worker())


def two_dispatched(link: Link) -> Case:
    jobs = [new_job(), new_job()]
    return Case(jobs, lease(link, jobs), make_worker())


def running(link: Link) -> Case:
    jobs = [new_job()]
    return Case(jobs, won(link, jobs, worker=(boot := make_worker())), boot)


def two_carried(link: Link) -> Case:
    jobs = [new_job(), new_job()]
    return Case(jobs, won(link, jobs, worker=(boot := make_worker())), boot)


def unwanted(link: Link) -> Case:
    case = running(link)
    cancelled(link, case)
    return case


def holds_a_key(link: Link) -> Case:
    return Case([new_job(task="t", unique_key="k")], uuid4(), make_worker())


def runs_with_a_key(link: Link) -> Case:
    jobs = holds_a_key(link).jobs
    return Case(jobs, won(link, jobs, worker=(boot := make_worker())), boot)


def dispatched_with_a_key(link: Link) -> Case:
    jobs = holds_a_key(link).jobs
    return Case(jobs, lease(link, jobs), make_worker())


def two_carried_with_a_key(link: Link) -> Case:
    jobs = [*holds_a_key(link).jobs, new_job()]
    return Case(jobs, won(link, jobs, worker=(boot := make_worker())), boot)


def one_behind_another_with_its_key(link: Link) -> Case:
    case = runs_with_a_key(link)
    replaced(link, case)
    return case


def last_member_runs(link: Link, *others: str, body: str = "blocked") -> Case:
    """A chord whose first member runs, the others ended, and its body."""
    chord, first = uuid4(), make_job(chord=(id_ := uuid4()))
    members = [first, *(make_job(state=state, chord=id_) for state in others)]
    link.rows("add_chord", id=id_, size=len(members), members=dumps([str(member) for member in members]))
    jobs = [*members, make_job(id=chord, state=body, after=id_, args=[RESULTS])]
    return Case(jobs, won(link, jobs[:1], worker=(boot := make_worker())), boot)


def another_member_failed(link: Link) -> Case:
    return last_member_runs(link, "dead_letter")


def body_failed_with_its_member(link: Link) -> Case:
    return last_member_runs(link, "dead_letter", body="dead_letter")


def over(link: Link) -> Case:
    return Case([make_job(state="dead_letter", attempt=1)], uuid4(), make_worker())
