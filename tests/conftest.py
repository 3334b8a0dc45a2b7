"""What every test may ask for: the law in force, people, and books that balance."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from lending.models import Borrower, Loan
from tests import factories
from tests.phone import deciding_worker, phone
from ussd import guard

__all__ = ["deciding_worker", "phone"]


KEPT: set[str] = set()  # tables that a test database begins with


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Fill the test database once with the law as it ships, and keep a copy of what it then holds."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        call_command("load_fixtures", verbosity=0)
        cursor.execute("CREATE SCHEMA kept")
        for table in connection.introspection.django_table_names(only_existing=True, include_views=False):
            cursor.execute(f"CREATE TABLE kept.{table} AS TABLE public.{table}")
            if cursor.rowcount:
                KEPT.add(table)


@pytest.fixture(scope="session", autouse=True)
def tables_are_put_back() -> Iterator[None]:
    """After a test with transactions of its own, let the tables hold again what they held before the first one.

    PostgreSQL refuses to empty history, whoever asks. A replica fires no triggers, and to pose as one takes a
    superuser for the length of one transaction; the product has no such door.
    """
    operations, sql_flush = connection.ops, connection.ops.sql_flush

    def flush(style: Any, tables: list[str], **options: Any) -> list[str]:
        again = [f"INSERT INTO {table} SELECT * FROM kept.{table}" for table in tables if table in KEPT]
        return ["SET LOCAL session_replication_role = replica", *sql_flush(style, tables, **options), *again]

    operations.sql_flush = flush  # type: ignore[method-assign]
    yield
    operations.sql_flush = sql_flush  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def nobody_was_counted_before() -> Iterator[None]:
    """Let each test count abuse from nothing; and a test types faster than people."""
    prefix, refuses = guard.PREFIX, settings.REFUSE_FLOODS
    guard.PREFIX, settings.REFUSE_FLOODS = f"guard:{uuid.uuid4()}:", False
    yield
    guard.PREFIX, settings.REFUSE_FLOODS = prefix, refuses


@pytest.fixture
def law(db: None) -> None:
    """Country packs, products and chart of accounts as they ship: every test database begins with them."""


@pytest.fixture
def fixed_scorer(settings) -> type[factories.FixedScorer]:  # type: ignore[no-untyped-def]
    """Let `factories.decide` say what the scorer answers."""
    settings.CREDIT_SCORER = "tests.factories.FixedScorer"
    factories.FixedScorer.says = factories.verdict()  # not what an earlier test let it say
    return factories.FixedScorer


@pytest.fixture
def amina(law: None) -> Borrower:
    """Amina borrows and pays."""
    return factories.register()


@pytest.fixture
def brian(law: None) -> Borrower:
    """Brian pays late."""
    return factories.register("Brian Otieno", "254711000102", "23456782")


@pytest.fixture
def aminas_loan(amina: Borrower, fixed_scorer: object) -> Loan:
    """KES 500 that reached Amina at noon."""
    return factories.live_loan(amina)


@pytest.fixture
def books_balance(db: None) -> Callable[[], None]:
    """Check the deferred triggers now and prove every invariant over what the test has written."""

    def check() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        call_command("audit_books", verbosity=0)

    return check
