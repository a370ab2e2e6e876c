"""A cron in plain words, from the numbers that it means: two ways to write the same read the same."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from cron_descriptor import Options, get_description

from .fields import DAY_OF_MONTH, DAY_OF_WEEK, FIELDS, HOUR, Field

FEW = 6
"""Numbers that are listed one by one; more of them, evenly spaced, are told by their steps."""


@lru_cache(maxsize=1024)
def describe(numbers: tuple[tuple[int, ...], ...]) -> str:
    """What the numbers of the five fields (in a crontab's order) say; the times are of 24 hours."""
    line = [_pattern(field, found) for field, found in zip(FIELDS, numbers, strict=True)]
    options = Options()
    # Not as the process's locale has it: what is read in the admin does not depend on where it was started.
    options.locale_code, options.use_24hour_time_format = "en_US", True
    said = get_description(" ".join(line), options)
    if said.startswith("Between "):  # the library's words for minute 0 of each hour of a range
        said = f"Every hour, b{said[1:]}"
    both = line[FIELDS.index(DAY_OF_MONTH)] != "*" and line[FIELDS.index(DAY_OF_WEEK)] != "*"
    return f"{said}; both must match" if both else said


def _pattern(field: Field, numbers: Sequence[int]) -> str:
    """The text of a field that the library says well: it is at a loss with names, and with lists of steps."""
    if len(numbers) == field.size:
        return "*"
    step = _step(numbers)
    if step > 1 and step * len(numbers) == field.size and numbers[0] == field.least:
        return f"*/{step}"
    if step > 1 and len(numbers) > FEW:
        return f"{numbers[0]}-{numbers[-1]}/{step}"
    runs = list(_runs(numbers))
    if len(runs) == 2 and runs[0][0] == field.least and runs[1][-1] == field.most and len(numbers) > 2:
        return f"{runs[1][0]}-{runs[0][-1]}"
    if field is HOUR and len(runs) > 1:
        return ",".join(map(str, numbers))
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def _step(numbers: Sequence[int]) -> int:
    """What lies between each two of them; 0: not always the same."""
    steps = {after - before for before, after in pairwise(numbers)}
    return steps.pop() if len(steps) == 1 else 0


def _runs(numbers: Sequence[int]) -> Iterator[list[int]]:
    run: list[int] = []
    for number in numbers:
        if run and number != run[-1] + 1:
            yield run
            run = []
        run.append(number)
    yield run
