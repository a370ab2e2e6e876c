"""Tasks that behave as some do; `SEEN` is what they saw, in this process."""

import celery
from celery import group, shared_task, signature
from celery.exceptions import Ignore, Reject, Retry
from django.contrib.auth.models import User
from django.db import connection, transaction

SEEN: list = []


@shared_task
def echo(*args, **kwargs):
    SEEN.append((args, kwargs))
    return [list(args), kwargs]


@shared_task(bind=True)
def ask(self, name):
    return getattr(self.request, name)


@shared_task
def boom(message="no luck"):
    raise ValueError(message)


@shared_task(max_retries=1)
def patient():
    raise ValueError("not yet")


@shared_task(autoretry_for=(KeyError,), retry_backoff=7, retry_jitter=False, max_retries=2)
def choosy(error):
    raise {"key": KeyError, "value": ValueError}[error]("x")


@shared_task(bind=True, max_retries=5)
def again(self, n, **options):
    if n:
        raise self.retry(args=[n - 1], countdown=options.pop("countdown", 30), **options)
    return "done"


@shared_task(bind=True)
def in_a_transaction(self):
    with transaction.atomic():
        User.objects.create(username="half")
        raise self.retry(countdown=5)


@shared_task
def raises(kind):
    raise {
        "ignore": Ignore("x"),
        "requeue": Reject("later", requeue=True),
        "reject": Reject("no"),
        "retry": Retry("?"),
        "exit": SystemExit(3),
        "keyboard": KeyboardInterrupt(),
        "memory": MemoryError("all of it"),
        "recursion": RecursionError("deep"),
        "big": ValueError("x" * 50_000_000),
    }[kind]


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("not even that")

    __repr__ = __str__


@shared_task
def mute():
    raise MuteError


@shared_task
def returns_an_object():
    return object()


@shared_task
def returns_nul():
    return "a\x00b"


@shared_task
def returns_a_breaking_object():
    class Breaking:
        def __json__(self):
            raise KeyError("of its own")

    return Breaking()


@shared_task
def leaves_a_block_open(how):
    if how == "atomic":
        transaction.atomic().__enter__()
    elif how == "autocommit":
        connection.set_autocommit(False)
    else:
        connection.ensure_connection()
        connection.connection.close()
    if how != "closed":
        User.objects.create(username="never")


@shared_task(bind=True)
def reports(self):
    self.progress(1, 2, "half")
    self.progress(2, 2, "whole")


@shared_task(bind=True)
def reports_an_object(self):
    self.progress(1, 2, "half")
    self.progress(2, 2, thing=object())


@shared_task(dead_letter=False)
def fails_softly():
    raise ValueError("oh")


@shared_task(base=celery.Task)
def stock():
    raise ValueError("stock")


@shared_task
def errback(task_id):
    SEEN.append(task_id)


@shared_task(bind=True)
async def asynchronous(self, name):
    self.progress(1, 1, "whole")
    await User.objects.acreate(username=name)
    return await User.objects.acount()


@shared_task
def reads_users():
    return User.objects.count()


@shared_task
def total(numbers):
    return sum(numbers)


@shared_task
def double(x):
    return 2 * x


@shared_task
def nothing(*args):
    """Returns None."""


@shared_task
def constant():
    return 7


@shared_task(bind=True)
def replaces(self, sig):
    raise self.replace(signature(sig, app=self.app))


@shared_task(bind=True)
def calls(self, number):
    for n in range(number):
        double.delay(n)


@shared_task
def calls_a_group(number):
    group(double.s(n) for n in range(number))()


@shared_task(bind=True, max_retries=5)
def replaces_or_retries(self):
    try:
        raise self.replace(double.s(1).set(queeue="x"))
    except ValueError as refused:
        raise self.retry(countdown=30) from refused


@shared_task
def errback_of_error(request, error, traceback):
    SEEN.append((request.id, type(error).__name__, str(error)))


@shared_task(bind=True)
def calls_itself(self):
    self.apply_async(task_id=self.request.id)
