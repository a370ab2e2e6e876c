"""The query language: what is written is read back, and what can't be read is refused with a place."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from jobs.errors import InvalidSearch
from jobs.search import cursors
from jobs.search.cursors import Place
from jobs.search.fields import FIELDS, wanted
from jobs.search.keys import Key
from jobs.search.terms import Term, Word, parse, render
from jobs.search.ways import Total

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
any_text = st.text(max_size=12)
words = st.builds(Word, any_text, st.booleans())
plain = st.builds(Word, st.text("abc.:=-;@/é\\'%_0", min_size=1, max_size=8), st.booleans())
steps = st.lists(st.text("abz_09-", min_size=1, max_size=5), max_size=3).map(tuple)
many = st.builds(
    Term,
    st.sampled_from([*FIELDS, "unheard_of"]),
    st.lists(words | plain, min_size=1, max_size=4).map(tuple),
    steps,
    st.just(""),
    st.booleans(),
)
compared = st.builds(
    Term,
    st.sampled_from(list(FIELDS)),
    st.tuples(st.builds(Word, any_text)),
    steps,
    st.sampled_from([">", ">=", "<", "<="]),
    st.booleans(),
)


def outcome(made: Callable[[], Any]) -> tuple[Any, Any]:
    """What it returns, and how it refuses."""
    try:
        return made(), None
    except InvalidSearch as error:
        return None, error


@given(st.lists(many | compared, max_size=6).map(tuple))
def test_what_is_rendered_parses_to_the_same_terms(terms: tuple[Term, ...]) -> None:
    assert parse(render(terms)) == terms


@given(st.text(max_size=80) | st.text('-:.,"\\*<>= \nabc1', max_size=40))
@example("state:")
@example('"')
@example("-")
@example("task:a,")
@example("task:a*b")
@example("created:>1,2")
@example("é:x")
def test_any_text_is_read_or_refused_with_the_place(text: str) -> None:
    terms, refusal = outcome(lambda: parse(text))
    if terms is not None:
        assert parse(render(terms)) == terms
    else:
        assert refusal.field == "q"
        assert "At character " in str(refusal) or "at most" in str(refusal)


@given(st.lists(many | compared, max_size=6).map(tuple))
def test_any_terms_mean_jobs_or_are_refused(terms: tuple[Term, ...]) -> None:
    found, refusal = outcome(lambda: wanted(terms, now=NOW))
    assert found is not None or refusal.field == "q"


@given(st.text(max_size=30), st.sampled_from(["created", "started", "took", "priority"]), st.sampled_from(["", ">"]))
@example("9999-12-31T23:59:59.999999-14:00", "created", "")
@example("0001-01-01T00:00+14:00", "created", "")
@example("999999999w", "created", ">")
@example("..", "created", "")
@example("9999-12-31", "created", "")
@example("9999999999", "priority", ">")
def test_any_bound_is_read_or_refused(text: str, field: str, sign: str) -> None:
    found, refusal = outcome(lambda: wanted((Term(field, (Word(text),), compared=sign),), now=NOW))
    assert found is not None or any(word in str(refusal) for word in (" is no ", " is longer ", "must be given", "NUL"))


@given(
    st.datetimes(timezones=st.just(UTC)).filter(lambda moment: moment.year >= 1970),
    st.uuids(),
    st.integers(2, 10**6),
    st.integers(0, 10**12),
    st.booleans(),
)
def test_a_cursor_is_read_as_it_was_written(moment: datetime, id_, page: int, count: int, is_exact: bool) -> None:
    place = Place(Key(moment, id_), page, Total(count, is_exact))
    terms = parse("state:failed")
    assert cursors.read(cursors.written(place, terms), terms) == place


@given(st.text(max_size=60) | st.text("abcWzE0_-=", max_size=80))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    place, refusal = outcome(lambda: cursors.read(text, ()))
    assert (place, refusal and refusal.field) == (None, "cursor")
