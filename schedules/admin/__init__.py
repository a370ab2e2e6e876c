"""The admin of schedules: it parses, calls one verb or query, and renders."""

from . import schedules, times  # noqa: F401  each registers its models
