"""Texts that become SQL while another thread's connection changes what libpq takes a backslash for."""

import threading

from jobs.engine.like import literal
from jobs.engine.link import Link

EVIL = "\\'; DROP TABLE jobs_job; --" + "x" * 200_000
"""A text that ends at its quote if its backslash is taken for an ordinary character; the longer, the wider the gap."""


def test_a_text_never_ends_at_a_quote_of_its_own(link: Link) -> None:
    pgconn, done = link._open().pgconn, threading.Event()

    def change() -> None:
        while not done.is_set():
            pgconn.exec_(b"SET standard_conforming_strings = off")
            pgconn.exec_(b"SET standard_conforming_strings = on")

    changing = threading.Thread(target=change)
    changing.start()
    try:
        made = {literal(EVIL)[:40] for _ in range(2_000)}
    finally:
        done.set()
        changing.join()
    assert made == {" E'\\\\''; DROP TABLE jobs_job; --xxxxxxxxxxx"[:40]}
