"""A statement that is prepared answers as the query does from which it was made."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Sum, Value
from django.test.utils import CaptureQueriesContext

from lending.models import Borrower, Case, Loan
from lending.prepared import Pair, Prepared, Statement
from tests import factories
from tests.lending.lending import lend, product
from ussd.models import Session

pytestmark = pytest.mark.django_db


def of_number(msisdn: str) -> Any:
    cases = Case.objects.filter(kind=Case.Kind.LOSS_BRAKE, borrower=OuterRef("pk"))
    return Borrower.objects.filter(msisdn=msisdn, state="active").annotate(
        said=Value("100 %"), has_case=Exists(cases)
    )


def test_a_row_is_the_row_of_the_query(amina: Borrower, brian: Borrower) -> None:
    prepared: Prepared[Borrower] = Prepared(of_number, msisdn=str)
    for borrower in (amina, brian, amina):
        found: Any = prepared.first(msisdn=borrower.msisdn)
        assert found == borrower
        assert {field.attname: getattr(found, field.attname) for field in Borrower._meta.concrete_fields} == {
            field.attname: getattr(borrower, field.attname)
            for borrower in [Borrower.objects.get(id=borrower.id)]
            for field in Borrower._meta.concrete_fields
        }
        assert (found.said, found.has_case) == ("100 %", False)
    assert prepared.first(msisdn="254799999999") is None
    assert prepared.first(msisdn="' OR 1 = 1 --") is None


def test_a_row_that_is_read_can_be_saved(amina: Borrower) -> None:
    found = Prepared(of_number, msisdn=str).first(msisdn=amina.msisdn)
    assert found is not None
    found.language = "sw"
    found.save(update_fields=["language"])
    assert Borrower.objects.get(id=amina.id).language == "sw"


def test_it_is_prepared_once_a_connection_whatever_is_rolled_back(amina: Borrower) -> None:
    statement = Statement("SELECT msisdn FROM lending_borrower WHERE id = $1", 1)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert statement.row([amina.id]) == (amina.msisdn,)
        raise ZeroDivisionError
    assert statement.row([amina.id]) == (amina.msisdn,)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE name = %s", [statement.name])
        assert cursor.fetchone() == (1,)


def test_it_locks_as_the_query_does(phone: Any) -> None:
    phone.dials("*384*77#")
    session = Session.objects.get()
    locked: Prepared[Session] = Prepared(
        lambda number: Session.objects.select_for_update().filter(gateway_session=number), number=str
    )
    assert locked.first(number=session.gateway_session) == session


def test_a_value_that_the_query_does_not_ask_for_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="leaves out"):
        Prepared(lambda msisdn, id: Borrower.objects.filter(msisdn=msisdn), msisdn=str, id=int).first(
            msisdn="1", id=1
        )


def test_days_and_moments_are_told_apart(amina: Borrower) -> None:
    since: Prepared[Borrower] = Prepared(
        lambda at: Borrower.objects.filter(registered_at__gte=at), at=type(factories.NOON)
    )
    assert since.first(at=amina.registered_at) == amina
    assert since.first(at=amina.registered_at + timedelta(seconds=1)) is None


def test_rows_come_with_what_is_joined_to_them(amina: Borrower, brian: Borrower) -> None:
    """As the query has them, and no further question is asked for the joined ones."""

    def of_state(state: str) -> Any:
        return Loan.objects.filter(state=state).select_related("borrower", "country_pack").order_by("-id")

    version = product({})
    lent = [lend(version, 50_000, factories.NOON).id for _ in range(3)]
    found = Prepared(of_state, state=str).all(state="live")
    assert [loan.id for loan in found] == lent[::-1]
    for loan, asked in zip(found, of_state("live"), strict=True):
        assert vars(loan).keys() == vars(asked).keys()
        with CaptureQueriesContext(connection) as more:
            assert (loan.borrower.national_id, loan.country_pack.rules) == (
                asked.borrower.national_id, asked.country_pack.rules,
            )  # fmt: skip
        assert not more.captured_queries


def test_a_sum_over_many_rows_is_whole_cents(amina: Borrower) -> None:
    lend(product({}), 50_000, factories.NOON)
    owed = Sum("installments__principal_cents")
    sums: Prepared[Loan] = Prepared(lambda state: Loan.objects.filter(state=state).annotate(owed=owed), state=str)
    found: Any = sums.first(state="live")
    assert found.owed == 50_000 and type(found.owed) is int


def test_a_pair_answers_each_for_itself(amina: Borrower, brian: Borrower) -> None:
    names: Prepared[Borrower] = Prepared(lambda name: Borrower.objects.filter(full_name=name), name=str)
    pair: Pair[Borrower, Borrower] = Pair(Prepared(of_number, msisdn=str), names)
    for msisdn, mine in ((amina.msisdn, amina), ("254799999999", None)):
        for name, theirs in ((brian.full_name, brian), ("Nobody", None)):
            assert pair.first(msisdn=msisdn, name=name) == (mine, theirs)
