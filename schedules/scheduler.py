"""Celery beat over django-celery-beat's models: a due schedule inserts a job row and needs no broker."""

from django_celery_beat.schedulers import DatabaseScheduler


class JobScheduler(DatabaseScheduler):
    # Beat's own producer waits for the broker before every run; a job row waits for nobody.
    producer = None
