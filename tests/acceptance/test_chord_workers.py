"""A chord over real workers, one of which is killed in the middle."""

from pathlib import Path

from celery import chord

from jobs.engine.newjob import job_key
from jobs.models import Attempt, Chord, Job
from tests.support.fleet import Fleet, kill
from tests.support.tasks import counted, summed
from tests.support.wait import wait_until

MEMBERS = 200


def test_a_chord_survives_the_death_of_a_worker_and_its_body_runs_once(fleet: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    body = chord([counted.s(str(ledger), n) for n in range(MEMBERS)])(summed.s())
    fleet.dispatcher()
    doomed = fleet.worker(name="doomed")
    wait_until(lambda: Chord.objects.get().done >= MEMBERS // 10, within=60, what="the first members' ends")
    assert Job.objects.filter(state__in=["dispatched", "running"]).exists()
    kill(doomed)
    assert Chord.objects.get().done < MEMBERS
    fleet.worker(name="heir")
    wait_until(lambda: body.state == "SUCCESS", within=120, what="the body's end")
    assert body.get(timeout=1) == sum(range(MEMBERS))
    assert (Chord.objects.get().size, Chord.objects.get().done) == (MEMBERS, MEMBERS)
    assert Attempt.objects.filter(job_id=job_key(body.id)).count() == 1
    assert sorted({int(line) for line in ledger.read_text().split()}) == list(range(MEMBERS))
