"""Signatures of the platform's tasks: Celery's, made for groups of ten thousand."""

from copy import deepcopy
from typing import Any

from celery.canvas import Signature
from uuid_utils import uuid4

PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of what no one can change, so that a copy may share it."""


class JobSignature(Signature):
    """What `task.s()` returns. Celery copies each member of a group once, of a chord three times, then freezes it."""

    def clone(self, args: Any = None, kwargs: Any = None, **opts: Any) -> Any:
        """A copy that shares nothing that could be changed, but for the chord: it has one body, not one per member."""
        if args or kwargs or opts:
            return super().clone(args, kwargs, **opts)
        copy = JobSignature(self, app=self._app)
        copy["args"], copy["kwargs"] = tuple(self["args"]), dict(self["kwargs"])
        copy["options"] = {
            name: value if type(value) in PLAIN or name == "chord" else deepcopy(value)
            for name, value in self["options"].items()
        }
        copy._type = self._type
        return copy

    def freeze(self, _id: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().freeze(_id or str(uuid4()), *args, **kwargs)

    _freeze = freeze
    partial = clone

    # Celery keeps these four with each signature, which costs more than to ask for them.
    @property
    def type(self) -> Any:
        return self._type or self.app.tasks[self["task"]]

    @property
    def app(self) -> Any:
        return self._app or super().app

    @property
    def AsyncResult(self) -> Any:
        return super().AsyncResult if self._type is None else self._type.AsyncResult

    @property
    def _apply_async(self) -> Any:
        return super()._apply_async if self._type is None else self._type.apply_async
