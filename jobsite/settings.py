"""Django settings of the shipped site; every value that differs between machines is an environment variable."""

import os
from pathlib import Path

from . import database, embedded

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("DEBUG", "") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY") or embedded.secret("secret_key")
# This machine always: `up` and health checks ask by these names.
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *filter(None, os.environ.get("ALLOWED_HOSTS", "").split(","))]
CSRF_TRUSTED_ORIGINS = [o for o in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",") if o]

INSTALLED_APPS = [
    "jobsite",
    "jobs",
    "schedules",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "ninja",
    "servestatic",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "jobsite.urls"
ASGI_APPLICATION = "jobsite.asgi.application"
WSGI_APPLICATION = "jobsite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASE_URL = os.environ.get("DATABASE_URL") or embedded.database_url()
DATABASES = {"default": database.parse(DATABASE_URL, pool=os.environ.get("DATABASE_POOL") == "1")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-us"
TIME_ZONE = os.environ.get("TIME_ZONE", "UTC")
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = embedded.HOME / "static"
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = DEBUG

# The first API token; `up` makes one on its first start.
ADMIN_API_TOKEN = os.environ.get("ADMIN_API_TOKEN") or embedded.read("token")
FLOWER_URL = os.environ.get("FLOWER_URL", f"http://127.0.0.1:{os.environ.get('FLOWER_PORT', '5555')}/")

CELERY_BROKER_URL = os.environ.get("BROKER_URL") or embedded.broker_url()
CELERY_RESULT_BACKEND = "jobs.app.backend:JobBackend"
CELERY_BEAT_SCHEDULER = "schedules.scheduler:JobScheduler"
CELERY_TIMEZONE = TIME_ZONE

JOBS_DEFAULT_MAX_RETRIES = int(os.environ.get("JOBS_DEFAULT_MAX_RETRIES", "3"))

# The task of schedules that /api/admin/scheduled-jobs is given without one.
SCHEDULE_DEFAULT_TASK = os.environ.get("SCHEDULE_DEFAULT_TASK")

FEEDS_TIMEOUT = float(os.environ.get("FEEDS_TIMEOUT", "20"))
FEEDS_MAX_BYTES = int(os.environ.get("FEEDS_MAX_BYTES", str(10 * 1024 * 1024)))

# `cleanup_tempfiles` empties these; resolved, as it follows no symbolic link.
TEMPFILES_FOLDERS = os.environ.get("TEMPFILES_FOLDERS") or [str(embedded.HOME.resolve() / "tmp")]
