"""`manage.py soak`, briefly: it starts, strikes, checks and tells."""

import json
import os
import subprocess
import sys

import kombu
import pytest
from amqp.exceptions import NotFound

from tests.support.fleet import ROOT


def soak(*arguments: str) -> "subprocess.CompletedProcess[str]":
    # A database that does not exist: it must not even be looked at.
    environment = {
        **os.environ,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/production",
        "BROKER_URL": "redis://:1",
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "manage.py", "soak", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_a_short_soak_holds_and_says_what_it_did() -> None:
    done = soak("--jobs", "500", "--faults", "3", "--pace", "1", "--minutes", "2", "--seed", "1", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["violations"] == []
    # What joins another's key, or follows from a failure, is called and not run.
    assert min(said["committed"], said["starts"], said["ended"]) >= 500
    assert sum(said["faults"].values()) == 3
    assert "no more faults" in done.stderr


def test_a_broker_it_can_not_put_a_proxy_before_is_refused() -> None:
    done = soak("--broker", "sqs://somewhere")
    assert done.returncode == 1
    assert "--broker names 'sqs'; expected amqp:// or redis://" in done.stderr


@pytest.mark.rabbitmq
@pytest.mark.skipif(os.environ.get("KILL_POINTS") != "all", reason="half a minute more: with KILL_POINTS=all")
def test_a_short_soak_over_rabbitmq_leaves_no_queue_behind(rabbitmq_url: str) -> None:
    done = soak("--jobs", "200", "--faults", "2", "--pace", "1", "--minutes", "2", "--broker", rabbitmq_url, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["violations"] == []
    assert len(said["queues"]) == 2
    with kombu.Connection(rabbitmq_url) as connection:
        for queue in said["queues"]:
            with pytest.raises(NotFound):
                connection.channel().queue_declare(queue, passive=True)
            with pytest.raises(NotFound):
                connection.channel().exchange_declare(queue, "direct", passive=True)
