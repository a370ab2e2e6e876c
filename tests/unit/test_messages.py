"""What a worker takes for a message of the dispatcher: anyone may write to the broker."""

from typing import Any
from uuid import UUID

import pytest

from jobs.app.carrier import read_tokens
from jobs.wire import FORMAT, MOST_LEASES

TOKENS = [UUID(int=number) for number in range(MOST_LEASES + 1)]


class Message:
    def __init__(self, payload: Any) -> None:
        self.payload = payload


def of(*arguments: Any) -> Message:
    return Message([list(arguments), {}, {}])


@pytest.mark.parametrize("count", [1, 2, MOST_LEASES])
def test_a_message_names_leases(count: int) -> None:
    assert read_tokens(of(FORMAT, *map(str, TOKENS[:count]))) == TOKENS[:count]


FORGED = {
    "no lease": of(FORMAT),
    "too many leases": of(FORMAT, *map(str, TOKENS)),
    "another format": of(FORMAT + 1, str(TOKENS[0])),
    "text": of(FORMAT, "no token"),
    "a number among them": of(FORMAT, str(TOKENS[0]), 5),
    "nothing": of(),
    "more arguments": Message([[FORMAT, str(TOKENS[0])], {"more": 1}, {}]),
    "no list": Message(None),
    "a long text": Message("x" * 100),
}


@pytest.mark.parametrize("case", FORGED)
def test_anything_else_is_none(case: str) -> None:
    assert read_tokens(FORGED[case]) is None
