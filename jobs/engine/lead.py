"""The dispatcher's loop: lead or stand by, and survive the loss of the database and of the broker."""

import logging
import time
from collections.abc import Callable

import psycopg

from ..errors import BrokerDown
from .dispatch import Dispatcher
from .unready import unready

logger = logging.getLogger("jobs")


def run(
    dispatcher: Dispatcher, sweep: Callable[[], None], stop: Callable[[], bool], upkeep: Callable[[], float]
) -> None:
    """Dispatch until `stop()`; survive the loss of the database and of the broker.

    `upkeep` does a batch of slow work and returns the seconds after which to do the next.
    """
    pause = 0.1
    while not stop():
        try:
            if not (dispatcher.leads or dispatcher.lead()):
                _nap(1.0, stop)
                continue
            _loop(dispatcher, sweep, stop, upkeep)
        except psycopg.Error as error:
            said = unready(error) or str(error).strip()
            logger.warning("dispatcher: the database does not do its part, trying again: %s", said)
            dispatcher.leads = False
            dispatcher.link.close()
            _nap(pause, stop)
            pause = min(5.0, pause * 2)
        else:
            pause = 0.1


def _loop(
    dispatcher: Dispatcher, sweep: Callable[[], None], stop: Callable[[], bool], upkeep: Callable[[], float]
) -> None:
    settings = dispatcher.settings
    promote_at = sweep_at = upkeep_at = 0.0
    idle = 0.0
    down = False
    while not stop():
        now = time.monotonic()
        if now >= promote_at:
            promote_at = now + 0.05
            dispatcher.promote()
        if now >= sweep_at:
            sweep_at = now + 1.0
            sweep()
        if now >= upkeep_at:
            upkeep_at = time.monotonic() + upkeep()
        try:
            busy = dispatcher.dispatch() > 0
            if down:
                down = False
                logger.info("dispatcher: the broker is back")
        except BrokerDown as error:
            if not down:
                logger.warning("dispatcher: %s", error)
            down = True
            _nap(0.5, stop)
            continue
        longest = settings.carrier_seconds / 2 if dispatcher.is_backed_up else settings.poll_interval
        # After a claim there is no more room, or no more work, for a moment.
        idle = max(0.002, dispatcher.lull) if busy else min(longest, max(0.002, idle * 1.5))
        if dispatcher.link.notified(idle):
            idle = 0.002


def _nap(seconds: float, stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stop() and time.monotonic() < until:
        time.sleep(min(0.2, seconds))
