"""A trader's day on the phone: three hops a sale, credit, the tin, the month, and what the book says of a loan."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from lending.models import BookEntry, Borrower
from lending.services import business
from tests.phone import Phone


@pytest.fixture
def aminas_phone(client: Client, amina: Borrower) -> Phone:
    return Phone(client, amina.msisdn)


def test_a_sale_takes_three_hops_and_is_written_once(aminas_phone: Phone) -> None:
    phone = aminas_phone.dials("*384*77#").types("4", "1", "2350")
    phone.sees("Sale KES 2,350.", "Today: sold KES 2,350, spent KES 0, left KES 2,350").repeats().sees(
        "sold KES 2,350"
    )
    assert BookEntry.objects.count() == 1
    phone.types("0").types("2", "900").sees("Expense KES 900.", "left KES 1,450")
    phone.types("1").sees("Spent how much?")
    aminas_phone.dials("*384*77*4*3*300#").sees("Stock KES 300.", "spent KES 1,200, left KES 1,150")


@pytest.mark.parametrize(
    ("typed", "said"), [("0", "digits"), ("1e3", "digits"), ("1000001", "At most KES 1,000,000")]
)
def test_a_slip_of_the_thumb_is_asked_again(aminas_phone: Phone, typed: str, said: str) -> None:
    aminas_phone.dials("*384*77#").types("4", "1", typed).sees(said, "Sold for how much?").types("50").sees(
        "KES 50"
    )


def test_a_wrong_line_is_taken_back(aminas_phone: Phone) -> None:
    phone = aminas_phone.dials("*384*77#").types("4", "1", "500").types("0", "1", "50")
    phone.types("2").sees("Taken back: KES 50.", "sold KES 500").repeats().sees("sold KES 500")
    phone.types("1", "5", "5").sees("Taken back: KES 500.").types("1", "5", "5").sees("You wrote nothing today")


def test_mary_gets_credit_and_pays_some_of_it(aminas_phone: Phone) -> None:
    phone = aminas_phone.dials("*384*77#").types("4", "4", "1").sees("Who gets credit?").types("Mary Achieng")
    phone.sees("Credit for Mary Achieng: how much?").types("200").sees("Credit given KES 200.", "sold KES 200")
    phone.types("00", "4", "4").sees("Customers owe you KES 200").types("2").sees("1 Mary Achieng KES 200")
    phone.types("1").sees("owes KES 200").types("250").sees("more than is owed").types("50").sees(
        "Credit paid KES 50."
    )
    phone.types("00", "4", "4", "3").sees("Mary Achieng KES 150")


def test_the_day_is_closed_with_the_cash_that_is_there(aminas_phone: Phone) -> None:
    phone = aminas_phone.dials("*384*77#").types("4", "5", "1").sees("Count the cash").types("0")
    phone.sees("Counted KES 0. Tomorrow the book knows").types("1", "1", "500")
    phone.types("00", "4", "5", "1", "450").sees("Counted KES 450: KES 50 less than in the book.", "Left today")
    phone.repeats().sees("KES 50 less")


def test_the_month_stands_on_one_screen(aminas_phone: Phone, amina: Borrower) -> None:
    aminas_phone.dials("*384*77#").types("4", "1", "2350").types("0", "2", "900")
    phone = aminas_phone.types("00", "4", "5", "2")
    phone.sees("sold KES 2,350", "Spent KES 900", "Left KES 1,450", "Owed to you KES 0", "Best day")
    phone.types("00", "4", "5", "3").sees("sold KES 0").sees_no("Best day")


def test_the_book_says_what_a_loan_would_take_and_what_it_is_worth(aminas_phone: Phone, amina: Borrower) -> None:
    aminas_phone.dials("*384*77#").types("4", "5", "4").sees("Write down 4 full weeks first")
    for weeks in range(1, 5):
        business.write(
            borrower_id=amina.id, kind="sale", amount_cents=200_000, origin=f"w{weeks}",
            at=timezone.now() - timedelta(weeks=weeks),
        )  # fmt: skip
    phone = aminas_phone.types("00", "4", "5", "4")
    phone.sees("Left each week KES 2,000", "of it", "By your book it fits")
    said = phone.types("1").text
    while "98 More" in phone.text:
        said += phone.types("98").text
    assert "A made-up book does not help" in said
