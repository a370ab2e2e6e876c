"""The query language: `state:failed queue:mail args.user_id:42 created:>-24h -tag:x`. Pure; knows no field's meaning.

Terms stand side by side and all must hold. A comma between values is an "or", a minus before a term a "not", a `*`
after a value "begins with", and quotes keep what is inside as it is (a backslash keeps the next character).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from ..errors import InvalidSearch

LONGEST, MOST_TERMS, MOST_WORDS = 2000, 30, 100
"""Characters of a query, its terms, the values of one term."""


@dataclass(frozen=True, slots=True)
class Word:
    """One value, or with `is_prefix` all that begin so."""

    text: str
    is_prefix: bool = False

    def __str__(self) -> str:
        return (self.text if _PLAIN.fullmatch(self.text) else _quoted(self.text)) + "*" * self.is_prefix


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: a field, with a path below it (`args.user_id`), a comparison, and values of which one must fit."""

    field: str
    words: tuple[Word, ...]
    path: tuple[str, ...] = ()
    compared: str = ""
    """"", or one of > >= < <=, which take one value."""
    is_negated: bool = False
    source: str = "q"
    """The parameter that it came by."""

    @property
    def label(self) -> str:
        """How its sender wrote it, for an error."""
        return str(self) if self.source == "q" else self.source

    def __str__(self) -> str:
        name = ".".join((self.field, *self.path))
        return f"{'-' * self.is_negated}{name}:{self.compared}{','.join(map(str, self.words))}"


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a query. Raises InvalidSearch, which says at which character."""
    if len(text) > LONGEST:
        raise InvalidSearch("q", f"The query has {len(text):,} characters; at most {LONGEST:,} are read.")
    found: list[Term] = []
    at = _past_spaces(text, 0)
    while at < len(text):
        term, at = _term(text, at)
        found.append(term)
        at = _past_spaces(text, at)
    if len(found) > MOST_TERMS:
        raise InvalidSearch("q", f"The query has {len(found)} terms; at most {MOST_TERMS} are read.")
    return tuple(found)


def render(terms: Iterable[Term]) -> str:
    """A query that parses to these terms."""
    return " ".join(map(str, terms))


_NAME = re.compile(r"(-?)([A-Za-z_]+)((?:\.[^\s.:,\"<>=*]+)*):")
_COMPARED = re.compile(r">=|<=|>|<")
_BARE = re.compile(r"[^\s,\"*]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S)
_PLAIN = re.compile(r"[^\s,\"*<>=][^\s,\"*]*")


def _term(text: str, at: int) -> tuple[Term, int]:
    if not (name := _NAME.match(text, at)):
        return _id(text, at)
    at = name.end()
    compared = found[0] if (found := _COMPARED.match(text, at)) else ""
    words, at = _words(text, at + len(compared))
    path = tuple(name[3].split(".")[1:])
    if compared and (len(words) > 1 or words[0].is_prefix):
        _refuse(text, at - 1, f"{name[2]}:{compared} takes one value")
    return Term(name[2].lower(), words, path, compared, bool(name[1])), at


def _words(text: str, at: int) -> tuple[tuple[Word, ...], int]:
    words: list[Word] = []
    while True:
        word, at = _word(text, at)
        words.append(word)
        if text[at : at + 1] != ",":
            break
        at += 1
    if at < len(text) and not text[at].isspace():
        _refuse(text, at, "expected a space or a comma after a value; put the value in quotes")
    if len(words) > MOST_WORDS:
        _refuse(text, at - 1, f"a field takes at most {MOST_WORDS} values")
    return tuple(words), at


def _word(text: str, at: int) -> tuple[Word, int]:
    if found := _QUOTED.match(text, at):
        said = re.sub(r"\\(.)", r"\1", found[1], flags=re.S)
    elif text[at : at + 1] == '"':
        _refuse(text, at, "this quote is not closed")
    elif found := _BARE.match(text, at):
        said = found[0]
    else:
        _refuse(text, at, 'expected a value, or "" for the empty text')
    at = found.end()
    is_prefix = text[at : at + 1] == "*"
    return Word(said, is_prefix), at + is_prefix


def _id(text: str, at: int) -> tuple[Term, int]:
    """A word without a field is the id of a job, or a mistake."""
    word = re.compile(r"\S+").match(text, at)
    assert word is not None
    try:
        return Term("id", (Word(str(UUID(word[0]))),)), word.end()
    except ValueError:
        _refuse(text, at, "expected field:value, as task:mail.send, or the id of a job")


def _past_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _refuse(text: str, at: int, why: str) -> NoReturn:
    raise InvalidSearch("q", f"At character {at + 1}, {text[at : at + 20]!r}: {why}.")
