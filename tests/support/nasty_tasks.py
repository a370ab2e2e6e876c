"""Tasks that leave something behind in their process, each in its own way; `probe` tells what the next job finds."""

import contextvars
import locale
import os
import signal
import socket
import threading

from celery import shared_task
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone, translation

LEFT = contextvars.ContextVar("left", default="nothing")
SIGNALS = (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


def sql(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def raw(statement):
    connection.ensure_connection()
    connection.connection.execute(statement)


def unclean_transaction():
    connection.ensure_connection()
    connection.connection.autocommit = False
    connection.connection.execute("SELECT 1")


def half_done():
    transaction.atomic().__enter__()
    User.objects.create(username="half")


def block_a_signal():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})


def fork_and_come_back():
    os.fork()


def run_on_in_a_thread():
    threading.Thread(target=threading.Event().wait, args=(3,), daemon=True).start()


NASTY = {
    "search path": lambda: sql("SET search_path = pg_catalog"),
    "search path by function": lambda: sql("SELECT set_config('search_path', 'pg_catalog', false)"),
    "search path after a comment": lambda: sql("/* why */ SET search_path = pg_catalog"),
    "search path as second statement": lambda: sql("SELECT 1; SET search_path = pg_catalog"),
    "search path past Django": lambda: raw("SET search_path = pg_catalog"),
    "search path past Django, as bytes": lambda: raw(b"SET search_path = pg_catalog"),
    "role": lambda: sql("SET ROLE pg_monitor"),
    "statement timeout": lambda: sql("SET statement_timeout = 1234"),
    "session time zone": lambda: sql("SET TIME ZONE 'Asia/Tokyo'"),
    "read only": lambda: sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"),
    "advisory lock": lambda: sql("SELECT pg_advisory_lock(77)"),
    "advisory lock by trying": lambda: sql("SELECT pg_try_advisory_lock(77)"),
    "temporary table": lambda: sql("CREATE TEMP TABLE left_behind (x int)"),
    "listening": lambda: sql("LISTEN left_behind"),
    "prepared statement": lambda: sql("PREPARE left_behind AS SELECT 1"),
    "transaction by hand": lambda: sql("BEGIN", "SELECT 1"),
    "transaction of the driver": unclean_transaction,
    "open block": half_done,
    "autocommit off": lambda: connection.set_autocommit(False),
    "connection closed under Django": lambda: (connection.ensure_connection(), connection.connection.close()),
    "folder": lambda: os.chdir("/"),
    "umask": lambda: os.umask(0o777),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "SIGTERM": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "SIGUSR2": lambda: signal.signal(signal.SIGUSR2, lambda *_: None),
    "alarm": lambda: (signal.signal(signal.SIGALRM, signal.SIG_DFL), signal.alarm(1)),
    "blocked signal": block_a_signal,
    "socket timeout": lambda: socket.setdefaulttimeout(0.001),
    "context variable": lambda: LEFT.set("something"),
    "language": lambda: translation.activate("de"),
    "active time zone": lambda: timezone.activate("Asia/Tokyo"),
    "thread": run_on_in_a_thread,
    "fork": fork_and_come_back,
}


@shared_task
def leave_behind(what):
    NASTY[what]()


@shared_task
def probe():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('search_path'), current_user::text, current_setting('statement_timeout'),"
            " current_setting('TimeZone'), current_setting('default_transaction_read_only'),"
            " (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),"
            " to_regclass('pg_temp.left_behind')::text, (SELECT count(*) FROM pg_listening_channels()),"
            " (SELECT count(*) FROM pg_prepared_statements)"
        )
        session = list(cursor.fetchone())
    mask = os.umask(0)
    os.umask(mask)
    return {
        "session": session,
        "users": User.objects.filter(username="half").count(),
        "autocommit": [connection.get_autocommit(), connection.in_atomic_block],
        "folder": os.getcwd(),
        "umask": mask,
        "locale": locale.setlocale(locale.LC_NUMERIC) + locale.setlocale(locale.LC_CTYPE),
        "signals": [repr(signal.getsignal(number)) for number in SIGNALS],
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0],
        "socket": socket.getdefaulttimeout(),
        "context": LEFT.get(),
        "language": translation.get_language(),
        "time zone": timezone.get_current_timezone_name(),
    }


@shared_task
def backend_pid():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


@shared_task
def harmless(statement):
    sql(statement)


@shared_task
def trips_over_a_key():
    User.objects.get_or_create(username="twin")
    try:
        with transaction.atomic():
            User.objects.create(username="twin")
    except Exception:
        return "as expected"
