"""For tests of code that calls tasks: run the jobs here, ask what was enqueued, let time pass. No broker, no worker."""

from .drain import JobFailed, run_jobs
from .enqueued import assert_enqueued, assert_not_enqueued
from .travel import time_travel

__all__ = ["JobFailed", "assert_enqueued", "assert_not_enqueued", "run_jobs", "time_travel"]
