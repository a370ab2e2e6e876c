"""One soak from its start to its verdict."""

import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import ledger
from .checker import violations
from .evidence import Violation
from .messages import Messages
from .nemesis import CALM, QUIET_BEFORE, Nemesis
from .observer import Observer, rate, recovery
from .scene import Scene
from .site import QUICK, Site, check_broker

TICK = 0.1
DRAIN = 180.0
"""Seconds that everything has to end in, once nothing is wrong any more."""
POISON_AFTER = int(QUICK["JOBS_POISON_AFTER"])
BACKLOG = 2_000
"""Jobs that wait at any time, at most and about."""
WARM = 100
"""Jobs that have ended before the first fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    minutes: float
    seed: int
    jobs: int | None = None
    faults: int | None = None
    broker: str | None = None
    pace: float = 4.0
    """Mean seconds from one fault to the next."""
    measured: int = 0
    """Restarts of the database with nothing else going on, after which the rate is measured."""
    keep: bool = False
    """Leave the directory with logs and ledger."""


@dataclass(kw_only=True, slots=True)
class Report:
    seed: int
    broker: str
    queues: list[str]
    seconds: float
    committed: int
    rolled_back: int
    unknown: int
    ended: int
    starts: int
    reruns: int
    lost_attempts: int
    poisoned: int
    faults: dict[str, int]
    cells: dict[str, int]
    process_starts: int
    rate: float
    recoveries: list[tuple[float, float]]
    """(jobs a second before, seconds until 95 % of it) of each measured restart of the database."""
    shortfalls: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


def soak(options: Options, say: Callable[[str], None]) -> Report:
    """Run it. Raises EngineError for what keeps it from starting."""
    if options.broker:
        check_broker(options.broker)
    home = Path(tempfile.mkdtemp(prefix="jobsite-soak-"))
    backlog = min(BACKLOG, options.jobs // 4) if options.jobs else BACKLOG
    site = Site(home, options.seed, options.broker, backlog=backlog)
    say(f"files are in {home}")
    dice = random.Random(options.seed)
    messages = Messages(site.broker_url, site.queues, dice)
    keep = options.keep
    try:
        site.start()
        report = Soak(options, site, messages, dice, say).run()
        keep = keep or bool(report.violations)
        return report
    finally:
        site.heal_quietly()
        site.processes.stop(*site.fleet)
        messages.close()
        site.processes.stop()
        if not keep:
            shutil.rmtree(home, ignore_errors=True)


class Soak:
    def __init__(
        self, options: Options, site: Site, messages: Messages, dice: random.Random, say: Callable[[str], None]
    ) -> None:
        self._options = options
        self._site = site
        self._tell = say
        self._observer = Observer(site.database_url)
        self._messages = messages
        self._nemesis = Nemesis(Scene(site, self._observer, messages, dice), options.pace, self._say)
        self._began = time.monotonic()
        self._ended = self._left = 0
        self._samples: list[tuple[float, int]] = []
        self._glance_at = 0.0

    def run(self) -> Report:
        self._until(lambda: self._ended >= WARM, within=60)
        measured_at = self._measuring_points()
        while not self._is_enough():
            if measured_at and self._nemesis.count >= measured_at[0]:
                measured_at.pop(0)
                self._measure()
            self._nemesis.strike(time.monotonic(), most=self._options.faults)
            self._tick()
        self._say("no more faults: what is left has to end")
        self._nemesis.heal_all()
        self._site.processes.stop(self._site.producer)
        drained = self._until(self._nothing_left, within=DRAIN)
        took = time.monotonic() - self._began
        self._site.processes.stop(*self._site.fleet)
        return self._report(took, drained)

    def _measure(self) -> None:
        self._until(self._nemesis.rest, within=60)
        self._until(lambda: False, within=QUIET_BEFORE)
        self._nemesis.measure()
        self._until(lambda: False, within=CALM)

    def _measuring_points(self) -> list[int]:
        """Numbers of faults after which a restart is measured."""
        faults = self._options.faults or 10**9
        step = min(40, max(1, faults // (self._options.measured + 1)))
        return [step * (n + 1) for n in range(self._options.measured)]

    def _is_enough(self) -> bool:
        options = self._options
        if time.monotonic() - self._began >= options.minutes * 60:
            return True
        reached = [self._ended >= (options.jobs or 0), self._nemesis.count >= (options.faults or 0)]
        return bool(options.jobs or options.faults) and all(reached)

    def _until(self, true: Callable[[], bool], *, within: float) -> bool:
        deadline = time.monotonic() + within
        while not true():
            if time.monotonic() > deadline:
                return False
            self._tick()
        return True

    def _tick(self) -> None:
        self._site.processes.look_after()
        now = time.monotonic()
        if now >= self._glance_at:
            self._glance_at = now + 1.0
            if (seen := self._observer.glance()) is not None:
                self._ended, self._left = seen
                self._samples = [*self._samples[-10:], (now, self._ended)]
            self._messages.remember(self._observer.leases())
        time.sleep(TICK)

    def _nothing_left(self) -> bool:
        seen = self._observer.glance()
        return seen is not None and seen[1] == 0 and not self._observer.leases()

    def _say(self, line: str) -> None:
        rate_now = 0.0
        if len(self._samples) > 1:
            (then, before), (now, after) = self._samples[0], self._samples[-1]
            rate_now = (after - before) / (now - then)
        seconds = time.monotonic() - self._began
        counts = f"{rate_now:5.0f} jobs/s {self._ended:>7,} ended {self._left:>5,} left"
        self._tell(f"[{seconds:7.1f} s {counts}] {line}")

    def _report(self, took: float, drained: bool) -> Report:
        wishes, starts = ledger.read(self._site.ledger)
        rows, leases = self._observer.rows(), len(self._observer.leases())
        effects = self._observer.effects()
        found = violations(wishes, starts, rows, poison_after=POISON_AFTER, leases=leases, effects=effects)
        found += [Violation("did not stop", "-", name) for name in self._site.processes.stuck]
        if not drained:
            found.append(Violation("not drained", "-", f"jobs are left {DRAIN:.0f} s after the last fault"))
        finished = self._observer.finished()
        recoveries = [recovery(finished, at) for at in self._nemesis.restarts]
        found += [
            Violation("slow recovery", "-", f"{before:.0f} jobs/s before, not 95 % of it within 30 s")
            for before, seconds in recoveries
            if seconds == float("inf")
        ]
        outcomes = [wish.outcome for wish in wishes.values()]
        return Report(
            seed=self._options.seed,
            broker=self._site.broker_kind,
            queues=self._site.queues,
            seconds=round(took, 1),
            committed=outcomes.count("committed"),
            rolled_back=outcomes.count("rolled_back"),
            unknown=outcomes.count("unknown"),
            ended=len(finished),
            starts=len(starts),
            reruns=len(starts) - len({start.job for start in starts}),
            lost_attempts=sum(row.ends.count("lost") for row in rows.values()),
            poisoned=sum(row.strikes >= POISON_AFTER for row in rows.values()),
            faults=dict(self._nemesis.struck.most_common()),
            cells=dict(sorted(self._nemesis.cells.items())),
            process_starts=self._site.processes.starts(),
            rate=round(rate(finished, finished[0], finished[-1]), 1) if len(finished) > 1 else 0.0,
            recoveries=[(round(before, 1), seconds) for before, seconds in recoveries],
            shortfalls=self._shortfalls(),
            violations=found,
        )

    def _shortfalls(self) -> list[str]:
        wanted = (("jobs", self._options.jobs, self._ended), ("faults", self._options.faults, self._nemesis.count))
        return [
            f"{got:,} {what} of the {number:,} that were wanted in {self._options.minutes:g} minutes"
            for what, number, got in wanted
            if number and got < number
        ]
