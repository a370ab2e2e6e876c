"""Processes die, stop and lose connections at every named place of the engine, and everything still ends as it should.

KILL_POINTS=all runs each place with each action, KILL_POINTS=K9,KR1 these places; without it, the windows that matter
most, several in one round.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from django.db import transaction

from jobs.engine.failpoints import PLACES, arm, was_hit
from jobs.models import Job, Lease
from jobs.states import FINAL
from jobsite.soak import calls, effects, ledger, producer
from jobsite.soak.checker import violations
from jobsite.soak.evidence import Violation
from jobsite.soak.observer import Observer
from jobsite.soak.processes import Processes
from tests.support.fleet import QUICK, ROOT, Valkey, database_url

SILENCE = float(QUICK["JOBS_WORKER_TIMEOUT"]) + 2
POISON_AFTER = 50
"""Rounds follow each other quickly; none of them may make a dead letter."""
PATIENCE = 8
"""Times that a round gets new jobs until each of its places was passed."""
KINDS = ["noop"] * 40 + ["short"] * 6 + ["flaky"] * 2 + ["doomed", "once", "snoozing"] + ["paying"] * 4
SHAPES = [calls.steps, calls.linked, calls.with_body, calls.with_key, calls.with_key]
QUEUES = ["default"]
ROUNDS = (
    {"KE1": "kill", "KE2": "cutdb", "KD1": "kill", "K1": "kill"},
    {"KD2": "kill", "K2": "kill", "K4": "kill@2"},
    {"KD3": "cutbroker@2", "K5": "kill", "K6": "lost", "K9": "cutbroker"},
    {"KD4": "cutdb", "K6": "kill", "K7": "kill"},
    {"K3": "kill", "K10": "kill", "KR1": "kill"},
    {"K2": f"stop:{SILENCE}", "K8": "kill"},
)
ACTIONS = ("kill", "killpg", "raise", "lost", "cutdb", "cutbroker", f"stop:{SILENCE}")
NOT_MEANT = {
    *((place, action) for place in ("K3", "KE1") for action in ("raise", "lost")),  # the task's or caller's own failure
    ("KE1", "cutbroker"),
    ("KE2", "cutbroker"),
    ("K9", "lost"),  # no reply of the database is awaited there
}
if places := os.environ.get("KILL_POINTS"):
    chosen = PLACES if places == "all" else places.split(",")
    ROUNDS = tuple({place: action} for place in chosen for action in ACTIONS if (place, action) not in NOT_MEANT)


class Site:
    """A dispatcher, a worker and their broker for all rounds; whatever dies is started again."""

    def __init__(self, folder: Path, broker: Valkey) -> None:
        self.failpoints, self.ledger = folder / "failpoints", folder / "ledger"
        for place in (self.failpoints, self.ledger):
            place.mkdir()
        self.dice = random.Random(1)
        self.observer = Observer(database_url())
        self.observer.ask(effects.CREATE)
        self.processes = Processes(folder)
        self.environment = {
            **os.environ,
            **QUICK,
            "JOBS_POISON_AFTER": str(POISON_AFTER),
            "DATABASE_URL": database_url(),
            "BROKER_URL": broker.url,
            "DJANGO_SETTINGS_MODULE": "jobsite.soak.settings",
            "PYTHONPATH": str(ROOT),
            "JOBS_FAILPOINTS": str(self.failpoints),
            ledger.FOLDER: str(self.ledger),
            producer.QUEUES: ",".join(QUEUES),
            producer.SEED: "1",
            producer.BACKLOG: "100",
        }
        worker = "-m celery -A jobsite worker -c 2 -l INFO -n worker@%h --without-gossip --without-mingle"
        self.dispatcher = self.processes.add("dispatcher", ["manage.py", "dispatch"], self.environment)
        self.worker = self.processes.add("worker", worker.split(), self.environment)

    def call(self) -> None:
        chosen = [calls.single(self.dice, QUEUES, kind) for kind in KINDS]
        chosen += [shape(self.dice, QUEUES) for shape in SHAPES]
        ledger.write(line for call in chosen for line in call.lines)
        with transaction.atomic():
            for call in chosen:
                call.send()
        ledger.write(("committed", job, "-") for call in chosen for job in call.jobs)

    def until(self, true: Callable[[], bool], *, what: str, within: float = 60.0) -> None:
        deadline = time.monotonic() + within
        while not true():
            self.processes.look_after()
            assert time.monotonic() < deadline, f"not within {within:g} s: {what}\n{self.logs()}"
            time.sleep(0.05)

    def violations(self) -> list[Violation]:
        wishes, starts = ledger.read(self.ledger)
        assert len(starts) >= len(KINDS), "the ledger does not tell what ran: nothing was checked"
        return violations(
            wishes, starts, self.observer.rows(), poison_after=POISON_AFTER, effects=self.observer.effects()
        )

    def logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in sorted(self.ledger.parent.glob("*.log")))


@pytest.fixture
def site(transactional_db: None, broker: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    running = Site(tmp_path, broker)
    monkeypatch.setenv(ledger.FOLDER, str(running.ledger))
    yield running
    running.processes.stop()
    running.observer.ask(effects.DROP)
    running.observer.close()


def test_nothing_is_lost_or_recorded_twice_wherever_processes_die(site: Site) -> None:
    for cells in ROUNDS:
        play(cells, site)
        site.until(everything_ended, what=f"every job to end after {cells}")
        assert site.violations() == [], cells


def play(cells: dict[str, str], site: Site) -> None:
    """Arm the places, let jobs run until each was passed, and prove it."""
    for place, action in cells.items():
        arm(site.failpoints, place, action)
    if callers := cells.keys() & {"KE1", "KE2"}:
        process = site.processes.add("producer", ["-m", "jobsite.soak.producer"], site.environment)
    missing = [was_hit(site.failpoints, place) for place in cells]
    for _ in range(PATIENCE):
        # One place's kill may take away what would have come by another: then there are jobs again.
        for place, action in brought_about_by(cells).items():
            arm(site.failpoints, place, action)
        site.call()
        if missing == [was_hit(site.failpoints, "K8")]:
            site.worker.tell()
        site.until(partial(passed_or_idle, missing), what=f"{missing} to be passed")
        missing = [place for place in missing if not place.exists()]
        if not missing:
            break
    assert not missing, site.logs()
    if callers:
        site.processes.stop(process)


def brought_about_by(cells: dict[str, str]) -> dict[str, str]:
    """Nobody comes by these places unless a child, or a worker with a lease, is killed before."""
    first = {"K10": {"K3": "kill"}, "KR1": {"K9": "killpg"}}
    return {place: action for cell in cells for place, action in first.get(cell, {}).items()}


def passed_or_idle(places: list[Path]) -> bool:
    return all(place.exists() for place in places) or everything_ended()


def everything_ended() -> bool:
    return not Job.objects.exclude(state__in=FINAL).exists() and not Lease.objects.exists()
