"""Verbs of `manage.py jobs` that an app brings: its config names the function that adds them, as `jobs_verbs`."""

from collections.abc import Callable, Iterator
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string

Add = Callable[[Any, BaseCommand], None]
"""Takes the command's subparsers and the command; a parser's default `does` takes its options, returns an exit code."""


def verbs_of_apps() -> Iterator[Add]:
    for config in apps.get_app_configs():
        if path := getattr(config, "jobs_verbs", None):
            yield import_string(path)
