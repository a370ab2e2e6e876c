"""What was enqueued is found by what was said, and what differs is told."""

import pytest

from jobs.testing import assert_enqueued, assert_not_enqueued, run_jobs
from tests.support import shop

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("odd")]


def test_what_was_enqueued_is_found_by_what_was_said() -> None:
    shop.send.apply_async(("o1",), {"to": "bob"}, queue="mail", tags={"tenant": "a", "more": "b"})
    shop.send.delay("o2")
    assert [job.queue for job in assert_enqueued(shop.send, args=("o1",))] == ["mail"]
    assert_enqueued("tests.support.shop.send", count=2)
    assert_enqueued(shop.send, args=["o1"], kwargs={"to": "bob"}, queue="mail", tags={"tenant": "a"}, count=1)
    assert_not_enqueued(shop.send, tags={"tenant": "b"})
    assert_not_enqueued(shop.broken)
    run_jobs()
    assert_not_enqueued(shop.send)


@pytest.mark.parametrize(
    "wanted",
    [
        {"args": ["o2"]},
        {"args": []},
        {"kwargs": {}},
        {"kwargs": {"to": "ann"}},
        {"queue": "default"},
        {"tags": {"tenant": "b"}},
        {"count": 2},
    ],
)
def test_what_differs_is_not_found(wanted) -> None:
    shop.send.apply_async(("o1",), {"to": "bob"}, queue="mail", tags={"tenant": "a"})
    with pytest.raises(AssertionError, match=r"found [01]\."):
        assert_enqueued(shop.send, **wanted)


def test_the_message_lists_what_was_enqueued_nearest_first() -> None:
    shop.broken.delay()
    shop.send.apply_async(("o1",), {"to": "bob"}, queue="mail", tags={"tenant": "a"})
    shop.send.delay("o2")
    run_jobs(1, queue="default", raise_failures=False)
    with pytest.raises(AssertionError) as raised:
        assert_enqueued(shop.send, args=["o1"], queue="default", count=1)
    assert str(raised.value) == (
        "Expected 1 job of tests.support.shop.send with args=['o1'], queue='default', found 0. Enqueued:\n"
        "  tests.support.shop.send('o1', to='bob') in queue 'mail', pending, tags {'tenant': 'a'} (other queue)\n"
        "  tests.support.shop.send('o2') in queue 'default', pending (other args)\n"
        "  tests.support.shop.broken() in queue 'default', dead_letter"
    )


def test_the_message_tells_of_what_waits_for_the_commit() -> None:
    with pytest.raises(AssertionError, match=r"found 0\. No job was enqueued\.$"):
        assert_enqueued(shop.send)
    shop.send.delay_on_commit("o1")
    with pytest.raises(AssertionError, match=r"wait for the test's commit: 1\. run_jobs\(\) calls them"):
        assert_enqueued(shop.send)


def test_the_message_stays_short_however_much_was_enqueued() -> None:
    shop.send.enqueue_many([[f"o{n}"] for n in range(30)])
    with pytest.raises(AssertionError, match=r"\n  … and 10 more") as raised:
        assert_enqueued(shop.broken)
    assert str(raised.value).count("shop.send(") == 20
