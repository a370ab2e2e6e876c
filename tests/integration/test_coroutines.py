"""`async def` tasks: one event loop from job to job, and nothing of one job goes on during the next."""

import asyncio
import json
import logging
import os
import socketserver
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from celery.app.task import Context
from django.contrib.auth.models import User

from jobs.app import coroutines
from jobs.app.coroutines import _known_to_celery
from jobs.app.event_loop import EventLoop, loop_here
from jobs.engine.link import Link
from jobs.engine.newjob import job_key
from jobs.models import Job
from jobs.testing import run_jobs
from tests.support import async_tasks as tasks
from tests.support.async_tasks import KEPT, SEEN
from tests.support.engine import row, run, run_result
from tests.support.odd_tasks import echo
from tests.support.tasks import takes_turns
from tests.support.wait import wait_until


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    SEEN.clear()
    yield
    SEEN.clear()
    KEPT.clear()


def results(link: Link, *calls) -> list:
    """Run the calls as one carrier; returns what the jobs returned."""
    jobs = [job_key(call.id) for call in calls]
    run(link, *jobs)
    assert [row(job).error for job in jobs] == [None] * len(jobs)
    return [json.loads(row(job).result or "null") for job in jobs]


def loop_now(link: Link) -> int:
    ((loop, running),) = results(link, tasks.which_loop.delay())
    assert running == 1, "the job's own"
    return loop


def test_a_lock_of_a_module_works_from_job_to_job(link: Link) -> None:
    first, second = results(link, takes_turns.delay(), takes_turns.delay())
    assert first == second


def test_a_connection_of_a_module_stays_open_from_job_to_job(link: Link) -> None:
    class Server(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline():
                self.wfile.write(f"{self.client_address[1]}\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        first, second = results(link, tasks.talks.delay(port), tasks.talks.delay(port))
        KEPT["streams"][1].transport.abort()
        server.shutdown()
    assert first == second


def test_the_orm_of_a_coroutine_is_on_the_threads_own_connection(link: Link) -> None:
    calls = [tasks.backend_of_a_plain_task, tasks.backend_of_a_coroutine, tasks.backend_of_a_plain_task]
    plain, coroutine, after = results(link, *[call.delay() for call in calls])
    assert plain == coroutine == after


def test_what_a_job_leaves_running_is_cancelled_after_it_and_may_tidy_up(link: Link, caplog) -> None:
    before = loop_now(link)
    with caplog.at_level(logging.WARNING, logger="jobs"):
        assert results(link, tasks.leaves_running.delay("ann")) == ["done"]
    assert SEEN == ["ann tidied up"]
    assert User.objects.get().username == "ann"
    (line,) = [record for record in caplog.records if "left coroutines running" in record.message]
    assert (line.left, line.task) == (["straggler"], tasks.leaves_running.name)
    assert loop_now(link) == before


def test_what_does_not_end_costs_its_loop_and_not_the_next_job(link: Link, monkeypatch, caplog) -> None:
    monkeypatch.setattr(coroutines, "PATIENCE", 0.1)
    before = loop_now(link)
    results(link, tasks.leaves_a_deaf_one.delay())
    assert SEEN == ["not listening"]
    assert "its event loop is replaced" in caplog.text
    assert loop_now(link) != before


def test_a_generator_that_a_job_leaves_open_is_closed(link: Link, caplog) -> None:
    assert results(link, tasks.leaves_a_generator_open.delay()) == [1]
    assert SEEN == ["kept closed"]
    assert results(link, tasks.drops_a_generator.delay()) == [1]
    assert SEEN == ["kept closed", "dropped closed"]
    assert sorted(User.objects.values_list("username", flat=True)) == ["dropped", "kept"]
    assert "left coroutines running" not in caplog.text


def test_threads_of_a_coroutine_end_with_its_job(link: Link) -> None:
    results(link, tasks.uses_a_thread.delay(), tasks.uses_a_thread.delay())
    first, second = SEEN
    assert first is not second
    wait_until(lambda: not second.is_alive(), what="the end of the thread")


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("stop", None),
        ("stop and return", None),
        ("replace", None),
        ("close", "RuntimeError: Cannot close a running event loop"),
        ("exit", "SystemExit: 3"),
    ],
)
def test_a_job_cannot_take_the_loop_from_the_next_one(link: Link, how: str, error: str | None) -> None:
    before = loop_now(link)
    assert run_result(link, tasks.treats_its_loop.apply_async((how,), max_retries=0)).error == error
    assert loop_now(link) == before


def test_a_broken_loop_fails_its_job_and_the_next_has_another(link: Link, caplog) -> None:
    before = loop_now(link)
    job = run_result(link, tasks.breaks_its_loop.apply_async(max_retries=0))
    assert (job.state, job.error) == ("dead_letter", "OSError: [Errno 9] Bad file descriptor")
    assert "an event loop broke" in caplog.text
    assert loop_now(link) != before


def test_a_coroutine_that_was_cancelled_by_its_own_code_has_failed_and_is_retried(link: Link) -> None:
    job = run_result(link, tasks.cancels_itself.delay())
    assert (job.state, job.error.split(" was ")[0]) == (
        "retrying",
        f"CoroutineCancelled: The coroutine of {tasks.cancels_itself.name}",
    )


def test_at_the_soft_limit_the_coroutine_and_what_it_started_are_cancelled(link: Link) -> None:
    before = loop_now(link)
    job = run_result(link, tasks.hangs.apply_async(("ann",), soft_time_limit=0.5, max_retries=0))
    assert job.error == "SoftTimeLimitExceeded: SoftTimeLimitExceeded(0.5,)"
    assert SEEN == ["ann was cancelled", "ann tidied up"]
    assert User.objects.get().username == "ann"
    assert loop_now(link) == before


def test_a_coroutine_may_go_on_after_the_soft_limit(link: Link) -> None:
    job = run_result(link, tasks.goes_on_after_the_limit.apply_async(soft_time_limit=0.1))
    assert (job.state, job.result) == ("completed", '"went on"')


def test_the_soft_limit_ends_a_function_that_the_coroutine_waits_for(link: Link) -> None:
    before = loop_now(link)
    job = run_result(link, tasks.hangs_in_a_function.apply_async(soft_time_limit=0.5, max_retries=0))
    assert job.error == "SoftTimeLimitExceeded: SoftTimeLimitExceeded(0.5,)"
    assert (job.finished_at - job.started_at).total_seconds() < 10
    assert loop_now(link) == before


def test_a_coroutine_that_is_over_as_soon_as_it_is_cancelled_was_cancelled_all_the_same(link: Link) -> None:
    run = coroutines._CoroutineRun.__new__(coroutines._CoroutineRun)
    # A loop that is quicker than the thread that asks it, as any may be.
    run._loop = SimpleNamespace(loop=SimpleNamespace(call_soon_threadsafe=lambda cancel: cancel()))  # type: ignore[assignment]
    run._task = SimpleNamespace(cancel=lambda: setattr(run, "_task", None))  # type: ignore[assignment]
    assert run._cancel()
    assert not run._cancel()


def test_a_coroutine_that_its_job_does_not_wait_for_any_more_is_stopped(link: Link) -> None:
    before = loop_now(link)
    KEPT["loop"] = loop_here().loop
    job = run_result(link, tasks.torn_by_a_signal.apply_async(max_retries=0))
    assert job.error == "TimeoutError: by a handler of its own"
    assert loop_now(link) != before
    wait_until(KEPT["loop"].is_closed, what="the end of the old loop")
    assert SEEN == []


@pytest.mark.parametrize("how", ["async_to_sync", "run"])
def test_a_plain_task_brings_a_loop_of_its_own(link: Link, how: str) -> None:
    before = loop_now(link)
    results(link, tasks.backend_of_a_coroutine.delay())
    ((loop, thread),) = results(link, tasks.runs_a_loop.delay(how))
    assert loop != before
    assert how == "run" or thread == threading.get_ident()
    assert loop_now(link) == before


def test_a_task_called_by_a_coroutine_runs_on_its_loop_and_ends_nothing_of_it(link: Link) -> None:
    ((own, other, ended),) = results(link, tasks.calls_another.delay())
    assert own == other
    assert ended is False


def test_a_coroutine_waits_for_another_job_aside_of_its_loop(link: Link) -> None:
    first = tasks.leaves_running.delay("ann")
    results(link, first)
    assert results(link, tasks.waits_for.delay(first.id, "aside")) == ["done"]
    job = run_result(link, tasks.waits_for.apply_async((first.id, "in the loop"), max_retries=0))
    assert "use a thread or sync_to_async" in job.error


def test_each_thread_has_a_loop_that_ends_with_it() -> None:
    made: list = []
    thread = threading.Thread(target=lambda: made.append(loop_here().loop))
    thread.start()
    thread.join()
    assert made[0] is not loop_here().loop
    wait_until(made[0].is_closed, what="the end of the thread's loop")


def test_a_fork_has_a_loop_of_its_own() -> None:
    kept = EventLoop()
    child = os.fork()
    if child == 0:
        os._exit(int(kept.is_usable))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kept.is_usable
    kept.end()


def test_jobs_that_run_inside_an_asynchronous_test_leave_its_loop_alone(db) -> None:
    async def test() -> None:
        own = asyncio.create_task(asyncio.sleep(60))
        await tasks.leaves_running.adelay("ann")
        call = await tasks.which_loop.adelay()
        ran = await sync_to_async(run_jobs)()
        assert [job.state for job in ran] == ["completed"] * 2
        loop = json.loads((await Job.objects.aget(pk=call.id)).result)[0]
        assert loop != id(asyncio.get_running_loop())
        assert await User.objects.acount() == 1
        assert not own.done()
        own.cancel()

    async_to_sync(test)()
    assert SEEN == ["ann tidied up"]


def test_a_coroutine_that_is_closed_late_takes_away_its_own_request_and_no_other_ones() -> None:
    left, next_one = Context(id="left"), Context(id="next")
    abandoned = _known_to_celery(echo, left)
    abandoned.__enter__()
    with _known_to_celery(echo, next_one):
        abandoned.__exit__(None, None, None)
        assert echo.request.id == "next"
    assert echo.request_stack.top is None
