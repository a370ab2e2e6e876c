"""The REST API of schedules: the site joins it to that of jobs."""

from jobs.api.app import JobsAPI

from . import problems, scheduled_jobs, schedules

__all__ = ["join"]


def join(api: JobsAPI) -> None:
    """Before its `urls` are asked for."""
    problems.register(api)
    api.add_router("/jobs/schedules", schedules.router)
    api.add_router("/admin/scheduled-jobs", scheduled_jobs.router)
