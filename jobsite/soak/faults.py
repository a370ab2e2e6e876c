"""The faults, each a generator: it strikes, says what it did and for how many seconds, and heals when it goes on."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import psycopg
import redis

from jobs.engine.failpoints import arm

from .network import hold_broker, hold_database, reset_connections, sever_connections, slow_down
from .observer import Observer
from .scene import Scene, Struck
from .site import TIMEOUT

CELLS = (
    *((f"K{n}", action) for n in (1, 2, 4, 5, 6, 7) for action in ("kill", "raise", "cutdb")),
    *(("K3", action) for action in ("kill", "killpg", "cutdb")),  # what it raises is the task's own failure
    *((f"K{n}", "killpg") for n in (2, 5, 6)),
    *((f"K{n}", f"stop:{TIMEOUT + 2}") for n in (1, 2, 4, 6)),
    *((place, action) for place in ("K1", "K2", "K6") for action in ("lost", "sleep:2")),
    *(("K9", action) for action in ("kill", "killpg", "cutbroker")),
    *((f"KD{n}", action) for n in (1, 2, 3, 4) for action in ("kill", "cutdb", "cutbroker", f"stop:{TIMEOUT + 2}")),
    *(("KR1", action) for action in ("kill", "cutdb", "lost")),
    *((place, action) for place in ("KE1", "KE2") for action in ("kill", "cutdb")),
    *((place, "kill") for place in ("K8", "K10")),
)
"""(place, action) of the failpoints that the soak arms."""


def kill_worker(scene: Scene) -> Struck:
    worker = scene.one(scene.site.workers)
    worker.send(signal.SIGKILL)
    yield f"{worker.name}, its children live on for a moment", 0


def kill_worker_and_children(scene: Scene) -> Struck:
    worker = scene.one(scene.site.workers)
    worker.send_all(signal.SIGKILL)
    yield worker.name, 0


def kill_child(scene: Scene) -> Struck:
    worker = scene.one(scene.site.workers)
    for child in worker.children()[:1]:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    yield f"of {worker.name}", 0


def stop_and_continue_worker(scene: Scene) -> Struck:
    """Longer than anyone waits for its heartbeat."""
    worker = scene.one(scene.site.workers)
    worker.send_all(signal.SIGSTOP)
    yield worker.name, scene.dice.uniform(TIMEOUT + 1, TIMEOUT + 3)
    worker.send_all(signal.SIGCONT)


def shut_down_worker(scene: Scene) -> Struck:
    worker = scene.one(scene.site.workers)
    worker.tell()
    yield worker.name, 0


def kill_dispatcher(scene: Scene) -> Struck:
    victim = scene.one(scene.site.dispatchers)
    victim.send(signal.SIGKILL)
    yield victim.name, 0


def stop_and_continue_dispatcher(scene: Scene) -> Struck:
    victim = scene.one(scene.site.dispatchers)
    victim.send(signal.SIGSTOP)
    yield victim.name, scene.dice.uniform(2, TIMEOUT + 2)
    victim.send(signal.SIGCONT)


def kill_producer(scene: Scene) -> Struck:
    scene.site.producer.send(signal.SIGKILL)
    yield "in the middle of a transaction, mostly", 0


def wipe_broker(scene: Scene) -> Struck:
    if scene.site.own_broker:
        with suppress(redis.ConnectionError):
            redis.Redis(unix_socket_path=f"{scene.site.home}/run/valkey").flushall()
        yield "FLUSHALL", 0
    else:
        yield f"{scene.messages.purge()} messages purged", 0


def restart_broker(scene: Scene) -> Struck:
    if scene.site.own_broker:
        scene.site.valkey.send(signal.SIGKILL)
        yield "kill -9; it comes back empty", 0
    else:
        for edge in scene.site.broker:
            edge.reset()
        yield "every connection to it is reset", 0


def restart_database(scene: Scene) -> Struck:
    scene.site.postgres.send(signal.SIGQUIT)
    yield "immediate, with crash recovery", 0


def terminate_backends(scene: Scene) -> Struck:
    with suppress(psycopg.OperationalError):
        for _ in range(3):
            scene.observer.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
    yield "three times", 0


def lock_rows(scene: Scene) -> Struck:
    """Somebody's long transaction on live jobs."""
    holder = Observer(scene.site.database_url)
    with suppress(psycopg.OperationalError):
        holder.ask("BEGIN")
        locked = holder.ask(
            "SELECT id FROM jobs_job WHERE finished_at IS NULL ORDER BY rank LIMIT 200 FOR UPDATE SKIP LOCKED"
        )
        yield f"{len(locked)} jobs", scene.dice.uniform(1, 4)
        holder.ask("COMMIT")


def duplicate_messages(scene: Scene) -> Struck:
    leases = scene.observer.leases()
    yield f"{scene.messages.send_again(leases * 3)} leases that are under way", 0


def stale_messages(scene: Scene) -> Struck:
    yield f"{scene.messages.send_again(scene.messages.stale(300))} leases of before", 0


def forge_messages(scene: Scene) -> Struck:
    yield f"{scene.messages.forge()} that nobody sent", 0


def failpoint(scene: Scene) -> Struck:
    place, action = scene.dice.choice(CELLS)
    often = scene.dice.choice((1, 1, 3, 10)) if place in ("K3", "K4", "K5", "K6", "KD3") else 1
    arm(scene.site.failpoints, place, f"{action}@{often}")
    if place == "K8":
        scene.one(scene.site.workers).tell()
    if place in ("K10", "KR1"):
        scene.one(scene.site.workers).send_all(signal.SIGKILL) if place == "KR1" else _kill_any_child(scene)
    yield f"{place}={action}@{often}", TIMEOUT + 3 if "stop" in action else 1.5


def _kill_any_child(scene: Scene) -> None:
    for child in scene.one(scene.site.workers).children()[:1]:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


FAULTS: dict[Callable[[Scene], Struck], int] = {
    kill_worker: 6,
    kill_worker_and_children: 5,
    kill_child: 7,
    stop_and_continue_worker: 5,
    shut_down_worker: 5,
    kill_dispatcher: 5,
    stop_and_continue_dispatcher: 3,
    kill_producer: 4,
    wipe_broker: 5,
    restart_broker: 5,
    restart_database: 7,
    terminate_backends: 4,
    lock_rows: 4,
    hold_database: 7,
    hold_broker: 5,
    reset_connections: 5,
    sever_connections: 5,
    slow_down: 3,
    duplicate_messages: 4,
    stale_messages: 4,
    forge_messages: 3,
    failpoint: 30,
}
"""How often each is chosen."""


def name_of(fault: Callable[[Scene], Struck]) -> str:
    return fault.__name__.replace("_", " ")
