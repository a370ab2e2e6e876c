"""A search as its filters give it: each is one term of the query language, beside those of `q`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import InvalidSearch
from .terms import LONGEST, MOST_WORDS, Term, Word, parse

FILTERS = {
    "status": ("status", ""),
    "state": ("state", ""),
    "task": ("task", ""),
    "queue": ("queue", ""),
    "worker": ("worker", ""),
    "tag": ("tag", ""),
    "reference": ("reference", ""),
    "created_after": ("created", ">"),
    "created_before": ("created", "<"),
}
"""The field of the language that a filter means, and how it compares."""


def terms_of(filters: Mapping[str, Sequence[str]], q: str = "") -> tuple[Term, ...]:
    """The terms of filters and a query. A filter given twice means either; tags must all be there.

    Raises InvalidSearch.
    """
    found = [term for name, texts in filters.items() if texts for term in _terms(name, texts)]
    return (*found, *parse(q))


def _terms(name: str, texts: Sequence[str]) -> list[Term]:
    field, compared = FILTERS[name]
    if len(texts) > MOST_WORDS or any(len(text) > LONGEST for text in texts):
        raise InvalidSearch(name, f"At most {MOST_WORDS} values of {LONGEST:,} characters are read.")
    if "" in texts:
        raise InvalidSearch(name, "Expected a value; leave the filter out to take them all.")
    if compared and len(texts) > 1:
        raise InvalidSearch(name, "Give it once.")
    term = Term(field, tuple(Word(text) for text in texts), compared=compared, source=name)
    return [replace(term, words=(word,)) for word in term.words] if name == "tag" else [term]
