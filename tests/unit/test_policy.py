"""Decisions without a database: retries and carriers."""

import math
from collections.abc import Container
from uuid import UUID

import pytest

from jobs.policy import Candidate, lull, may_retry, plan_carriers, retry_delay, share_messages


@pytest.mark.parametrize(
    ("retry", "seconds"), [(1, 60), (2, 120), (3, 240), (11, 61_440), (12, 86_400), (10_000, 86_400)]
)
def test_a_retry_waits_a_minute_that_doubles_up_to_a_day(retry: int, seconds: float) -> None:
    assert retry_delay(retry, base=60, factor=2, cap=86_400, spread=0.2, dice=0.5) == pytest.approx(seconds)


def test_jitter_spreads_a_retry_by_a_fifth() -> None:
    ends = [retry_delay(1, base=60, factor=2, cap=86_400, spread=0.2, dice=dice) for dice in (0, 1)]
    assert ends == pytest.approx([48, 72])


@pytest.mark.parametrize(
    ("retries", "limit", "allowed"), [(0, 0, False), (0, 1, True), (3, 3, False), (10**6, None, True)]
)
def test_retries_end_at_their_limit_and_never_without_one(retries: int, limit: int | None, allowed: bool) -> None:
    assert may_retry(retries, limit) is allowed


SECONDS = {"short": 0.001, "medium": 0.02, "slow": 3.0, "odd": -5.0, "broken": math.nan}


def plan(tasks: str, room: int = 10, *, most: int = 200, lost: Container[int] = (), target: float = 0.05) -> list[str]:
    front = [Candidate(UUID(int=n), task, n in lost) for n, task in enumerate(tasks.split())]
    carriers = plan_carriers(front, room, expected=SECONDS.get, target=target, most=most)
    return [" ".join(job.task for job in carrier) for carrier in carriers]


def test_short_jobs_share_carriers_when_there_are_more_of_them_than_room() -> None:
    assert plan("short " * 6, room=2) == ["short short short"] * 2


def test_jobs_travel_alone_while_there_is_room_for_each() -> None:
    assert plan("short short", room=4) == ["short", "short"]


def test_a_slow_an_unknown_and_a_once_lost_job_travel_alone() -> None:
    assert plan("short slow short new short short", room=4, lost=(4,)) == ["short", "slow", "short", "new"]
    assert plan("short short short short", room=3, lost=(1,)) == ["short", "short", "short short"]


@pytest.mark.parametrize("how", [{"most": 1}, {"lost": range(100)}])
def test_short_jobs_that_must_travel_alone_fill_a_place_together(how) -> None:
    assert len(plan("short " * 100, room=2, **how)) == 24, "4 ms each, with their message, in 2 × 50 ms"
    assert len(plan("medium " * 100, room=2, **how)) == 4


@pytest.mark.parametrize(
    ("places", "room", "messages"),
    [
        ([1.0] * 3, 4, ["a", "b", "c"]),
        ([0.25] * 6, 1, ["abcd", "ef"]),
        ([0.1] * 6, 4, ["ab", "cd", "ef"]),
        ([0.1, 1.0, 0.1, 0.1], 1, ["a", "b", "cd"]),
        ([0.01] * 6, 1, ["abcd", "ef"]),
        ([], 1, []),
    ],
)
def test_leases_share_a_message_up_to_a_place_spread_over_the_room(places, room: int, messages: list[str]) -> None:
    assert ["".join(found) for found in share_messages("abcdef"[: len(places)], places, room, 4)] == messages


@pytest.mark.parametrize("tasks", ["slow " * 9, "new " * 9, "broken " * 9])
def test_a_job_that_must_travel_alone_and_is_slow_or_unknown_takes_a_whole_place(tasks: str) -> None:
    assert len(plan(tasks, room=2, most=1)) == 2


def test_without_a_target_every_message_takes_a_whole_place() -> None:
    assert len(plan("short " * 9, room=2, most=1, target=0.0)) == 2


def test_a_carrier_holds_no_more_work_than_the_target() -> None:
    assert plan("medium " * 6, room=2) == ["medium medium", "medium medium"]


def test_a_carrier_holds_no_more_jobs_than_the_most() -> None:
    assert plan("short " * 9, room=2, most=3) == ["short short short"] * 2


def test_a_duration_that_a_jumping_clock_made_counts_as_none_or_as_nothing() -> None:
    assert plan("odd medium medium medium", room=1) == ["odd medium medium"]
    assert plan("broken short", room=1) == ["broken"]


@pytest.mark.parametrize("room", [0, -3])
def test_without_room_nothing_leaves(room: int) -> None:
    assert plan("short", room=room) == []


@pytest.mark.parametrize(
    ("carriers", "seconds"),
    [(["slow"], 2.5), (["slow", "quick quick"], 0.005), (["slow", "new"], 0.0), (["quick", "quick quick"], 0.0025)],
)
def test_the_dispatcher_rests_while_every_slot_has_work_for_four_times_as_long(
    carriers: list[str], seconds: float
) -> None:
    known = {"slow": 10.0, "quick": 0.01}
    planned = [[Candidate(UUID(int=0), task) for task in carrier.split()] for carrier in carriers]
    assert lull(planned, known.get) == pytest.approx(seconds)
