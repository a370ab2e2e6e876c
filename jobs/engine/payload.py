"""Arguments, results and tags as JSON: what no worker or database could read is refused before it is written."""

import re
from collections.abc import Mapping
from typing import Any

from kombu.utils.json import JSONEncoder, loads

from ..conf import jobs_settings
from ..errors import InvalidJob

# JSON without the escapes that PostgreSQL refuses or that no text can carry: NUL, half a surrogate pair.
_STORABLE = re.compile(
    r"(?:[^\\]++|\\[^u]|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\u(?!0000|d[89a-f])[0-9a-f]{4})*+"
)
_BYTES = re.compile(r'\{"__type__": "bytes", "__value__": "(?:[^"\\]++|\\.)*+"\}')
_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"|([\[{])|[\]}]')
DEEPEST = 200
"""Levels of lists and dicts in one payload. Python reads some 900, less what its stack holds already."""
_dumps = JSONEncoder(allow_nan=False).encode


def encode(what: str, value: Any) -> str:
    """JSON as Celery would send it. Raises InvalidJob for what no worker could read back; `what` names it."""
    try:
        text = _dumps(value)
        text.encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(
            f"The job's {what} can't be written as JSON: {error}. Pass plain values (str, int, finite float, bool, "
            "None, list, dict, datetime, Decimal, UUID, bytes), and a model's primary key instead of the model."
        ) from error
    # Celery writes bytes as text where they are UTF-8. Their NUL is no harm outside PostgreSQL's jsonb.
    plain = _BYTES.sub("", text) if "\\u0000" in text and what != "progress" else text
    if "\\u" in plain and not _STORABLE.fullmatch(plain):
        raise InvalidJob(f"The job's {what} hold a NUL character or half a surrogate pair; remove it from the text.")
    _refuse_too_long(what, text)
    _refuse_unreadable(what, text)
    return text


def _refuse_too_long(what: str, text: str) -> None:
    settings = jobs_settings()
    name, limit = ("RESULT", settings.max_result) if what == "result" else ("PAYLOAD", settings.max_payload)
    if len(text) > limit:
        raise InvalidJob(
            f"The job's {what} is {len(text):,} bytes of JSON; the limit JOBS_MAX_{name} is {limit:,}. "
            "Store the data and pass its key."
        )


def _refuse_unreadable(what: str, text: str) -> None:
    """What is written but can't be read again would break its worker, and every job beside it in the carrier."""
    if text.count("[") + text.count("{") > DEEPEST:
        depth = 0
        for bracket in _BRACKETS.finditer(text):
            if bracket[0][0] != '"':
                depth += 1 if bracket[1] else -1
                if depth > DEEPEST:
                    raise InvalidJob(f"The job's {what} are nested deeper than {DEEPEST} levels; flatten them.")
    if '"__type__"' in text:
        try:
            loads(text)
        except Exception as error:
            raise InvalidJob(
                f"The job's {what} hold a dict of '__type__' and '__value__' that no worker can read: {error}. "
                "Celery keeps these two keys for its own types; name yours otherwise."
            ) from error


def encode_tags(tags: Mapping[str, str] | None) -> str | None:
    if not tags:
        return None
    if not isinstance(tags, Mapping) or not all(isinstance(t, str) for pair in tags.items() for t in pair):
        raise InvalidJob(f"Tags must map strings to strings, got {tags!r}.")
    return encode("tags", dict(tags))


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes the text: no NUL, no half surrogate pair."""
    return "\x00" not in text and (text.isascii() or not _SURROGATE.search(text))


_SURROGATE = re.compile("[\ud800-\udfff]")
