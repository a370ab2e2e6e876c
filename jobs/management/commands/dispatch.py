"""`manage.py dispatch`: the process that hands ready jobs to the broker."""

import logging
import signal
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand

from ...conf import jobs_settings
from ...engine.broker import Broker
from ...engine.dispatch import Dispatcher
from ...engine.lead import run
from ...engine.link import Link
from ...engine.maintenance import Sweeper
from ...engine.upkeep import Upkeep


class Command(BaseCommand):
    help = "Hand ready jobs to the broker, bring back lost ones. Several may run: one works, the others stand by."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--queues", default="", help="Only these queues, comma separated (default: all).")

    def handle(self, *args: Any, queues: str, **options: Any) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        stopping: list[int] = []

        def stop(number: int, frame: FrameType | None) -> None:
            stopping.append(number)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        settings = jobs_settings()
        link = Link("jobs dispatcher")
        broker = Broker(current_app._get_current_object())
        dispatcher = Dispatcher(link, broker, settings, queues=[q for q in queues.split(",") if q])
        try:
            run(dispatcher, Sweeper(link, settings).sweep, lambda: bool(stopping), Upkeep(link, settings).step)
        finally:
            broker.close()
            link.close()
