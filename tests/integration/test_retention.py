"""Retention: what is old leaves in batches, and nothing that is needed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection

from jobs.conf import jobs_settings
from jobs.engine import retention as module
from jobs.engine.link import Link
from jobs.engine.retention import PAUSE, Retention
from jobs.engine.upkeep import BREATH, IDLE, Upkeep
from jobs.models import Attempt, AuditEntry, Chord, Job, Queue
from jobs.states import FINAL, State
from tests.support.clock import Clock
from tests.support.rows import make_attempt, make_job


def ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def sweep(link: Link, clock: Clock | None = None, **settings: int) -> int:
    """One whole pass; returns its steps."""
    retention = Retention(link, replace(jobs_settings(), **settings), clock=clock or Clock())
    steps = 0
    while retention.step():
        steps += 1
    return steps


def left() -> set[UUID]:
    return set(Job.objects.values_list("pk", flat=True))


def letters(count: int, queue: str = "default") -> list[UUID]:
    """Dead letters, the oldest first."""
    return [make_job(state="dead_letter", queue=queue, finished_at=ago(5 - n / 100)) for n in range(count)]


def test_every_end_leaves_in_its_time_and_live_jobs_never(link: Link) -> None:
    kept = {
        make_job(state=state, created_at=ago(100), finished_at=ago(6) if state in FINAL else None) for state in State
    }
    kept.add(make_job(state="dead_letter", finished_at=ago(29)))
    for state in FINAL:
        make_attempt(make_job(state=state, finished_at=ago(31)))
    sweep(link)
    assert left() == kept
    assert not Attempt.objects.exists()


def test_zero_keeps_for_ever(link: Link) -> None:
    for state in FINAL:
        make_job(state=state, finished_at=ago(5000))
    sweep(link, completed_days=0, dead_letter_days=0, dead_letter_cap=0)
    assert len(left()) == len(FINAL)


def test_old_jobs_leave_in_batches_past_those_that_stay(link: Link, monkeypatch) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    stay = {make_job(state="dead_letter", finished_at=ago(20 + n)) for n in range(7)}
    for number in range(8):
        make_job(state="completed", finished_at=ago(10 + number))
    assert sweep(link) >= 5
    assert left() == stay


def test_the_oldest_dead_letters_leave_beyond_the_cap_and_it_is_audited(link: Link, monkeypatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    first, second = letters(7), letters(3, "mail")
    failed = [make_job(state="failed") for _ in range(5)]
    sweep(link, dead_letter_cap=3)
    assert left() == {*first[4:], *second, *failed}
    entries = AuditEntry.objects.filter(action="purge", resource_type="queue", resource_id="default")
    assert sum(entry.detail["jobs"] for entry in entries) == 4
    assert {entry.detail["dead_letter_cap"] for entry in entries} == {3}
    assert not AuditEntry.objects.exclude(resource_id="default").exists()


def test_a_queue_may_say_otherwise(link: Link) -> None:
    Queue.objects.create(name="small", dead_letter_cap=1, dead_letter_days=0)
    Queue.objects.create(name="short", dead_letter_cap=0, dead_letter_days=2)
    Queue.objects.create(name="long", dead_letter_days=2**31 - 1)
    small, short, long = letters(3, "small"), letters(2, "short"), letters(2, "long")
    fresh = make_job(state="dead_letter", queue="short", finished_at=ago(1))
    ancient = make_job(state="dead_letter", queue="long", finished_at=ago(4000))
    sweep(link, dead_letter_cap=100, dead_letter_days=3)
    assert left() == {small[-1], fresh, *long, ancient}
    assert short


def test_members_of_an_open_chord_and_holders_of_a_key_stay(link: Link) -> None:
    chord = uuid4()
    member = make_job(state="completed", finished_at=ago(9), chord=chord)
    body = make_job(state="blocked", after=chord)
    holder = make_job(
        state="completed", finished_at=ago(9), unique_key="k", unique_until=datetime.now(UTC) + timedelta(days=1)
    )
    gone = make_job(state="completed", finished_at=ago(9), chord=uuid4())
    sweep(link)
    assert left() == {member, body, holder}
    assert gone not in left()


def test_keys_are_let_go_in_their_time_and_by_finished_jobs_only(link: Link) -> None:
    late, live = ago(1), make_job(unique_key="a", unique_until=ago(1))
    over = make_job(state="completed", unique_key="b", unique_until=late)
    held = make_job(state="completed", unique_key="c", unique_until=datetime.now(UTC) + timedelta(days=1))
    sweep(link)
    keys = dict(Job.objects.values_list("pk", "unique_key"))
    assert keys == {live: "a", over: None, held: "c"}


def test_chords_without_jobs_are_forgotten_after_a_day(link: Link) -> None:
    old, young, with_member, with_body = (uuid4() for _ in range(4))
    with connection.cursor() as cursor:
        for id_, age in ((old, 2), (young, 0.5), (with_member, 2), (with_body, 2)):
            cursor.execute("INSERT INTO jobs_chord (id, size, created_at) VALUES (%s, 2, %s)", [id_, ago(age)])
    make_job(state="completed", chord=with_member)
    make_job(state="blocked", after=with_body)
    sweep(link)
    assert set(Chord.objects.values_list("pk", flat=True)) == {young, with_member, with_body}


def test_a_pass_is_followed_by_a_pause(link: Link) -> None:
    clock = Clock()
    retention = Retention(link, jobs_settings(), clock=clock)
    while retention.step():
        pass
    old = make_job(state="completed", finished_at=ago(8))
    assert not retention.step()
    assert old in left()
    clock.now += PAUSE + 1
    while retention.step():
        pass
    assert left() == set()


@pytest.fixture
def referring(transactional_db: None):
    """A table of the site's own that refers to jobs."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE site_order (job uuid REFERENCES jobs_job (id))")
        yield lambda job_id: connection.cursor().execute("INSERT INTO site_order VALUES (%s)", [job_id])
        cursor.execute("DROP TABLE site_order")


def test_a_job_to_which_another_table_refers_stays_alone(link: Link, referring: Callable[[UUID], object]) -> None:
    ids = [make_job(state="completed", finished_at=ago(10 - n)) for n in range(3)]
    referring(ids[1])
    sweep(link)
    assert left() == {ids[1]}


def test_upkeep_takes_a_fifth_of_the_time_and_rests_when_there_is_nothing(link: Link) -> None:
    make_job(state="completed", finished_at=ago(10))
    slow = iter([0.0, 0.0, 10.0, 10.0, 10.0, 10.0, 11.0])
    upkeep = Upkeep(link, jobs_settings())
    pauses = []
    while (pause := upkeep.step()) != IDLE:
        pauses.append(pause)
    assert pauses
    assert min(pauses) >= BREATH
    assert left() == set()
    assert slow
