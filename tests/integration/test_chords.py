"""Chords: the body runs once, with every member's result in order, or fails once with the reason."""

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError
from celery.result import AsyncResult, GroupResult
from django.db import connection

from jobs.engine import cancel, requeue
from jobs.engine.chords import release
from jobs.engine.link import Link
from jobs.engine.newjob import job_key
from jobs.errors import InvalidJob
from jobs.models import Attempt, Chord, Job
from jobs.states import State
from tests.support.engine import drain, lease, new_job, row, run, run_result, sweep_chords
from tests.support.odd_tasks import (
    SEEN,
    boom,
    constant,
    double,
    echo,
    errback,
    fails_softly,
    nothing,
    patient,
    total,
)
from tests.support.statements import lost
from tests.support.tasks import add, untracked

pytestmark = pytest.mark.usefixtures("odd")


def test_the_body_gets_the_results_of_the_header_in_their_order(link: Link) -> None:
    body = chord([double.s(n) for n in range(12)])(echo.s("end"))
    assert row(job_key(body.id)).state == State.BLOCKED
    for member in reversed(body.parent.results):
        assert row(job_key(body.id)).state == State.BLOCKED
        run_result(link, member)
    assert row(job_key(body.id)).state == State.PENDING, "released by the finish of the last member"
    drain(link)
    assert body.get(timeout=1) == [[[2 * n for n in range(12)], "end"], {}]
    assert (Chord.objects.get().size, Chord.objects.get().done) == (12, 12)


def test_members_that_return_nothing_or_keep_nothing_are_none(link: Link) -> None:
    body = chord([double.s(1), nothing.s(), double.si(3).set(ignore_result=True)])(echo.s())
    drain(link)
    assert body.get(timeout=1) == [[[2, None, None]], {}]


def test_the_body_is_stored_once_and_no_member_carries_it(link: Link) -> None:
    chord([double.s(n) for n in range(5)])(echo.s("x" * 1000))
    carried = Job.objects.exclude(state=State.BLOCKED).values_list("options", flat=True)
    assert len(carried) == 5
    assert all(len(options) < 400 and '"chord": true' in options for options in carried)


def test_a_chord_of_an_empty_header_runs_its_body_with_an_empty_list(link: Link) -> None:
    body = chord([])(echo.s())
    drain(link)
    assert body.get(timeout=1) == [[[]], {}]


def test_an_immutable_body_gets_no_results(link: Link) -> None:
    body = chord([double.s(1), double.s(2)])(constant.si())
    drain(link)
    assert body.get(timeout=1) == 7


def test_a_failing_member_fails_the_body_with_its_reason_and_nobody_runs_it(link: Link) -> None:
    body = chord([double.s(1), boom.s(), double.s(3)])(echo.s().on_error(errback.s()))
    drain(link)
    culprit = Job.objects.get(task=boom.name)
    with pytest.raises(ChordError, match=f"Dependency {culprit.pk} raised ValueError: no luck"):
        AsyncResult(body.id).get(timeout=1)
    failed = row(job_key(body.id))
    assert (failed.state, failed.attempt) == (State.DEAD_LETTER, 1)
    assert [body.id] == SEEN, "the body's errback, and no run of the body"
    assert Attempt.objects.get(job_id=failed.pk).end == "failed"


def test_a_member_that_is_to_be_retried_keeps_the_body_waiting(link: Link) -> None:
    body = chord([double.s(1), patient.s()])(echo.s())
    drain(link)
    assert (body.state, row(job_key(body.id)).state) == ("PENDING", State.BLOCKED)


def test_the_body_of_a_broken_chord_is_not_retried(link: Link, settings) -> None:
    settings.JOBS_DEFAULT_MAX_RETRIES = 3
    body = chord([boom.s().set(max_retries=0)])(patient.si())
    drain(link)
    assert row(job_key(body.id)).state == State.DEAD_LETTER


def test_a_body_that_declares_no_dead_letter_fails_as_such(link: Link) -> None:
    body = chord([boom.s()])(fails_softly.si())
    drain(link)
    assert (row(job_key(body.id)).state, "ChordError" in row(job_key(body.id)).error) == (State.FAILED, True)


def test_a_cancelled_member_fails_the_body(link: Link) -> None:
    body = chord([double.s(1), double.s(2)])(echo.s())
    member = body.parent.results[0]
    member.revoke()
    drain(link)
    assert member.state == "REVOKED"
    with pytest.raises(ChordError, match=f"Dependency {member.id} raised TaskRevokedError: cancelled"):
        AsyncResult(body.id).get(timeout=1)


def test_an_expired_member_fails_the_body(link: Link) -> None:
    body = chord([double.s(1), double.s(2).set(expires=-1)])(echo.s())
    link.rows("expire", limit=10)
    drain(link)
    with pytest.raises(ChordError, match="TaskRevokedError: expired"):
        AsyncResult(body.id).get(timeout=1)


def test_a_cancelled_body_does_not_run(link: Link) -> None:
    body = chord([double.s(1)])(echo.s())
    assert cancel([job_key(body.id)], actor="ada").now == [job_key(body.id)]
    drain(link)
    assert (body.state, SEEN) == ("REVOKED", [])


def test_a_requeued_member_and_then_the_requeued_body_complete_the_chord(link: Link, settings) -> None:
    body = chord([double.s(1), add.s(2, "x")])(echo.s())
    drain(link)
    culprit, waiting = Job.objects.get(task=add.name), job_key(body.id)
    assert (culprit.state, row(waiting).state) == (State.DEAD_LETTER, State.DEAD_LETTER)
    assert requeue([waiting], actor="ada") == [waiting]
    assert row(waiting).state == State.BLOCKED
    drain(link)
    assert row(waiting).state == State.DEAD_LETTER, "judged again: its member has not completed"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET args = '[2, 3]' WHERE id = %s", [culprit.pk])
    requeue([culprit.pk], actor="ada")
    drain(link)
    requeue([waiting], actor="ada")
    drain(link)
    assert (row(waiting).state, AsyncResult(body.id).get(timeout=1)) == (State.COMPLETED, [[[2, 5]], {}])


def test_a_chord_in_a_group_and_a_group_in_a_chain(link: Link) -> None:
    results = group(chord([double.s(1), double.s(2)], total.s()), chain(double.s(1), double.s()))()
    body = (echo.si(0) | group(double.si(1), double.si(2)) | total.s())()
    drain(link)
    assert results.get(timeout=1) == [6, 4]
    assert body.get(timeout=1) == 6


def test_a_chain_and_a_chord_and_a_group_in_a_header(link: Link) -> None:
    body = chord(
        [
            chain(double.s(1), double.s()),
            chord([double.s(1), double.s(2)], total.s()),
            chain(constant.si(), group(double.s(), double.si(1))),
            double.s(50),
        ],
    )(echo.s())
    drain(link)
    assert body.get(timeout=1) == [[[4, 6, [14, 2], 100]], {}]
    assert Chord.objects.filter(size=5, done=5).count() == 1


def test_a_chord_as_body(link: Link) -> None:
    body = chord([double.s(1), double.s(2)])(chord([echo.s(n) for n in range(2)], echo.s("end")))
    drain(link)
    assert body.get(timeout=1) == [[[[[[2, 4], 0], {}], [[[2, 4], 1], {}]], "end"], {}]


def test_a_chain_as_body(link: Link) -> None:
    body = chord([double.s(1), double.s(2)])(chain(total.s(), double.s(), double.s()))
    drain(link)
    assert body.get(timeout=1) == 24


def test_a_group_as_body(link: Link) -> None:
    body = chord([double.s(1), double.s(2)])(group(total.s(), echo.s("b")))
    drain(link)
    assert body.get(timeout=1) == [6, [[[2, 4], "b"], {}]]


def test_a_group_as_body_fails_as_a_whole(link: Link) -> None:
    body = chord([double.s(1), boom.s()])(group(total.s(), echo.s("b")))
    drain(link)
    for result in body.results:
        with pytest.raises(ChordError, match="no luck"):
            AsyncResult(result.id).get(timeout=1)


def test_chords_one_after_the_other(link: Link) -> None:
    body = (group(double.s(n) for n in range(3)) | total.s() | group(add.s(1), add.s(2)) | total.s())()
    drain(link)
    assert body.get(timeout=1) == 6 + 1 + 6 + 2


def test_a_chord_deep_inside_fails_everything_that_waits_for_it(link: Link) -> None:
    inner = chord([double.s(1), boom.s()], total.s())
    outer = chord([inner, double.s(3)])(echo.s())
    drain(link)
    with pytest.raises(ChordError, match=r"Dependency .* raised ChordError: Dependency .* raised ValueError: no luck"):
        AsyncResult(outer.id).get(timeout=1)


def test_the_links_of_a_chord_are_its_bodys(link: Link) -> None:
    good = chord([double.s(1)], total.s())
    good.link(echo.s("linked"))
    good.apply_async()
    chord([boom.s()], total.s()).apply_async(link_error=errback.s())
    drain(link)
    assert SEEN[0] == ((2, "linked"), {})
    assert len(SEEN) == 2, "one callback, one errback"


def test_a_members_callback_is_called_beside_the_count(link: Link) -> None:
    body = chord([double.s(1).set(link=[echo.s("linked")]), double.s(2)])(total.s())
    drain(link)
    assert (body.get(timeout=1), SEEN) == (6, [((2, "linked"), {})])


def test_a_body_with_a_countdown_counts_it_from_its_release(link: Link) -> None:
    body = chord([double.s(1)])(echo.s().set(countdown=3600, expires=7200))
    key = job_key(body.id)
    assert (row(key).state, row(key).run_at, row(key).expires_at) == (State.BLOCKED, None, None)
    drain(link)
    waiting = row(key)
    assert (waiting.state, waiting.args) == (State.SCHEDULED, "[[2]]")
    assert 3590 < (waiting.run_at - waiting.ready_at).total_seconds() <= 3600
    assert 7190 < (waiting.expires_at - waiting.ready_at).total_seconds() <= 7200


def test_results_of_any_kind_arrive_as_they_were(link: Link) -> None:
    values = ["a\"b\\c'd", {"x": ["y", None, True]}, 'x", "y', "%s {} \\1 \\& $1", "é\u2028\U0001f600", 1.5]
    body = chord([echo.s(value) for value in values])(echo.s())
    drain(link)
    assert body.get(timeout=1) == [[[[[value], {}] for value in values]], {}]


def test_what_the_finish_missed_the_sweep_releases(link: Link) -> None:
    body = chord([double.s(1)])(echo.s())
    member = job_key(body.parent.results[0].id)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_chord SET done = -1")
    run(link, member)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_chord SET done = 1")
    assert row(job_key(body.id)).state == State.BLOCKED
    sweep_chords(link)
    assert (row(job_key(body.id)).state, row(job_key(body.id)).args) == (State.PENDING, "[[2]]")


def test_a_body_whose_chord_is_gone_fails(link: Link) -> None:
    body = chord([double.s(1)])(echo.s())
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_chord")
    sweep_chords(link)
    drain(link)
    with pytest.raises(ChordError, match="no longer exists"):
        AsyncResult(body.id).get(timeout=1)


def test_a_stale_outcome_counts_for_nothing(link: Link) -> None:
    body = chord([double.s(1), double.s(2)])(echo.s())
    token = lease(link, [job_key(body.parent.results[0].id)])
    lost(link, token, won=False, begun=0, strike=False)
    drain(link)
    assert Chord.objects.get().done == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: chord([untracked.s("x"), double.s(1)])(echo.s()),
        lambda: chord([double.s(1)])(untracked.s()),
        lambda: chord([chain(double.s(1), untracked.s())])(echo.s()),
    ],
    ids=["member", "body", "last step of a member"],
)
def test_an_untracked_task_in_a_chord_is_refused_and_nothing_is_written(link: Link, call) -> None:
    with pytest.raises(InvalidJob, match="declared track=False: it can't be a member"):
        call()
    assert not Job.objects.exists()
    assert not Chord.objects.exists()


def test_a_chord_with_an_invalid_member_writes_nothing_and_leaves_no_trace(link: Link) -> None:
    with pytest.raises(InvalidJob, match="can't be written as JSON"):
        chord([double.s(1), double.s(object())])(echo.s())
    group(double.s(1), double.s(2))()
    assert (Job.objects.count(), Chord.objects.count()) == (2, 0)


def test_a_chord_is_restored_by_its_group(link: Link) -> None:
    body = chord([double.s(1), double.s(2)])(total.s())
    body.parent.save()
    drain(link)
    assert GroupResult.restore(body.parent.id).join(timeout=1) == [2, 4]


def test_a_unique_job_in_a_chord_is_refused_because_another_may_stand_for_it(link: Link) -> None:
    with pytest.raises(InvalidJob, match="it can't be in a chord"):
        chord([double.s(1).set(unique_key="x")])(echo.s())
    assert not Job.objects.exists()


def test_a_job_that_waits_for_another_job_is_none_of_the_chords_business(link: Link) -> None:
    before, after = new_job(), new_job()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET state = 'blocked', after = %s WHERE id = %s", [before, after])
    sweep_chords(link)
    assert row(after).state == State.BLOCKED


def test_an_incomplete_chord_releases_nobody(link: Link) -> None:
    body = chord([double.s(1), double.s(2)])(echo.s())
    run_result(link, body.parent.results[0])
    assert release(link, [job_key(body.parent.id)]) == 0
    assert row(job_key(body.id)).state == State.BLOCKED


def test_a_failed_member_that_is_called_again_by_its_id_still_counts(link: Link, settings) -> None:
    settings.JOBS_DEFAULT_MAX_RETRIES = 0
    body = chord([double.s(1), boom.s()])(total.s())
    keys = [job_key(member.id) for member in body.parent.results]
    run(link, *keys)
    double.apply_async((4,), task_id=body.parent.results[1].id)
    drain(link)
    assert (row(job_key(body.id)).state, row(job_key(body.id)).args) == (State.COMPLETED, "[[2, 8]]")


def test_a_completed_member_that_is_called_again_by_its_id_is_not_counted_twice(link: Link) -> None:
    body = chord([double.s(1), double.s(2)])(total.s())
    first, second = body.parent.results
    run(link, job_key(first.id))
    double.apply_async((4,), task_id=first.id)
    run(link, job_key(first.id))
    sweep_chords(link)
    assert row(job_key(body.id)).state == State.BLOCKED
    run(link, job_key(second.id))
    assert row(job_key(body.id)).state == State.PENDING
