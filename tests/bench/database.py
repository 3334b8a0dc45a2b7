"""A database of one's own for one run of a benchmark, on the benchmarks' server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

from config import environment


def point_to(name: str) -> str:
    """Let the settings, which are not read yet, point to a database of this name; return where its server is."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("JIRANI_VAR", str(Path(__file__).resolve().parents[2] / "var" / "bench"))
    environment.prepare()
    server = os.environ["DATABASE_URL"]
    os.environ["DATABASE_URL"] = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    return server


@contextmanager
def own(server: str, name: str) -> Iterator[None]:
    """Make the database for this run and drop it at the end, unless BENCH_KEEP says otherwise."""
    from django.db import connection

    made = psycopg2.connect(server)
    made.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    with made.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        yield
    finally:
        connection.close()
        if not os.environ.get("BENCH_KEEP"):
            with made.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name}")
        made.close()
