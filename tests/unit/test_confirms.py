"""What RabbitMQ confirms, in whatever order and however many at once."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from jobs.engine.confirms import Confirms, Nacked


class Channel:
    """Answers each wait with the next of `answers`: (ack or nack, delivery tag, whether all up to it are meant)."""

    def __init__(self, *answers: tuple[str, int, bool]) -> None:
        self.events: dict[str, set[Callable[..., Any]]] = defaultdict(set)
        self.connection = self
        self.selected = 0
        self._answers = list(answers)

    def confirm_select(self) -> None:
        self.selected += 1

    def drain_events(self, timeout: float) -> None:
        assert timeout > 0, "0 would be for ever"
        if not self._answers:
            raise TimeoutError
        kind, tag, multiple = self._answers.pop(0)
        for told in self.events[f"basic_{kind}"]:
            told(tag, multiple)


def published(count: int, *answers: tuple[str, int, bool]) -> Confirms:
    confirms = Confirms(Channel(*answers))
    for _ in range(count):
        confirms.published()
    return confirms


@pytest.mark.parametrize(
    "answers",
    [
        [("ack", 3, True)],
        [("ack", 2, False), ("ack", 1, False), ("ack", 3, False)],
        [("ack", 3, False), ("ack", 2, True)],
        [("ack", 1, False), ("ack", 1, True), ("ack", 3, True)],
    ],
)
def test_it_waits_until_every_message_is_confirmed(answers: list[tuple[str, int, bool]]) -> None:
    published(3, *answers).wait(1.0)
    with pytest.raises(TimeoutError):
        published(3, *answers[:-1]).wait(1.0)


def test_a_refused_message_is_told_and_counted_once_all_have_been_answered() -> None:
    confirms = published(4, ("ack", 1, False), ("nack", 3, True), ("ack", 4, False))
    with pytest.raises(Nacked, match=r"^2 messages were not taken"):
        confirms.wait(1.0)
    confirms.wait(1.0)  # nothing is left to wait for


def test_messages_that_come_later_are_counted_on() -> None:
    confirms = published(2, ("ack", 2, True), ("ack", 3, False))
    confirms.wait(1.0)
    confirms.published()
    confirms.wait(1.0)
    assert confirms.channel.selected == 1
