"""Tasks with a retry policy of their own, and tasks that say what becomes of their job."""

from types import SimpleNamespace

from celery import shared_task
from celery.exceptions import Retry
from django.db import connection

from jobs.app import JobDiscarded, JobSnoozed

SEEN: list = []


class Throttled(Exception):
    """An answer that names a time to wait, as HTTP clients' errors do."""

    def __init__(self, after=None, *, header=None, on_itself=False):
        super().__init__("slow down")
        self.retry_after = after
        if header is not None:
            answer = self if on_itself else SimpleNamespace()
            answer.headers = {"Retry-After": header}
            self.response = None if on_itself else answer


class Banned(Throttled):
    pass


@shared_task(
    max_retries=2,
    retry_delay=100,
    retry_backoff=3,
    retry_backoff_max=250,
    retry_on={Throttled: {"delay": 7, "max_retries": 4}, OSError: {"max_retries": None}},
    no_retry_for=(Banned, LookupError),
)
def shaped(error):
    raise {
        "value": ValueError,
        "throttled": Throttled,
        "banned": Banned,
        "key": KeyError,
        "timeout": TimeoutError,
    }[error]("x" if error == "value" else None)


@shared_task(max_retries=3, dont_autoretry_for=(KeyError,))
def spares_keys():
    raise KeyError("k")


@shared_task(max_retries=3)
def throttled(after=None, header=None, on_itself=False):
    raise Throttled(after, header=header, on_itself=on_itself)


def throttles(after):
    raise Throttled(after)


AUTOMATIC = {"autoretry_for": (Throttled,), "retry_jitter": False}
THROTTLED = {
    "backoff": shared_task(name="throttled.backoff", retry_backoff=50, **AUTOMATIC)(throttles),
    "default delay": shared_task(name="throttled.default", default_retry_delay=50, **AUTOMATIC)(throttles),
    "countdown": shared_task(name="throttled.countdown", retry_kwargs={"countdown": 50}, **AUTOMATIC)(throttles),
}


@shared_task(bind=True, autoretry_for=(Throttled,), default_retry_delay=50)
def throttled_by_hand(self, after, **when):
    try:
        throttles(after)
    except Throttled as error:
        self.retry(exc=error, **when)


@shared_task(autoretry_for=(Exception,), no_retry_for=(ValueError,), retry_jitter=False, retry_backoff=5, max_retries=1)
def automatic(kind):
    raise {"value": ValueError, "key": KeyError}[kind](kind)


@shared_task(autoretry_for=(KeyError,), retry_on={OSError: {"delay": 3, "max_retries": 1}})
def both_ways():
    raise TimeoutError("late")


@shared_task(autoretry_for=(KeyError,), retry_kwargs={"max_retries": 5}, retry_jitter=False)
def counts_by_itself():
    raise KeyError("k")


@shared_task(bind=True, retry_for=60)
def hurried(self, countdown):
    try:
        raise ValueError("the real one")
    except ValueError as error:
        raise self.retry(exc=error, countdown=countdown) from error


@shared_task(max_retries=None, retry_delay=10, retry_for=3600, dead_letter=False)
def persistent():
    raise ValueError("not yet")


@shared_task(bind=True, max_retries=1)
def bare_retry(self):
    try:
        raise ValueError("the real one")
    except ValueError:
        self.retry(countdown=9)


@shared_task(bind=True, max_retries=5)
def gives_up(self, how):
    error = ValueError("spent") if how == "its own" else None
    self.retry(exc=error, max_retries=0)


@shared_task(bind=True, max_retries=3)
def goes_on(self, then):
    self.retry(args=["fine"], countdown=40, throw=False, exc=KeyError("first"))
    if then == "fail":
        raise ValueError("second")
    return then


@shared_task(bind=True, max_retries=1)
async def retries_in_a_coroutine(self):
    try:
        raise ValueError("the real one")
    except ValueError as error:
        raise self.retry(exc=error, countdown=20) from error


@shared_task(max_retries=3)
def raises_retry():
    raise Retry("please", exc=ValueError("why"))


@shared_task(bind=True, autoretry_for=(Exception,), max_retries=3)
def snoozes(self, how, seconds=30):
    SEEN.append((self.job.attempt, self.job.retries))
    if how == "raised":
        raise JobSnoozed(seconds)
    try:
        self.snooze(seconds)
    except Exception as error:
        if how == "plain":
            raise
        if how == "retried":
            raise self.retry(exc=error) from error
        if how == "wrapped":
            raise RuntimeError("made of it") from error
    return "went on"


@shared_task(bind=True)
def fails_then_snoozes(self):
    if self.job.retries == 0:
        raise ValueError("first")
    self.snooze(5)


@shared_task(bind=True)
async def snoozes_in_a_coroutine(self):
    self.snooze(30)


@shared_task(bind=True, max_retries=3)
def discards(self, how="plain"):
    if how == "raised":
        raise JobDiscarded("no such order")
    try:
        self.discard("no such order")
    except Exception:
        if how == "plain":
            raise
    return "went on"


@shared_task(bind=True)
def views(self):
    with connection.execute_wrapper(_no_query):
        SEEN.append(self.job)


def _no_query(*_):
    raise AssertionError("a query was made")


@shared_task(on_lost="dead_letter")
def once():
    return None
