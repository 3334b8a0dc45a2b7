"""Amounts beyond what a float can count are kept to the cent; those beyond what a table can hold are refused."""

import pytest
from django.db import connection

from lending.ledger import balance_cents
from lending.models import Loan, Receipt
from tests.factories import pay

BEYOND_FLOATS = 2**53 + 1


def test_a_payment_beyond_floats_is_kept_to_the_cent(aminas_loan: Loan) -> None:
    owed = aminas_loan.outstanding_cents
    receipt = pay(aminas_loan.reference, BEYOND_FLOATS)
    aminas_loan.refresh_from_db()
    event = aminas_loan.events.get(kind="pay")
    assert (receipt.state, aminas_loan.state, receipt.over_cents) == ("allocated", "settled", BEYOND_FLOATS - owed)
    assert event.details["amount_cents"] == BEYOND_FLOATS
    assert -balance_cents("customer_overpayments", "KES") == BEYOND_FLOATS - owed
    with connection.cursor() as cursor:
        cursor.execute("SELECT details ->> 'amount_cents' FROM lending_loanevent WHERE id = %s", [event.id])
        assert cursor.fetchone() == (str(BEYOND_FLOATS),)


@pytest.mark.parametrize("cents", [0, -1, 2**63, 2**80])
def test_a_payment_that_no_account_can_hold_is_refused_before_it_is_written(aminas_loan: Loan, cents: int) -> None:
    with pytest.raises(ValueError, match="amount_cents"):
        pay(aminas_loan.reference, cents)
    assert not Receipt.objects.exists()
