"""on_lost="dead_letter" with processes that die for real: each job runs exactly once."""

from pathlib import Path

from jobs.models import Attempt, Job, Lease
from tests.support.fleet import Fleet, kill
from tests.support.tasks import dies_once, lasts_once, mark
from tests.support.wait import wait_until


def until_dead(job_id: str) -> Job:
    wait_until(lambda: Job.objects.filter(pk=job_id, state="dead_letter").exists(), what="the dead letter")
    return Job.objects.get(pk=job_id)


def test_a_job_whose_process_or_worker_is_killed_or_told_to_stop_is_never_started_again(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.environment["JOBS_SHUTDOWN_GRACE"] = "1"
    fleet.dispatcher()
    worker = fleet.worker(slots=1)
    folder = str(tmp_path)

    dead = until_dead(dies_once.delay(folder, "child").id)
    assert "on_lost='dead_letter' forbids a second start" in dead.error

    second = lasts_once.delay(folder, "killed")
    wait_until((tmp_path / "killed").exists, what="the second job to start")
    kill(worker)
    worker = fleet.worker(slots=1, name="heir")
    assert "its worker died" in until_dead(second.id).error

    third = lasts_once.delay(folder, "stopped")
    wait_until((tmp_path / "stopped").exists, what="the third job to start")
    worker.terminate()
    assert worker.wait(30) == 0
    assert until_dead(third.id).error.startswith("its worker was shut down: it had begun")

    assert [len((tmp_path / name).read_text().split()) for name in ("child", "killed", "stopped")] == [1, 1, 1]
    assert list(Attempt.objects.values_list("number", "end")) == [(1, "lost")] * 3
    assert not Lease.objects.exists()


def test_a_job_whose_process_dies_for_good_has_its_errback_run_by_a_worker_once(fleet: Fleet, tmp_path: Path) -> None:
    fleet.dispatcher()
    fleet.worker(slots=1)
    call = mark.si(str(tmp_path / "errback"))
    until_dead(dies_once.apply_async((str(tmp_path), "child"), link_error=call).id)
    wait_until(lambda: Job.objects.filter(task=mark.name, state="completed").exists(), what="the errback")
    assert (tmp_path / "errback").read_text().count("\n") == 1
    assert sorted(Job.objects.values_list("task", "state")) == [
        ("jobs.errbacks", "completed"),
        (dies_once.name, "dead_letter"),
        (mark.name, "completed"),
    ]
