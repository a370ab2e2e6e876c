"""What two ways of looking tell together."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from jobs.search.keys import Key, Stretch, further, merged

A, B, C, D = (Key(datetime(2026, 1, 31, tzinfo=UTC) - timedelta(days=day), UUID(int=day)) for day in range(4))


def test_of_two_that_looked_from_one_place_the_one_that_looked_further_holds() -> None:
    near, far, all_of_it = Stretch([A], B), Stretch([A], C), Stretch([A])
    assert further(near, far) is further(far, near) is far
    assert further(near, all_of_it) is further(all_of_it, far) is all_of_it


def test_live_and_finished_jobs_come_in_one_order() -> None:
    assert merged(Stretch([B, D]), Stretch([A, C]), 9) == Stretch([A, B, C, D])


def test_what_lies_behind_the_place_that_one_of_them_reached_waits_for_the_next_page() -> None:
    """Between it and that place may be more of the other."""
    assert merged(Stretch([A], B), Stretch([B, C]), 9) == Stretch([A, B], B)


def test_a_job_that_both_know_is_shown_once() -> None:
    assert merged(Stretch([A, B]), Stretch([B]), 9) == Stretch([A, B])
