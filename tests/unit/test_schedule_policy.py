"""What becomes of due times: overlap, misfires, windows, pauses, ends."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from jobs.states import State
from schedules.policy import AT_ONCE, Decision, Facts, Rules, Verdict, backoff, decide, failures_in_a_row, first_due
from schedules.recurrence import Every, Once
from schedules.states import Decided, Misfire, Overlap

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTELY = Every(60, NOON - timedelta(days=400))
OLD, OTHER = uuid4(), uuid4()


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def look(
    *, due: datetime | None = NOON, now: datetime = NOON, rules: Any = None, recurrence: Any = MINUTELY, **facts: Any
) -> Verdict:
    given = {"since": NOON - timedelta(days=1), **facts}
    how = {name: given.pop(name) for name in ("look",) if name in given}
    return decide(recurrence, Rules(**(rules or {})), Facts(now=now, next_run_at=due, **given), dice=lambda: 0.5, **how)


def said(verdict: Verdict) -> list[tuple]:
    return [(one.state, one.due_at, one.count) for one in verdict.decisions]


def test_a_due_time_is_fired_and_the_next_one_is_known() -> None:
    verdict = look(now=NOON + timedelta(seconds=1))
    assert verdict == Verdict([Decision(state=Decided.FIRED, due_at=NOON)], at(1), is_over=False)


def test_before_its_time_nothing_becomes_of_it() -> None:
    assert look(now=NOON - timedelta(microseconds=1)) == Verdict([], NOON, is_over=False)


def test_a_schedule_that_was_edited_is_due_after_the_edit_only() -> None:
    verdict = look(due=None, now=at(5), since=at(4.5))
    assert said(verdict) == [(Decided.FIRED, at(5), 1)]
    assert look(due=None, now=at(5), since=at(5)) == Verdict([], at(6), is_over=False)


def test_what_was_due_before_an_edit_is_fired_and_then_only_what_is_due_after_it() -> None:
    verdict = look(due=NOON, now=at(10), since=at(8.5), rules={"window": 3600})
    assert said(verdict) == [(Decided.FIRED, NOON, 1), (Decided.FIRED, at(9), 1), (Decided.FIRED, at(10), 1)]


def test_each_due_time_within_the_window_is_on_time() -> None:
    verdict = look(now=at(2), rules={"window": 120, "misfire": Misfire.SKIP})
    assert said(verdict) == [(Decided.FIRED, at(n), 1) for n in range(3)]


def test_many_on_time_are_started_a_part_at_a_look() -> None:
    verdict = look(now=at(500), rules={"window": 86_400})
    assert (len(verdict.decisions), verdict.next_run_at) == (AT_ONCE, at(AT_ONCE))


class TestMisfire:
    def test_skipped_ones_are_one_missed_range(self) -> None:
        verdict = look(now=at(60), rules={"misfire": Misfire.SKIP})
        missed, *fired = verdict.decisions
        assert (missed.state, missed.due_at, missed.last_due_at, missed.count) == (Decided.MISSED, NOON, at(58), 59)
        assert missed.reason == "found more than 60 s late"
        assert [one.due_at for one in fired] == [at(59), at(60)]

    def test_run_once_is_one_run_for_the_whole_range(self) -> None:
        verdict = look(now=at(60), rules={"misfire": Misfire.RUN_ONCE})
        once, *timely = verdict.decisions
        assert (once.state, once.due_at, once.last_due_at, once.count) == (Decided.FIRED, NOON, at(58), 59)
        assert len(timely) == 2

    def test_run_all_runs_the_latest_up_to_the_cap_and_misses_the_others(self) -> None:
        verdict = look(now=at(60), rules={"misfire": Misfire.RUN_ALL, "cap": 10})
        assert said(verdict)[0] == (Decided.MISSED, NOON, 49)
        assert said(verdict)[1:] == [(Decided.FIRED, at(n), 1) for n in range(49, 61)]

    def test_run_all_is_spread(self) -> None:
        now = at(60.5)
        rules = {"misfire": Misfire.RUN_ALL, "cap": 4, "spread": 100, "window": 10}
        runs = [one.run_at for one in look(now=now, rules=rules).decisions if one.state == Decided.FIRED]
        assert runs == [None, *(now + timedelta(seconds=25 * n) for n in (1, 2, 3))]

    @pytest.mark.parametrize("misfire", list(Misfire))
    def test_a_long_backlog_takes_several_looks_and_comes_out_the_same(self, misfire: Misfire) -> None:
        rules = {"misfire": misfire, "cap": 5}
        due: datetime | None = NOON
        decided: list[tuple] = []
        looks = 0
        while due is not None and due <= at(400):
            verdict = look(due=due, now=at(400), rules=rules, look=50)
            assert verdict.next_run_at is None or verdict.next_run_at > due
            due, looks = verdict.next_run_at, looks + 1
            decided += said(verdict)
        assert looks > 7
        assert sum(count for _, _, count in decided) == 401
        ran = [one for one in decided if one[0] == Decided.FIRED]
        assert len(ran) == {Misfire.SKIP: 2, Misfire.RUN_ONCE: 3, Misfire.RUN_ALL: 7}[misfire]


class TestOverlap:
    def test_allowed_it_runs_beside_the_other(self) -> None:
        assert said(look(running=[OLD])) == [(Decided.FIRED, NOON, 1)]

    def test_skip_names_the_job_that_is_in_the_way(self) -> None:
        (one,) = look(running=[OLD], rules={"overlap": Overlap.SKIP}).decisions
        assert (one.state, one.reason) == (Decided.SKIPPED, f"job {OLD} is not over")

    def test_skip_lets_no_two_of_one_look_run_together(self) -> None:
        verdict = look(now=at(1), rules={"overlap": Overlap.SKIP, "window": 600})
        assert said(verdict) == [(Decided.FIRED, NOON, 1), (Decided.SKIPPED, at(1), 1)]
        assert verdict.decisions[1].reason == "the run of 2026-03-01 12:00:00 UTC is not over"

    def test_queue_one_lets_one_wait_and_skips_the_next(self) -> None:
        verdict = look(now=at(1), running=[OLD], rules={"overlap": Overlap.QUEUE_ONE, "window": 600})
        waits, skipped = verdict.decisions
        assert (waits.state, waits.waits_for) == (Decided.WAITING, OLD)
        assert (skipped.state, skipped.reason) == (Decided.SKIPPED, "another run waits already")

    def test_queue_one_skips_while_one_waits(self) -> None:
        verdict = look(running=[OLD], is_waiting=True, rules={"overlap": Overlap.QUEUE_ONE})
        assert said(verdict) == [(Decided.SKIPPED, NOON, 1)]

    def test_the_running_ones_are_cancelled_for_the_latest_due_time(self) -> None:
        verdict = look(now=at(1), running=[OLD, OTHER], rules={"overlap": Overlap.CANCEL_RUNNING, "window": 600})
        assert said(verdict) == [(Decided.SKIPPED, NOON, 1), (Decided.FIRED, at(1), 1)]
        assert verdict.decisions[1].cancels == (OLD, OTHER)


class TestPause:
    HELD = {"paused_until": NOON + timedelta(minutes=30), "paused_why": "paused by ada"}

    def test_what_was_held_is_skipped_with_who_and_one_row(self) -> None:
        verdict = look(now=at(31), rules={"misfire": Misfire.SKIP}, **self.HELD)
        held, *after = verdict.decisions
        assert (held.state, held.count, held.reason) == (Decided.SKIPPED, 30, "paused by ada")
        assert [one.due_at for one in after] == [at(30), at(31)]

    def test_what_was_held_is_run_once_where_the_misfire_policy_says_so(self) -> None:
        verdict = look(now=at(30), rules={"misfire": Misfire.RUN_ONCE}, **self.HELD)
        assert said(verdict) == [(Decided.FIRED, NOON, 30), (Decided.FIRED, at(30), 1)]


class TestEnd:
    def test_a_one_off_is_over_after_its_run(self) -> None:
        verdict = look(recurrence=Once(NOON), rules={"runs_left": 1})
        assert verdict == Verdict([Decision(state=Decided.FIRED, due_at=NOON)], None, is_over=True)

    def test_the_last_run_that_is_left_is_the_last(self) -> None:
        verdict = look(now=at(5), rules={"runs_left": 2, "window": 3600})
        assert (len(verdict.decisions), verdict.is_over) == (2, True)

    def test_without_a_run_left_it_is_over(self) -> None:
        assert look(rules={"runs_left": 0}) == Verdict([], None, is_over=True)

    def test_a_skipped_due_time_spends_no_run(self) -> None:
        assert not look(running=[OLD], rules={"runs_left": 1, "overlap": Overlap.SKIP}).is_over

    def test_at_its_end_it_is_not_due_any_more(self) -> None:
        assert look(rules={"ends_at": NOON}) == Verdict([], None, is_over=True)
        assert look(rules={"ends_at": at(1)}).is_over

    def test_at_its_start_it_is_due(self) -> None:
        assert first_due(MINUTELY, Rules(starts_at=at(7)), NOON) == at(7)


class TestJitter:
    def test_it_moves_the_job_and_not_the_due_time(self) -> None:
        (one,) = look(rules={"jitter": 10}).decisions
        assert (one.due_at, one.run_at) == (NOON, NOON + timedelta(seconds=5))

    def test_what_has_passed_is_at_once(self) -> None:
        (one,) = look(now=NOON + timedelta(seconds=6), rules={"jitter": 10}).decisions
        assert one.run_at is None


@pytest.mark.parametrize(
    ("ends", "count"),
    [
        ([], 0),
        ([State.FAILED, State.DEAD_LETTER, State.COMPLETED, State.FAILED], 2),
        ([None, State.CANCELLED, State.EXPIRED, State.FAILED], 1),
        ([State.COMPLETED, State.FAILED], 0),
    ],
)
def test_failures_in_a_row_end_at_a_success(ends: list[State | None], count: int) -> None:
    assert failures_in_a_row(ends) == count


def test_the_wait_after_errors_doubles_up_to_an_hour() -> None:
    assert [backoff(n) for n in (1, 2, 5, 50)] == [2, 4, 32, 3600]
