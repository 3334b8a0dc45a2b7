"""What the web server imports. It reads the environment as it is and starts nothing."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

# Loaded with the web server, so that a hop can wake a worker through Celery's current application.
from config import celery  # noqa: F401
from config.bodies import bounded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = bounded(get_wsgi_application(), settings.SLOW_BODIES)
