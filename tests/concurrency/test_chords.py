"""Members of one chord that finish at once: the body is released exactly once."""

import threading

import pytest
from celery import chord

from jobs.engine.finish import record_one
from jobs.engine.link import Link
from jobs.engine.newjob import job_key
from jobs.models import Chord, Job
from tests.support.engine import opened, outcome, row, sweep_chords, won
from tests.support.odd_tasks import double, total


@pytest.mark.parametrize("members", [2, 6])
def test_members_that_finish_at_once_release_the_body_once(link: Link, members: int) -> None:
    for _ in range(5):
        body = chord([double.s(n) for n in range(members)])(total.s())
        keys = [job_key(member.id) for member in body.parent.results]
        held = [(key, won(link, [key])) for key in keys]
        barrier = threading.Barrier(members + 1)

        def finish(key, token, place, barrier=barrier) -> None:
            with opened(f"jobs tests {place}", lock_timeout=10) as own:
                own.rows("alive")
                barrier.wait()
                assert record_one(own, token, outcome(key, result=str(place), in_chord=True), node="worker@test")

        def sweep(barrier=barrier) -> None:
            with opened("jobs tests sweep", lock_timeout=10) as own:
                own.rows("alive")
                barrier.wait()
                sweep_chords(own)

        threads = [threading.Thread(target=finish, args=(*one, place)) for place, one in enumerate(held)]
        threads.append(threading.Thread(target=sweep))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        waiting = row(job_key(body.id))
        assert (waiting.state, waiting.epoch) == ("pending", 1)
        assert waiting.args == f"[[{', '.join(str(n) for n in range(members))}]]"
        assert Chord.objects.get(pk=job_key(body.parent.id)).done == members
        assert not Job.objects.filter(state="blocked").exists()
