"""Celery without Jobsite. Its workers import these modules by themselves, with this directory on the path."""
