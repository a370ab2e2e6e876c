"""The engine's statements: one per file, loaded once by name."""

from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def statement(name: str) -> str:
    """The text of `<name>.sql`, with psycopg's named placeholders."""
    return (HERE / f"{name}.sql").read_text()
