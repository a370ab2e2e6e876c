"""Statistics, as pure functions."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

PERCENTILES = (50, 95, 99)


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank: the smallest of the values that at least so many percent of them do not exceed.

    It is always one of the values; nothing is interpolated. Raises ValueError if there are none.
    """
    if not values or not 0 < percent <= 100:
        raise ValueError(f"{percent} % of {len(values)} values: expected one value at least, and 0 < percent ≤ 100")
    # 99.9 % of 1,000 is 999.0000000000001 in floating point, and still the value of rank 999.
    rank = math.ceil(round(percent * len(values) / 100, 9))
    return sorted(values)[rank - 1]


def spread(values: Sequence[float], *, unit: float = 1000.0, digits: int = 3) -> dict[str, float]:
    """Percentiles and the largest value; seconds become milliseconds."""
    found = {f"p{percent}": round(percentile(values, percent) * unit, digits) for percent in PERCENTILES}
    return {**found, "max": round(max(values) * unit, digits)}


def medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of each number that all repetitions have. Of an even count: the mean of the two in the middle."""
    shared = [name for name in runs[0] if all(_is_number(run.get(name)) for run in runs)] if runs else []
    return {name: round(median(run[name] for run in runs), 3) for name in shared}


def ratio(ours: float, theirs: float) -> float | None:
    """How many times as much; None where there is nothing to compare with."""
    return round(ours / theirs, 2) if theirs > 0 else None


def refusal(jobs: int, *, attempts: int, distinct: int, ended_well: int) -> str | None:
    """Why a rate would not be one of these jobs; None if there is exactly one attempt of each, ended as it should."""
    if attempts == distinct == ended_well == jobs:
        return None
    return f"{attempts} attempts of {distinct} of the {jobs} jobs, {ended_well} of them ended as they should"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
