#!/usr/bin/env python
"""Run a management command; without DATABASE_URL on servers of our own (config/embedded.py)."""

import os
import sys

from config import embedded, environment

NEED_NO_SERVER = {"whatif"}


def main() -> None:
    """Prepare the environment, then hand over to Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    environment.end_on_sigterm()
    try:
        environment.prepare(servers=NEED_NO_SERVER.isdisjoint(sys.argv[1:2]))
    except embedded.EmbeddedError as error:
        sys.exit(f"jirani: {error}")
    from django.core.management import execute_from_command_line

    from config import celery  # noqa: F401 - commands wake workers, too

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
