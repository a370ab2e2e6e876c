"""Results of many jobs at once: each question is one query, however many they are."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from celery import states
from celery.app import app_or_default
from celery.exceptions import TimeoutError as CeleryTimeout
from celery.result import AsyncResult, EagerResult, GroupResult, ResultBase, ResultSet, assert_will_not_block
from vine import Thenable, promise

from .gathering import joined

FIRST_POLL, LAST_POLL = 0.002, 0.5  # seconds


class ReadTogether(ResultSet):
    """Celery's questions to a set of results, with the rows of all members read in one query."""

    def ready(self) -> bool:
        return states.READY_STATES.issuperset(self._states())

    def waiting(self) -> bool:
        return not self.ready()

    def successful(self) -> bool:
        return all(state == states.SUCCESS for state in self._states())

    def failed(self) -> bool:
        return states.FAILURE in self._states()

    def completed_count(self) -> int:
        return self._states().count(states.SUCCESS)

    def maybe_throw(self, callback: Any = None, propagate: bool = True) -> None:
        self._read()
        super().maybe_throw(callback=callback, propagate=propagate)

    def join(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = LAST_POLL,
        callback: Any = None,
        no_ack: bool = True,
        on_message: Any = None,
        disable_sync_subtasks: bool = True,
        on_interval: Any = None,
    ) -> list:
        """The results in order; polls all members together, from 2 ms to 500 ms apart.

        With `propagate`, the first failure ends the wait. Raises NotCommitted for jobs of the open transaction.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        self.backend.refuse_uncommitted([result.id for result in self._to_read()])
        self._wait(timeout, propagate, on_interval)
        return super().join(
            timeout, propagate, interval, callback, no_ack, on_message, disable_sync_subtasks, on_interval
        )

    def join_native(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = LAST_POLL,
        callback: Any = None,
        no_ack: bool = True,
        on_message: Any = None,
        on_interval: Any = None,
        disable_sync_subtasks: bool = True,
    ) -> list:
        """`join`, which reads all members together already."""
        return self.join(timeout, propagate, interval, callback, no_ack, on_message, disable_sync_subtasks, on_interval)

    def iter_native(
        self,
        timeout: float | None = None,
        interval: float = LAST_POLL,
        no_ack: bool = True,
        on_message: Any = None,
        on_interval: Any = None,
    ) -> Iterator[tuple[str, Any]]:
        """Each member as it ends: its id and what the backend knows of it; of a group, its results."""
        self.backend.refuse_uncommitted([result.id for result in self._to_read()])
        waiting = list(self.results)
        for _ in self._looks(timeout, on_interval):
            ended = [member for member in waiting if not any(map(_is_unknown, _leaves(member)))]
            waiting = [member for member in waiting if member not in ended]
            for member in ended:
                yield member.id, member.results if isinstance(member, ResultSet) else member._cache

    def _wait(self, timeout: float | None, propagate: bool, on_interval: Callable[[], object] | None) -> None:
        for left in self._looks(timeout, on_interval):
            for result in _leaves(self) if left and propagate else ():
                if not _is_unknown(result):
                    result.maybe_throw()

    def _looks(self, timeout: float | None, on_interval: Callable[[], object] | None) -> Iterator[list[Any]]:
        """After each look at all members those that have not ended, until none is left."""
        until = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL
        while True:
            self._read()
            left = [result for result in _leaves(self) if _is_unknown(result)]
            yield left
            if not left:
                return
            if on_interval:
                on_interval()
            if until is not None and time.monotonic() >= until:
                raise CeleryTimeout(
                    f"{len(left):,} of {len(list(_leaves(self))):,} jobs have not ended after {timeout:g} s."
                )
            time.sleep(pause if until is None else min(pause, max(0.0, until - time.monotonic())))
            pause = min(LAST_POLL, pause * 1.5)

    def _states(self) -> list[str]:
        asked = self.backend.states_of([result.id for result in self._to_read(parents=False)])
        return [asked[result.id] if _is_unknown(result) else result.state for result in _leaves(self)]

    def _read(self) -> None:
        """Keep in each result what has ended, so that it asks for itself no more."""
        wanted = self._to_read()
        metas = self.backend.metas_of({result.id for result in wanted})
        for result in wanted:
            result._maybe_set_cache(metas[result.id])

    def _to_read(self, *, parents: bool = True) -> list[AsyncResult]:
        """Members that are not known to have ended, and their parents, whose errors a `get()` raises too."""
        found = {}
        for result in _leaves(self):
            if _is_unknown(result):
                found[id(result)] = result
                for parent in result._parents() if parents else ():
                    found.update({id(one): one for one in _leaves(parent) if _is_unknown(one)})
        return list(found.values())


class JobResult(AsyncResult):
    """`app.AsyncResult`, whose promise is made when somebody asks for it: a chord makes three results a member."""

    app: Any

    def __init__(
        self, id: str, backend: Any = None, task_name: str | None = None, app: Any = None, parent: Any = None
    ) -> None:
        if id is None:
            raise ValueError(f"AsyncResult requires valid id, not {type(id)}")
        self.app = app_or_default(app or self.app)
        self.id = id
        self.backend = backend or self.app.backend
        self.parent = parent
        self._promise: promise | None = None
        self._later: tuple[Thenable, ...] = ()
        self._cache = None
        self._ignored = False

    @property
    def on_ready(self) -> promise:
        if self._promise is None:
            self._promise = promise(self._on_fulfilled, weak=True)
            for callback in self._later:
                self._promise.then(callback)
        return self._promise

    def then(self, callback: Any, on_error: Any = None, weak: bool = False) -> Any:
        """Celery's; the barrier of a group is kept for a promise that nobody may ever ask for."""
        if self._promise is not None or not isinstance(callback, Thenable):
            return super().then(callback, on_error, weak)
        self.backend.add_pending_result(self, weak=weak)
        self._later += (callback,)
        return callback


class JobResultSet(ReadTogether):
    """`app.ResultSet`."""


class JobGroupResult(ReadTogether, GroupResult):
    """`app.GroupResult`; `save()` and `restore()` are django-celery-results'."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for result in _leaves(self):
            if isinstance(result, AsyncResult):
                result.id = joined(result.id)


def _leaves(result: ResultBase) -> Iterator[Any]:
    if isinstance(result, ResultSet):
        for member in result.results:
            yield from _leaves(member)
    else:
        yield result


def _is_unknown(result: Any) -> bool:
    return not isinstance(result, EagerResult) and result._cache is None
