"""What no statement can write, whoever wrote the statement."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from jobs.states import FINAL, LEASED, State
from tests.support.rows import make_job

pytestmark = pytest.mark.django_db

NEEDED = [
    *((state, "finished_at", "jobs_final_has_end", state in FINAL) for state in State),
    *((state, "lease", "jobs_leased_has_lease", state in LEASED) for state in State),
    *((state, "pause", "jobs_paused_has_pause", state == State.PAUSED) for state in State),
]
VALUES: dict[str, Any] = {"finished_at": timezone.now(), "lease": uuid4(), "pause": 1}


def change(column: str, value: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f'UPDATE jobs_job SET "{column}" = %s', [value])


@pytest.mark.parametrize(("state", "column", "name", "needed"), NEEDED)
def test_a_column_has_a_value_in_the_states_that_need_it_only(
    state: State, column: str, name: str, needed: bool
) -> None:
    make_job(state=state)
    wrong, right = (None, VALUES[column]) if needed else (VALUES[column], None)
    change(column, right)
    with pytest.raises(IntegrityError, match=name):
        change(column, wrong)


@pytest.mark.parametrize("priority", [-101, 101])
def test_a_priority_lies_between_minus_100_and_100(priority: int) -> None:
    make_job(state=State.PENDING)
    with pytest.raises(IntegrityError, match="jobs_priority_is_between_100s"):
        change("priority", priority)
