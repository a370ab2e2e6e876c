"""A small shop, as an application under test: its code, for the tests of what `jobs.testing` offers."""

import time

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

SAID: list = []


@shared_task
def send(order, *, to="ann"):
    SAID.append(f"sent {order} to {to}")
    return order


@shared_task
def place(order):
    """Writes, and enqueues two more jobs: one with its transaction, one after it."""
    with transaction.atomic():
        User.objects.create(username=order)
        send.delay(order)
        transaction.on_commit(lambda: SAID.append("committed"))
        send.delay_on_commit(order, to="bob")
        SAID.append("in the block")
    transaction.on_commit(lambda: SAID.append("at once"))
    SAID.append("after the block")


@shared_task
def broken(message="no stock"):
    raise ValueError(message)


@shared_task(max_retries=2)
def shaky(ok_at=3):
    SAID.append("tried")
    if len(SAID) < ok_at:
        raise ValueError("not yet")
    return "at last"


@shared_task(bind=True, max_retries=2)
def asks_again(self):
    if self.request.retries == 0:
        raise self.retry(countdown=60)
    return self.request.retries


@shared_task(autoretry_for=(KeyError,), retry_backoff=60, retry_jitter=False, max_retries=2)
def autoretried():
    raise KeyError("x")


@shared_task(bind=True)
def commits(self, order):
    with self.commit() as done:
        User.objects.create(username=order)
        done.result = order


@shared_task
def swallows():
    """Legal on a connection of one's own; in a test's transaction the failed insert breaks what follows."""
    User.objects.create(username="kept")
    for _ in range(2):
        try:
            User.objects.create(username="twice")
        except IntegrityError:
            return "swallowed"


@shared_task
def leaves_open(how):
    if how == "atomic":
        transaction.atomic().__enter__()
    else:
        connection.set_autocommit(False)
    User.objects.create(username="never")


@shared_task
def limited():
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        return User.objects.count()


@shared_task
def nul(how):
    """What no row can carry, found out only when it is written."""
    if how == "exit":
        raise SystemExit(3)
    raise ValueError("a\x00b")


@shared_task
def forever():
    forever.delay()


@shared_task(bind=True)
async def asynchronous(self, order):
    await User.objects.acreate(username=order)
    await send.adelay(order)
    return await User.objects.acount()


@shared_task(bind=True)
def reports(self):
    self.progress(1, 2, "half")
    self.progress(2, 2, "whole")


@shared_task
def runs_jobs():
    from jobs.testing import run_jobs

    run_jobs()
