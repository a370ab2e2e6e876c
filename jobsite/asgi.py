"""The web process: `uvicorn jobsite.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsite.settings")
os.environ.setdefault("DATABASE_POOL", "1")

application = get_asgi_application()
