"""Properties of the pure decisions."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from jobs.policy import Candidate, plan_carriers, retry_delay

SECONDS = st.floats(0, 1e9)
durations = st.dictionaries(
    st.sampled_from("abcde"), st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), min_size=5
)
fronts = st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=60)


@given(st.integers(1, 10**6), SECONDS, st.floats(1, 100), SECONDS, st.floats(0, 1))
def test_a_retry_waits_at_least_four_fifths_of_its_base_and_never_more_than_six_fifths_of_the_cap(
    retry: int, base: float, factor: float, cap: float, jitter: float
) -> None:
    delay = retry_delay(retry, base=base, factor=factor, cap=cap, jitter=jitter)
    assert 0.8 * min(base, cap) <= delay * (1 + 1e-9)
    assert delay <= 1.2 * cap * (1 + 1e-9)


@given(st.integers(1, 1000), SECONDS, st.floats(1, 100), SECONDS, st.floats(0, 1))
def test_a_later_retry_never_waits_less(retry: int, base: float, factor: float, cap: float, jitter: float) -> None:
    first, second = (retry_delay(n, base=base, factor=factor, cap=cap, jitter=jitter) for n in (retry, retry + 1))
    assert first <= second * (1 + 1e-9)


@given(fronts, st.integers(-1, 20), durations, st.floats(0, 10), st.integers(1, 50))
def test_carriers_are_the_beginning_of_the_front_in_its_order(front, room, seconds, target, most) -> None:
    jobs = [Candidate(UUID(int=n), task, lost) for n, (task, lost) in enumerate(front)]
    carriers = plan_carriers(jobs, room, expected=seconds.get, target=target, most=most)
    planned = [job for carrier in carriers for job in carrier]
    assert planned == jobs[: len(planned)]
    assert len(carriers) <= max(0, room)
    assert all(1 <= len(carrier) <= most for carrier in carriers)
    if room > 0 and jobs:
        assert carriers, "where there is room, something leaves"
    for carrier in carriers:
        if len(carrier) > 1:
            assert not any(job.was_lost or seconds.get(job.task) is None for job in carrier)
            assert sum(max(0.0, seconds[job.task]) for job in carrier) <= target * (1 + 1e-9)
