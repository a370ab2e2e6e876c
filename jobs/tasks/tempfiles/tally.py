"""What a clean-up has seen, removed, kept, and could not remove."""

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 20
"""Paths that a result names."""


@dataclass(slots=True)
class Tally:
    seen: int = 0
    files: int = 0
    folders: int = 0
    bytes: int = 0
    missing: list[str] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def keep(self, reason: str) -> None:
        self.kept[reason] += 1

    def fail(self, path: str, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self.failed[reason] += 1
        if len(self.examples) < EXAMPLES:
            # A name may hold any byte, a line feed too; its representation can be kept and shown.
            self.examples.append(f"{path!r}: {reason}")

    def file_removed(self, found: os.stat_result) -> None:
        self.files += 1
        # Another name may keep the content.
        self.bytes += found.st_size if found.st_nlink == 1 else 0

    def result(self) -> dict[str, Any]:
        return {
            "seen": self.seen,
            "removed": {"files": self.files, "folders": self.folders, "bytes": self.bytes},
            "kept": dict(self.kept),
            "failed": dict(self.failed),
            "examples": self.examples,
            "missing_folders": [repr(folder) for folder in self.missing],
        }
