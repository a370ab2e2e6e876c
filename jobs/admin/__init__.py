"""The admin: it parses, calls one engine verb or query, and renders. It writes no job row itself."""

from . import audit, blocking, dead_letters, feeds, jobs, pauses, queues, results, workers  # noqa: F401  each registers its models
