"""The summary of a soak, for people."""

from collections import Counter
from collections.abc import Iterator

from .run import Report

SHOWN = 20
"""Violations printed one by one."""


def lines(report: Report) -> Iterator[str]:
    faults = sum(report.faults.values())
    yield ""
    yield f"Soak over {report.broker}, seed {report.seed}: {report.seconds:.0f} s"
    yield f"  jobs        {report.ended:>9,} ended, {report.rate:,.0f} a second"
    yield f"  calls       {report.committed:>9,} committed, {report.rolled_back:,} rolled back, {report.unknown:,} open"
    yield f"  starts      {report.starts:>9,}, {report.reruns:,} of them again; {report.lost_attempts:,} attempts lost"
    yield f"  poisoned    {report.poisoned:>9,} (lost three times while alone: dead letters)"
    yield f"  processes   {report.process_starts:>9,} starts"
    yield f"  faults      {faults:>9,} of {len(report.faults)} kinds"
    for name, count in report.faults.items():
        yield f"    {count:>6}  {name}"
    yield f"  kill cells  {len(report.cells):>9,} hit, {sum(report.cells.values()):,} times"
    for before, seconds in report.recoveries:
        yield f"  restart     95 % of {before:,.0f} jobs/s again after {seconds:.1f} s"
    for shortfall in report.shortfalls:
        yield f"  NOT REACHED {shortfall}"
    yield f"  violations  {len(report.violations):>9,}"
    for kind, count in Counter(violation.kind for violation in report.violations).items():
        yield f"    {count:>6}  {kind}"
    for violation in report.violations[:SHOWN]:
        yield f"    {violation.kind}: {violation.job}: {violation.detail}"
