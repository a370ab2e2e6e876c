"""Signatures of the platform's tasks are Celery's in all but speed."""

import pickle
from uuid import UUID

import pytest
from celery import chord, current_app, group, signature
from celery.canvas import Signature
from celery.result import AsyncResult
from kombu.utils.json import dumps, loads
from vine import barrier, promise

from tests.support.odd_tasks import double, echo


def test_a_copy_shares_nothing_that_can_be_changed() -> None:
    first = echo.s(1, word="a").set(link=[double.s()], headers={"n": [1]}, queue="mail")
    copy = first.clone()
    assert copy == first
    copy.kwargs["word"] = "b"
    copy.options["queue"] = "other"
    copy.options["headers"]["n"].append(2)
    copy.link(double.s(5))
    assert (first.kwargs, first.options["queue"]) == ({"word": "a"}, "mail")
    assert (first.options["headers"], len(first.options["link"])) == ({"n": [1]}, 1)


def test_the_body_of_a_chord_is_not_copied_with_each_member() -> None:
    body = echo.s()
    assert double.s(1).set(chord=body).clone().options["chord"] is body


def test_a_copy_keeps_what_makes_a_signature() -> None:
    copy = echo.si(1).clone()
    assert (copy.task, copy.args, copy.immutable, copy.subtask_type) == (echo.name, (1,), True, None)
    assert copy.type.name == copy.clone().type.name == echo.name
    assert copy.app is current_app._get_current_object()


def test_a_copy_with_more_arguments_has_them_in_celerys_order() -> None:
    copy = echo.s(2, word="a").clone((1,), {"other": "b"}, queue="mail")
    assert (copy.args, copy.kwargs, copy.options) == ((1, 2), {"word": "a", "other": "b"}, {"queue": "mail"})
    assert echo.si(2).clone((1,)).args == (2,)


def test_a_frozen_signature_keeps_its_id_and_others_get_one_each() -> None:
    first, second = double.s(1), double.s(1)
    assert first.freeze().id == first.freeze().id == first.options["task_id"]
    assert double.s(1).freeze("mine").id == "mine"
    assert first.id != second.freeze().id
    assert UUID(second.id).version == 4


@pytest.mark.parametrize(
    "sent", [lambda sig: loads(dumps(sig)), lambda sig: pickle.loads(pickle.dumps(sig))], ids=["json", "pickle"]
)
def test_a_signature_that_was_sent_is_the_same_call(sent) -> None:
    first = echo.s(1, word="a").set(queue="mail", link=[double.s()])
    again = signature(sent(first))
    assert loads(dumps(again)) == loads(dumps(first))
    assert again.type.name == echo.name


def test_the_canvas_takes_them_for_signatures() -> None:
    assert isinstance(double.s(1), Signature)
    assert (double.s(1) | double.s()).tasks == (double.s(1), double.s())
    assert len(group(double.s(n) for n in range(3))) == 3
    assert chord([double.s(1)], echo.s()).body == echo.s()


def test_a_signature_of_an_unknown_task_has_a_result_all_the_same() -> None:
    assert isinstance(signature("tests.no_such_task").freeze("mine"), AsyncResult)


def test_a_result_calls_what_waits_for_it_whenever_its_promise_is_made() -> None:
    result, called = double.AsyncResult("mine"), []
    together = barrier(size=1)
    together.then(promise(lambda: called.append("barrier")))
    assert result.then(together) is together
    result.then(lambda result: called.append(result.id))
    result.on_ready(result)
    assert called == ["barrier", "mine"]
    late = barrier(size=1)
    late.then(promise(lambda: called.append("late")))
    late.finalized = True
    result.then(late)
    assert called[2:] == ["late"]


def test_a_result_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(double.AsyncResult("mine"))).id == "mine"
    of_a_group = pickle.loads(pickle.dumps(current_app.GroupResult("all", [double.AsyncResult("mine")])))
    assert (of_a_group.id, [result.id for result in of_a_group]) == ("all", ["mine"])
    with pytest.raises(ValueError, match="requires valid id"):
        double.AsyncResult(None)
