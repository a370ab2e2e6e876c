"""The faults of connections, at the proxy's edges."""

from .proxy import Edge
from .scene import Scene, Struck
from .site import TIMEOUT


def hold_database(scene: Scene) -> Struck:
    yield from _hold(scene, scene.site.database)


def hold_broker(scene: Scene) -> Struck:
    yield from _hold(scene, scene.site.broker)


def _hold(scene: Scene, edges: list[Edge]) -> Struck:
    edge, cut = scene.edge(edges), scene.dice.random() < 0.5
    edge.hold()
    yield f"{edge.name}, then {'reset' if cut else 'late delivery'}", scene.dice.uniform(1, TIMEOUT + 3)
    if cut:
        edge.reset()
    edge.release()


def reset_connections(scene: Scene) -> Struck:
    edge = scene.edge([*scene.site.database, *scene.site.broker])
    edge.reset()
    yield edge.name, 0


def sever_connections(scene: Scene) -> Struck:
    """The server takes them for alive, with the transactions that are open on them."""
    edge = scene.edge([*scene.site.database, *scene.site.broker])
    edge.sever()
    yield f"{edge.name}, the server hears of it later", scene.dice.uniform(2, TIMEOUT + 3)
    edge.farewell()


def slow_down(scene: Scene) -> Struck:
    edge, seconds = scene.edge([*scene.site.database, *scene.site.broker]), scene.dice.uniform(0.02, 0.3)
    edge.delay(seconds)
    yield f"{edge.name} by {seconds:.2f} s", scene.dice.uniform(2, 5)
    edge.delay(0)
