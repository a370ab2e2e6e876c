"""Properties of the pure decisions."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from jobs.policy import (
    Candidate,
    RetryRule,
    judge_failure,
    nearest,
    place,
    plan_carriers,
    retry_delay,
    seconds_to_wait,
)

SECONDS = st.floats(0, 1e9)
SHARE = st.floats(0, 1)
durations = st.dictionaries(
    st.sampled_from("abcde"), st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), min_size=5
)
fronts = st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=60)


@given(st.integers(1, 10**6), SECONDS, st.floats(1, 100), SECONDS, st.floats(0, 1))
def test_a_retry_waits_at_least_four_fifths_of_its_base_and_never_more_than_six_fifths_of_the_cap(
    retry: int, base: float, factor: float, cap: float, dice: float
) -> None:
    delay = retry_delay(retry, base=base, factor=factor, cap=cap, spread=0.2, dice=dice)
    assert 0.8 * min(base, cap) <= delay * (1 + 1e-9)
    assert delay <= 1.2 * cap * (1 + 1e-9)


@given(st.integers(1, 1000), SECONDS, st.floats(1, 100), SECONDS, st.floats(0, 1))
def test_a_later_retry_never_waits_less(retry: int, base: float, factor: float, cap: float, dice: float) -> None:
    shape = {"base": base, "factor": factor, "cap": cap, "spread": 0.2, "dice": dice}
    assert retry_delay(retry, **shape) <= retry_delay(retry + 1, **shape) * (1 + 1e-9)


@given(fronts, st.integers(-1, 20), durations, st.floats(0, 10), st.integers(1, 50))
def test_carriers_are_the_beginning_of_the_front_in_its_order(front, room, seconds, target, most) -> None:
    jobs = [Candidate(UUID(int=n), task, lost) for n, (task, lost) in enumerate(front)]
    how = {"expected": seconds.get, "target": target, "most": most}
    carriers = plan_carriers(jobs, room, **how)
    planned = [job for carrier in carriers for job in carrier]
    assert planned == jobs[: len(planned)]
    assert sum(place(carrier[0], **how) for carrier in carriers) <= max(0, room)
    assert all(1 <= len(carrier) <= most for carrier in carriers)
    if room > 0 and jobs:
        assert carriers, "where there is room, something leaves"
    for carrier in carriers:
        if len(carrier) > 1:
            assert not any(job.alone or seconds.get(job.task) is None for job in carrier)
            assert sum(max(0.0, seconds[job.task]) for job in carrier) <= target * (1 + 1e-9)


NOW = datetime(2026, 11, 22, tzinfo=UTC)
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.timedeltas(),
    st.binary(max_size=5),
)


@given(anything)
@example(10**5000)
@example("9" * 5000)
@example("Mon, 99 Nov 2026 00:00:00 GMT")
@example("Sun, 22 Nov 99999 00:00:00 GMT")
@example("1 Jan 0001 00:00:00 +2359")
def test_whatever_retry_after_holds_is_a_time_from_now_on_or_refused_as_none(value: object) -> None:
    refusal = None
    try:
        assert seconds_to_wait(value, NOW) >= 0
    except ValueError as problem:
        refusal = str(problem)
    assert refusal is None or refusal.endswith("is no time to wait")


@given(st.timedeltas(timedelta(days=-10_000), timedelta(days=20_000)))
def test_every_way_to_write_a_moment_means_the_same(away: timedelta) -> None:
    moment = (NOW + away).replace(microsecond=0)
    seconds = max(0.0, (moment - NOW).total_seconds())
    for way in (moment, moment - NOW, (moment - NOW).total_seconds(), format_datetime(moment, usegmt=True)):
        assert seconds_to_wait(way, NOW) == seconds
    assert seconds_to_wait(moment.replace(tzinfo=None), NOW) == seconds


rules = st.builds(
    RetryRule, st.floats(0, 1e6), st.floats(1, 100), st.floats(0, 1e6), st.one_of(st.none(), st.integers(0, 20))
)


@given(st.integers(0, 30), rules, st.one_of(st.none(), st.floats(-1e6, 1e6)), st.floats(0, 1e6), SHARE, st.floats(0, 1))
def test_no_retry_is_planned_beyond_its_count_or_its_time_nor_before_what_was_asked(
    retries, rule, left, least, spread, dice
) -> None:
    until = None if left is None else NOW + timedelta(seconds=left)
    delay, why = judge_failure(retries, rule, now=NOW, until=until, least=least, spread=spread, dice=dice)
    if rule.max_retries is not None and retries >= rule.max_retries:
        assert (delay, why) == (None, "")
    elif delay is None:
        assert "retry_for" in why
        assert left is not None
    else:
        assert delay >= least
        assert delay <= max(least, rule.backoff_max * (1 + spread) * (1 + 1e-9))
        assert until is None or NOW + timedelta(seconds=delay) <= until + timedelta(microseconds=1)


KINDS = [Exception, ValueError, UnicodeError, UnicodeDecodeError, OSError, TimeoutError, LookupError, KeyError]


@given(st.sampled_from(KINDS), st.sets(st.sampled_from(KINDS)))
def test_the_rule_of_the_nearest_class_holds(raised: type, named: set) -> None:
    error = raised.__new__(raised)
    found = nearest(error, {kind: kind for kind in named})
    above = [kind for kind in named if issubclass(raised, kind)]
    assert (found is None) == (not above)
    assert all(issubclass(found, kind) for kind in above)
