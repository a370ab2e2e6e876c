"""The engine's statements: one per file, loaded once by name."""

from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def statement(name: str) -> str:
    """The text of `<name>.sql`, with psycopg's named placeholders, but for comments: they would be sent and parsed."""
    lines = (HERE / f"{name}.sql").read_text().splitlines()
    return "".join(f"{line}\n" for line in lines if not line.lstrip().startswith("--"))
