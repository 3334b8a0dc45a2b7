"""The Celery application. A message only wakes a worker; what is owed stands in PostgreSQL."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("jirani")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
