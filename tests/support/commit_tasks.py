"""Tasks that complete in a transaction of their own; each effect is a user of the name given."""

from asgiref.sync import sync_to_async
from celery import shared_task
from celery.exceptions import Ignore, Reject
from django.contrib.auth.models import User
from django.db import connection, transaction

from tests.support.odd_tasks import SEEN


def effect(name):
    User.objects.create(username=name)


def names() -> list[str]:
    """The effects that were committed."""
    return sorted(User.objects.values_list("username", flat=True))


@shared_task(bind=True)
def commits(self, name, result="done"):
    with self.commit() as done:
        effect(name)
        done.result = result


@shared_task(bind=True)
def then(self, name, what):
    """Commit, then do something that would end the job otherwise."""
    with self.commit() as done:
        effect(name)
        done.result = "done"
    if what == "raise":
        raise ValueError("too late")
    if what == "retry":
        raise self.retry(countdown=1)
    if what == "ignore":
        raise Ignore("too late")
    if what == "reject":
        raise Reject("too late")
    if what == "exit":
        raise SystemExit(3)
    if what == "progress":
        self.progress(1, 2, "too late")
    if what == "again":
        with self.commit():
            effect("again")
    return "something else"


@shared_task(bind=True)
def rolled_back(self, name, what):
    """Raise in the block, after the write."""
    with self.commit() as done:
        effect(name)
        done.result = "done"
        if what == "retry":
            raise self.retry(countdown=1)
        raise {"raise": ValueError("no"), "ignore": Ignore("no"), "reject": Reject("no")}[what]


@shared_task(bind=True)
def second_try(self, name):
    """The first block fails, the task goes on."""
    try:
        with self.commit():
            effect(name)
            raise ValueError("no")
    except ValueError:
        pass
    with self.commit() as done:
        effect(f"{name} again")
        done.result = "second"


@shared_task(bind=True)
def meanwhile(self, name, action):
    """Call `action` of this process in the block, before its end."""
    with self.commit() as done:
        effect(name)
        ACTIONS[action](self)
        done.result = "done"


ACTIONS: dict = {}


@shared_task(bind=True)
def inside_a_transaction(self):
    with transaction.atomic(), self.commit():
        effect("never")


@shared_task(bind=True)
def without_autocommit(self):
    connection.set_autocommit(False)
    with self.commit():
        effect("never")


@shared_task(bind=True)
def reports(self):
    with self.commit():
        self.progress(1, 2, "half")
        self.progress(2, 2, "whole")


@shared_task(bind=True)
def broken_callback(self, name):
    def fail():
        raise ValueError("callback")

    with self.commit() as done:
        effect(name)
        transaction.on_commit(fail)
        done.result = "done"


@shared_task(bind=True)
def calls_another(self, name):
    """The other task's block is a part of this task, not the end of this job."""
    commits(name)
    wholly.run(f"{name} too")
    return "its own result"


@shared_task(atomic=True, max_retries=3)
def wholly(name, what=None):
    effect(name)
    if what == "raise":
        raise ValueError("no")
    if what == "ignore":
        raise Ignore("no")
    if what == "reject":
        raise Reject("no")
    return f"made {name}"


@shared_task(bind=True, atomic=True, max_retries=3)
def wholly_retried(self, name):
    effect(name)
    raise self.retry(countdown=1)


@shared_task(atomic=True, autoretry_for=(KeyError,), max_retries=3)
def wholly_autoretried(name):
    effect(name)
    raise KeyError(name)


@shared_task(bind=True)
async def asynchronously(self):
    with self.commit():
        SEEN.append("never")


@shared_task(bind=True)
async def beside_a_coroutine(self, name):
    def block():
        with self.commit() as done:
            effect(name)
            done.result = "from the block"

    await sync_to_async(block)()
