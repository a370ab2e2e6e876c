"""What tests of an application use, under Django's own test runner, with each kind of its test cases."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.fleet import ROOT, database_url

RUN = """
import sys
import django
from django.test.runner import DiscoverRunner

django.setup()
sys.exit(DiscoverRunner(interactive=False).run_tests(sys.argv[1:]))
"""
MODULE = """
from django.contrib.auth.models import User
from django.test import TestCase, TransactionTestCase
from jobs.models import Job
from jobs.testing import assert_enqueued, assert_not_enqueued, run_jobs, time_travel
from tests.support import shop


class Orders:
    def test_an_order_is_placed_and_sent(self):
        shop.place.delay("o1")
        assert_enqueued(shop.place, args=["o1"], count=1)
        with self.assertRaises(AssertionError):
            assert_enqueued(shop.place, args=["o2"])
        self.assertEqual(len(run_jobs()), 3)
        assert_not_enqueued(shop.place)
        self.assertEqual(User.objects.get().username, "o1")

    def test_nothing_is_left_of_the_other_test(self):
        self.assertEqual((Job.objects.count(), User.objects.count()), (0, 0))
        shop.commits.apply_async(("o1",), countdown=3600)
        self.assertEqual(run_jobs(), [])
        time_travel(hours=1)
        self.assertEqual([job.state for job in run_jobs()], ["completed"])


class InATransactionTest(Orders, TestCase):
    @classmethod
    def setUpTestData(cls):
        shop.send.delay("of the class")
        assert [job.state for job in run_jobs()] == ["completed"]

    def test_nothing_is_left_of_the_other_test(self):
        self.assertEqual((Job.objects.count(), User.objects.count()), (1, 0))

    def test_a_failure_is_raised(self):
        shop.broken.delay()
        with self.assertRaisesMessage(ValueError, "no stock"):
            run_jobs()

    async def test_in_a_coroutine(self):
        from asgiref.sync import sync_to_async

        await shop.send.adelay("o1")
        self.assertEqual([job.result for job in await sync_to_async(run_jobs)()], ['"o1"'])


class CommittedTest(Orders, TransactionTestCase):
    pass
"""


def test_every_kind_of_test_case_runs_its_jobs(django_db_setup: None, django_db_blocker, tmp_path: Path) -> None:
    (tmp_path / "test_orders.py").write_text(MODULE)
    with django_db_blocker.unblock():
        environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            # Nobody listens there: no broker is asked.
            "BROKER_URL": "redis://127.0.0.1:1/0",
            "PYTHONPATH": str(ROOT),
            "JOBS_DEFAULT_MAX_RETRIES": "0",
        }
    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Ran 6 tests" in ran.stderr
