"""The twins themselves: a guard that nobody can find is no proof."""

from pathlib import Path

import pytest

from tests.support.breaking import Twin


def test_a_guard_that_is_written_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="is gone or is written otherwise"):
        Twin("win", "a guard of last year", "").apply(monkeypatch, tmp_path)
