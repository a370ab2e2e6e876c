"""Publisher confirms in bulk: RabbitMQ says of every message that it has it, and is waited for once for all of them."""

import time
from typing import Any


class Nacked(Exception):
    """RabbitMQ has refused a message: its queue is full by a policy, or something in the broker broke."""


class Confirms:
    """What was published on one channel, and not confirmed yet."""

    def __init__(self, channel: Any) -> None:
        channel.confirm_select()
        channel.events["basic_ack"].add(self._acked)
        channel.events["basic_nack"].add(self._nacked)
        self.channel = channel
        self._last = 0
        self._open: set[int] = set()
        self._refused = 0

    @staticmethod
    def are_known_to(channel: Any) -> bool:
        return hasattr(channel, "confirm_select")

    def published(self) -> None:
        """One more message: the broker counts them by itself."""
        self._last += 1
        self._open.add(self._last)

    def wait(self, timeout: float) -> None:
        """Until every message is confirmed. Raises TimeoutError after `timeout` seconds, Nacked if one was refused."""
        until = time.monotonic() + timeout
        while self._open:
            self.channel.connection.drain_events(timeout=max(0.001, until - time.monotonic()))
        refused, self._refused = self._refused, 0
        if refused:
            raise Nacked(f"{refused} messages were not taken (a policy of the broker, such as max-length?)")

    def _acked(self, tag: int, multiple: bool) -> int:
        before = len(self._open)
        self._open = {one for one in self._open if one > tag} if multiple else self._open - {tag}
        return before - len(self._open)

    def _nacked(self, tag: int, multiple: bool) -> None:
        self._refused += self._acked(tag, multiple)
