"""The soak's checker finds what was planted, and nothing where nothing is wrong."""

from dataclasses import replace

import pytest

from jobsite.soak.checker import violations
from jobsite.soak.evidence import Row
from jobsite.soak.ledger import Start, Wish

GOOD = Row(state="completed", attempt=1, retries=0, max_retries=0, strikes=0, ends=("completed",))
RAN = Start("a", 1, 100, start=1.0, effect=1.5, end=2.0)


def found(
    *,
    row: Row | None = GOOD,
    starts: tuple[Start, ...] = (RAN,),
    kind: str = "noop",
    outcome: str = "committed",
    leases: int = 0,
) -> list[str]:
    rows = {} if row is None else {"a": row}
    said = violations({"a": Wish(kind, outcome)}, starts, rows, poison_after=3, leases=leases)
    return [violation.kind for violation in said]


def test_a_job_that_ran_once_and_completed_is_no_violation() -> None:
    assert found() == []


def test_a_committed_job_without_a_row_is_lost() -> None:
    assert found(row=None, starts=()) == ["lost"]


def test_a_call_nobody_knows_the_end_of_may_have_no_row() -> None:
    assert found(row=None, starts=(), outcome="unknown") == []
    assert found(outcome="unknown") == []


def test_a_job_of_a_rolled_back_transaction_is_a_ghost() -> None:
    assert found(outcome="rolled_back") == ["ghost"]


def test_what_ran_without_a_row_is_a_ghost() -> None:
    assert found(row=None, outcome="rolled_back") == ["ghost"]


def test_a_row_that_nobody_asked_for_is_a_ghost() -> None:
    assert [v.kind for v in violations({}, [RAN], {"a": GOOD}, poison_after=3)] == ["ghost"]


def test_a_job_that_has_not_ended_is_a_violation() -> None:
    assert found(row=replace(GOOD, state="running", ends=(), attempt=0), starts=()) == ["unfinished"]


AGAIN = Start("a", 2, 101, start=3.0, effect=3.5, end=4.0)
TWICE = replace(GOOD, attempt=2, ends=("completed", "completed"))


def test_two_completed_attempts_are_a_second_commit() -> None:
    assert found(row=TWICE, starts=(RAN, AGAIN)) == ["second commit"]


def test_a_lost_attempt_explains_a_second_run() -> None:
    assert found(row=replace(TWICE, ends=("lost", "completed")), starts=(RAN, AGAIN)) == []


def test_an_overlap_is_explained_by_a_lost_attempt_alone() -> None:
    early = replace(AGAIN, start=1.2)
    assert found(row=replace(TWICE, ends=("lost", "completed")), starts=(RAN, early)) == []
    row = replace(TWICE, retries=1, max_retries=1, ends=("retried", "completed"))
    assert found(row=row, starts=(RAN, early)) == ["unexplained overlap"]
    assert found(row=row, starts=(RAN, AGAIN)) == []


def test_a_start_without_an_attempt_row_is_unexplained() -> None:
    assert found(starts=(RAN, AGAIN)) == ["unexplained start"]


def test_one_attempt_starts_once() -> None:
    assert found(starts=(RAN, replace(RAN, pid=101, start=5.0, end=6.0))) == ["second start"]


def test_a_recorded_attempt_must_have_run_to_its_end() -> None:
    assert found(starts=(replace(RAN, end=None),)) == ["commit without work"]
    assert found(row=replace(GOOD, attempt=2, ends=("lost", "completed")), starts=(AGAIN,)) == []


@pytest.mark.parametrize(
    "row",
    [
        replace(GOOD, retries=2, max_retries=1, attempt=3, ends=("retried", "retried", "completed")),
        replace(GOOD, retries=0, max_retries=1, attempt=2, ends=("retried", "completed")),
    ],
    ids=["more than allowed", "not counted"],
)
def test_retries_are_counted_and_kept_within_their_limit(row: Row) -> None:
    starts = tuple(replace(RAN, attempt=n, start=n, end=n + 0.5) for n in range(1, row.attempt + 1))
    assert found(row=row, starts=starts) == ["retry budget"]


def test_a_task_that_never_succeeds_is_a_dead_letter_and_no_other_is() -> None:
    dead = replace(GOOD, state="dead_letter", ends=("failed",))
    assert found(row=dead, kind="doomed") == []
    assert found(row=dead) == ["wrong end"]
    assert found(kind="doomed") == ["wrong end"]


def test_a_job_lost_too_often_alone_may_be_a_dead_letter() -> None:
    starts = tuple(replace(RAN, attempt=n, start=n, end=None) for n in (1, 2, 3))
    poisoned = replace(GOOD, state="dead_letter", strikes=3, attempt=3, ends=("lost",) * 3)
    assert found(row=poisoned, starts=starts) == []
    assert found(row=replace(poisoned, strikes=2), starts=starts) == ["wrong end", "wrong end"]


def test_an_attempt_that_was_counted_has_a_row() -> None:
    assert found(row=replace(GOOD, attempt=2)) == ["attempts"]


def test_a_lease_that_is_left_is_a_violation() -> None:
    assert found(leases=2) == ["lease left"]


def test_a_job_of_a_second_epoch_was_inserted_twice() -> None:
    assert found(row=replace(GOOD, epoch=2)) == ["second life"]


def test_a_snoozed_start_gives_its_number_back() -> None:
    snoozed = replace(RAN, start=0.1, end=0.5, snoozed=0.4)
    assert found(starts=(snoozed, RAN), kind="snoozing") == []
    assert found(starts=(replace(snoozed, snoozed=None), RAN), kind="snoozing") == ["second start"]
    assert found(starts=(replace(snoozed, end=1.2), RAN), kind="snoozing") == ["unexplained overlap"]


def test_a_job_that_must_not_be_started_twice_ends_with_its_first_loss() -> None:
    lost = replace(GOOD, state="dead_letter", ends=("lost",))
    assert found(row=lost, starts=(replace(RAN, end=None),), kind="once") == []
    twice = replace(GOOD, attempt=2, ends=("lost", "completed"))
    assert found(row=twice, starts=(RAN, AGAIN), kind="once") == ["second start"]
