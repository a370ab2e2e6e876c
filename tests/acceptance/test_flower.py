"""Flower shows jobs by their task's name, never the messages that carry them."""

import base64
import json
import urllib.request
from typing import Any

import pytest

from tests.support.fleet import Fleet, free_port
from tests.support.tasks import add, fail
from tests.support.wait import wait_until


@pytest.fixture
def flower(fleet: Fleet) -> str:
    port = free_port()
    fleet.environment["FLOWER_BASIC_AUTH"] = "admin:secret"
    fleet.start("flower", "-m", "celery", "-A", "jobsite", "flower", "--address=127.0.0.1", f"--port={port}")
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answer(f"{url}/api/workers") is not None, what="a Flower that answers")
    return url


def answer(url: str) -> Any:
    request = urllib.request.Request(url)
    request.add_header("Authorization", "Basic " + base64.b64encode(b"admin:secret").decode())
    try:
        return json.load(urllib.request.urlopen(request, timeout=5))
    except OSError:
        return None


def test_flower_shows_each_job_with_its_tasks_name_and_state(fleet: Fleet, flower: str) -> None:
    fleet.dispatcher()
    fleet.worker()
    log = fleet.folder / "worker.log"
    wait_until(lambda: "Events of group {task} enabled" in log.read_text(), what="Flower listening")

    def shown() -> dict[str, tuple[str, str]]:
        # The worker looks about once a second whether somebody listens, so the first jobs may go unseen.
        expected = {add.delay(2, 3).id: "SUCCESS", fail.apply_async(max_retries=0).id: "FAILURE"}
        tasks: dict = {}

        def ended() -> bool:
            tasks.clear()
            tasks.update(
                {id_: (task["name"], task["state"]) for id_, task in (answer(f"{flower}/api/tasks") or {}).items()}
            )
            return all(tasks.get(id_, ("", ""))[1] == state for id_, state in expected.items())

        try:
            wait_until(ended, within=5)
        except AssertionError:
            return {}
        return tasks

    tasks = wait_until(shown, within=40, what="both jobs shown by Flower")
    assert {name for name, _ in tasks.values()} == {"tests.support.tasks.add", "tests.support.tasks.fail"}
