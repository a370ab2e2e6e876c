"""Ten thousand at once: few statements to make them, few to count them."""

import pytest
from celery import chord, group
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from jobs.engine.finish import finish
from jobs.engine.link import Link
from jobs.engine.newjob import job_key
from jobs.models import Chord, Job
from tests.support.engine import NODE, outcome, row, won
from tests.support.odd_tasks import double, total

MANY = 10_000
CARRIER = 200


@pytest.mark.parametrize(
    "call",
    [lambda members: group(members)(), lambda members: chord(members)(total.s())],
    ids=["group", "chord"],
)
def test_ten_thousand_jobs_are_made_with_a_few_statements_and_no_broker(link: Link, call) -> None:
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        call([double.s(n) for n in range(MANY)])
    assert len(queries) <= 20
    assert Job.objects.filter(task=double.name).count() == MANY


def test_ten_thousand_members_are_counted_by_one_statement_a_carrier_and_released_by_one(link: Link) -> None:
    body = chord([double.s(n) for n in range(MANY)])(total.s())
    members = [job_key(member.id) for member in body.parent.results]
    asked: list[str] = []
    rows = link.rows
    for start in range(0, MANY, CARRIER):
        ids = members[start : start + CARRIER]
        outcomes = [outcome(id_, result=str(members.index(id_, start)), in_chord=True) for id_ in ids]
        token = won(link, ids)
        link.rows = lambda name, **params: (asked.append(name), rows(name, **params))[1]  # type: ignore[method-assign]
        finish(link, outcomes, token=token, node=NODE, done=True)
        link.rows = rows  # type: ignore[method-assign]
    assert asked == ["finish"] * (MANY // CARRIER) + ["release"]
    assert Chord.objects.get().done == MANY
    assert row(job_key(body.id)).args == f"[[{', '.join(str(n) for n in range(MANY))}]]"
