"""Schedules that insert jobs: django-celery-beat's models, a beat of our own, policies and history."""

from .declared import schedule

__all__ = ["schedule"]
