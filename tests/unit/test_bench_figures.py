"""What the bench makes of what it saw."""

import os
import runpy
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsite.bench import SITE, Refused
from jobsite.bench.figures import medians, percentile, ratio, refusal, spread
from jobsite.bench.plan import MEASURES, RIVALS, chosen
from jobsite.bench.proc import Cpu, Seen, cpu_seconds, is_postgres, memory_kib
from jobsite.bench.run import COMPARED, ratios
from jobsite.bench.statements import difference, label

NO_PROCESS = 2**22 + 1
"""Above the largest number that Linux gives to a process."""


@pytest.mark.parametrize(
    ("percent", "value"), [(1, 15), (5, 15), (20, 15), (20.1, 20), (30, 20), (40, 20), (50, 35), (99, 50), (100, 50)]
)
def test_a_percentile_is_the_value_of_the_nearest_rank(percent: float, value: int) -> None:
    assert percentile([50, 15, 40, 20, 35], percent) == value


def test_the_99th_percentile_of_a_hundred_values_is_the_last_but_one() -> None:
    assert percentile(range(1, 101), 99) == 99
    assert percentile(range(1, 1001), 99.9) == 999


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1], 0), ([1], 101)])
def test_no_percentile_is_made_of_nothing_or_outside_of_a_hundred(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="expected one value at least, and 0 < percent ≤ 100"):
        percentile(values, percent)


@given(st.lists(st.integers(), min_size=1), st.integers(1, 100))
def test_a_percentile_is_not_exceeded_by_its_share_of_the_values_and_is_the_least_such(
    values: list[int], percent: int
) -> None:
    def share(value: int) -> int:
        return sum(other <= value for other in values) * 100

    found = percentile(values, percent)
    assert share(found) >= percent * len(values)
    assert not any(share(smaller) >= percent * len(values) for smaller in values if smaller < found)


def test_a_spread_is_in_milliseconds_with_the_largest_value() -> None:
    assert spread([0.001, 0.002, 0.003, 0.5]) == {"p50": 2.0, "p95": 500.0, "p99": 500.0, "max": 500.0}


def test_medians_are_of_each_number_by_itself_and_leave_out_what_is_none() -> None:
    runs = [{"a": 1, "b": 9.0, "text": "x", "flag": True}, {"a": 5, "b": 2.0, "text": "y", "flag": True}]
    assert medians([*runs, {"a": 3, "b": 4.0, "text": "z", "flag": False}]) == {"a": 3, "b": 4.0}
    assert medians([{"a": 1}, {"b": 1}]) == {}
    assert medians([]) == {}


def test_a_ratio_with_nothing_is_none() -> None:
    assert ratio(3000.0, 800.0) == 3.75
    assert ratio(1.0, 0.0) is None


def test_a_drain_counts_only_with_one_attempt_of_each_job_that_ended_as_it_should() -> None:
    assert refusal(200, attempts=200, distinct=200, ended_well=200) is None
    for wrong in ({"attempts": 201}, {"distinct": 199}, {"ended_well": 199}):
        counts = {"attempts": 200, "distinct": 200, "ended_well": 200, **wrong}
        assert refusal(200, **counts), wrong
    said = refusal(200, attempts=201, distinct=200, ended_well=199)
    assert said == "201 attempts of 200 of the 200 jobs, 199 of them ended as they should"


def test_ratios_leave_out_what_was_not_measured_or_was_refused() -> None:
    measured = [
        {"name": "noop", "median": {"per_second": 3000.0}},
        {"name": "enqueue", "median": {}},
        {"name": "celery", "median": {"per_second": 750.0, "enqueue_per_second": 1500.0}},
    ]
    assert ratios(measured) == [{"measure": "noop", "rival": "celery", "times": 4.0}]


def test_every_comparison_names_measures_that_there_are() -> None:
    names = {measure.name for measure in MEASURES}
    assert {ours for _, ours, _, _ in COMPARED} <= names
    assert {rival for rival, _, _, _ in COMPARED} == {rival.name for rival in RIVALS}


def test_an_unknown_measure_is_refused_with_the_one_that_was_meant() -> None:
    assert [measure.name for measure in chosen(["noop", "celery"], rivals=False)] == ["noop", "celery"]
    assert [measure.name for measure in chosen([], rivals=False)] == [measure.name for measure in MEASURES]
    assert chosen([], rivals=True) == (*MEASURES, *RIVALS)
    with pytest.raises(Refused, match=r"There is no measure 'nop'\. Did you mean 'noop'\?"):
        chosen(["nop"], rivals=False)


def test_statements_are_told_by_the_name_in_their_first_line_and_by_what_they_took_since() -> None:
    before = {1: ("-- finish: record", 10, 5.0), 2: ("SELECT 1", 3, 1.0)}
    after = {1: ("-- finish: record", 15, 9.0), 2: ("SELECT 1", 3, 1.0), 3: ("UPDATE\n  jobs_job SET x", 1, 0.5)}
    assert difference(before, after, 100) == [
        {"statement": "finish", "calls": 5, "ms": 4.0, "us_per_job": 40.0},
        {"statement": "UPDATE jobs_job SET x", "calls": 1, "ms": 0.5, "us_per_job": 5.0},
    ]
    assert label("SELECT '-- no: name'") == "SELECT '-- no: name'"


def test_the_cpu_of_a_role_counts_a_process_that_came_later_from_its_birth() -> None:
    here, later = Seen("worker", os.getpid()), Seen("child", os.getppid())
    cpu = Cpu()
    cpu.start([here])
    before = cpu_seconds(os.getpid())
    assert before is not None
    while (now := cpu_seconds(os.getpid())) is not None and now < before + 0.03:
        pass
    cpu.look([here, later, Seen("child", NO_PROCESS)])
    assert 0.03 <= cpu.used()["worker"] < 10
    assert cpu.used()["child"] == pytest.approx(cpu_seconds(os.getppid()), abs=0.5)


def test_a_process_that_has_ended_has_no_cpu_and_no_memory() -> None:
    assert cpu_seconds(NO_PROCESS) is None
    assert memory_kib(NO_PROCESS) is None
    assert not is_postgres(NO_PROCESS)
    assert not is_postgres(os.getpid())
    mine = memory_kib(os.getpid())
    assert mine is not None
    assert mine["rss_kib"] >= mine["pss_kib"] > 1000


def test_the_bench_never_works_on_the_installations_own_database(monkeypatch: pytest.MonkeyPatch) -> None:
    site = ModuleType("a_site")
    site.INSTALLED_APPS = ["jobs"]
    site.DATABASE_DIRECT_URL = site.DATABASE_URL = "postgresql://root@127.0.0.1/production"
    site.DATABASES = {"default": {"NAME": "production"}, "other": {"NAME": "production"}}
    site.DATABASE_ROUTERS = ["a_site.Router"]
    site.CELERY_BROKER_URL = "redis://production"
    monkeypatch.setitem(sys.modules, "a_site", site)
    monkeypatch.setenv(SITE, "a_site")
    monkeypatch.setenv("DATABASE_URL", "postgresql://root@127.0.0.1/jobsite_bench")
    monkeypatch.setenv("BROKER_URL", "redis://scratch")
    found = runpy.run_module("jobsite.bench.settings")
    assert found["DATABASES"].keys() == {"default"}
    assert found["DATABASES"]["default"]["NAME"] == "jobsite_bench"
    assert found["DATABASE_DIRECT_URL"] is None
    assert found["DATABASE_ROUTERS"] == []
    assert found["CELERY_BROKER_URL"] == "redis://scratch"
    assert found["INSTALLED_APPS"] == ["jobs", "jobsite.bench"]
