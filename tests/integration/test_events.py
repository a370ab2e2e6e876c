"""Task events must never hold up a job: a broker that takes none is left alone for a while."""

import time
from dataclasses import replace

from jobs.app.events import PAUSE, TaskEvents, arguments_of
from jobs.engine.execute import held
from jobs.engine.link import Link
from jobs.states import End
from tests.support.engine import new_job, outcome, unsent, won


def test_a_broker_that_takes_no_events_is_asked_once_and_then_left_alone(link: Link, caplog) -> None:
    caplog.set_level("INFO", "jobs")
    job_id = new_job()
    run = held(link, won(link, [job_id]), job_id)
    assert run is not None
    events = TaskEvents(unsent(), "worker@test")
    events.started(run, str(job_id))
    events.ended(str(job_id), outcome(job_id, end=End.RETRIED), None)
    events.flush()
    assert caplog.text.count("task events are silent for a while") == 1
    assert 0 < events._silent_until - time.monotonic() <= PAUSE


def test_what_a_call_hides_of_its_arguments_is_not_told(link: Link) -> None:
    job_id = new_job(options='{"argsrepr": "(hidden)", "kwargsrepr": "{hidden}"}')
    run = held(link, won(link, [job_id]), job_id)
    assert run is not None
    run.args = ["secret-7"]
    assert arguments_of(run) == {"args": "(hidden)", "kwargs": "{hidden}"}
    assert arguments_of(replace(run, options={})) == {"args": "['secret-7']", "kwargs": "{}"}
