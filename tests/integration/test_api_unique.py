"""Unique keys and full queues over the API."""

from typing import Any

import pytest
from django.test import Client

from jobs.models import Job, Queue
from jobs.states import State
from tests.support.api import post, problem

pytestmark = pytest.mark.django_db


def submit(api: Client, **fields: Any) -> Any:
    return post(api, {"task": "tests.support.tasks.noop", "unique_key": "order-7", **fields})


def test_a_twin_is_answered_with_the_job_that_holds_the_key(api: Client) -> None:
    first, second = submit(api), submit(api)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["job_id"] == second.json()["job_id"]
    assert Job.objects.get().unique_key == "order-7"


def test_a_twin_is_refused_on_demand(api: Client) -> None:
    first = submit(api)
    refused = problem(submit(api, on_conflict="raise"), 409, "duplicate_job")
    assert first.json()["job_id"] in refused["detail"]


def test_a_twin_takes_the_place_on_demand(api: Client) -> None:
    first, second = submit(api), submit(api, on_conflict="replace", unique_for=60)
    assert second.status_code == 201
    assert Job.objects.get(pk=first.json()["job_id"]).state == State.CANCELLED
    assert Job.objects.get(pk=second.json()["job_id"]).unique_until is not None


def test_an_unknown_choice_is_refused(api: Client) -> None:
    assert problem(submit(api, on_conflict="ignore"), 422, "invalid_body")["errors"][0]["pointer"] == "/on_conflict"


def test_unique_for_without_a_key_is_refused(api: Client) -> None:
    assert "unique_key" in problem(submit(api, unique_key=None, unique_for=60), 422, "invalid_job")["detail"]


def test_a_full_queue_answers_429(api: Client) -> None:
    Queue.objects.create(name="small", max_size=0)
    response = submit(api, queue="small")
    problem(response, 429, "queue_full")
    assert int(response["Retry-After"]) > 0
    assert not Job.objects.exists()
