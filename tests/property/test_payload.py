"""Whatever Celery's JSON carries reaches the task unchanged; the rest is refused before any SQL."""

import uuid
from datetime import UTC

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.utils.json import dumps, loads

from jobs.engine.enqueue import enqueue
from jobs.engine.execute import _read
from jobs.engine.newjob import NewJob
from jobs.engine.payload import DEEPEST, encode
from jobs.errors import InvalidJob
from jobs.models import Job
from tests.support.engine import lease, opened, win
from tests.support.rows import make_worker

text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**300), 10**300),
    st.floats(allow_nan=False, allow_infinity=False),
    text,
    st.binary(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.dates(),
    st.times(),
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20)
broken = st.sampled_from([float("nan"), float("inf"), "\x00", "a\ud800b", "\udc00", object(), {1, 2}, "\\ud83d\ude00"])
slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.usefixtures("transactional_db")
@slow
@given(st.lists(values, max_size=5), st.dictionaries(text, values, max_size=5))
def test_arguments_arrive_as_they_were_sent(args: list, kwargs: dict) -> None:
    job = enqueue(NewJob(task="t", args=encode("args", args), kwargs=encode("kwargs", kwargs)))
    with opened() as link:
        token = lease(link, [job])
        ((_, payload, *_),) = win(link, token, worker=make_worker())
        ((_, (id_, _, *arrived)),) = _read(payload, token, link)
    assert uuid.UUID(id_) == job
    assert repr(arrived[:2]) == repr(loads(dumps([args, kwargs]))), "as in a message of stock Celery"


@pytest.mark.usefixtures("transactional_db")
@slow
@given(values, broken, st.booleans())
def test_what_no_worker_could_read_is_refused_and_the_transaction_stays_usable(value, poison, as_key: bool) -> None:
    payload = {poison: value} if as_key and isinstance(poison, str | float) else [value, {"x": [poison]}]
    with transaction.atomic():
        with pytest.raises(InvalidJob):
            enqueue(NewJob(task="t", args=encode("args", [payload])))
        assert Job.objects.filter(task="t", args="[]").count() == 0


@pytest.mark.usefixtures("transactional_db")
@slow
@given(st.integers(1, 4000))
def test_a_nesting_is_refused_or_read(levels: int) -> None:
    value: list = []
    for _ in range(levels - 1):
        value = [value]
    if levels >= DEEPEST:
        with pytest.raises(InvalidJob, match=r"deeper|can't be written"):
            encode("args", [value])
        return
    text = encode("args", [value])
    job = enqueue(NewJob(task="t", args=text))
    with opened() as link:
        token = lease(link, [job])
        ((_, payload, *_),) = win(link, token)
        assert len(_read(payload, token, link)) == 1
