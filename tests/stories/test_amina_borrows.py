"""Amina's first loan, hop by hop."""

from typing import Any

from lending.models import Application, Borrower, Consent
from tests import factories
from tests.phone import Phone


def registered(phone: Phone) -> Phone:
    """Take a new customer through the first dial."""
    phone.dials("*384*77#").sees("English", "Kiswahili").types("1").sees("a computer decides")
    phone.types("1").sees("M-PESA").types("1").sees("offers").types("2").sees("full name")
    phone.types("Amina Wanjiru").sees("national ID").types("23456781").sees("Choose a PIN")
    return phone.types("2580").sees("same PIN again").types("2580").sees("your limit is KES 1,000", "1 Loan")


def test_amina_registers_and_borrows(phone: Phone, fixed_scorer: Any, deciding_worker: None) -> None:
    registered(phone)
    amina = Borrower.objects.get(msisdn=phone.msisdn)
    assert {row.purpose: row.granted for row in Consent.objects.filter(borrower=amina)} == {
        "service": True,
        "scoring": True,
        "wallet": True,
        "marketing": False,
    }

    factories.FixedScorer.says = factories.verdict("approve")
    phone.types("1").sees("Your limit is KES 1,000").types("500")
    phone.sees("What is it for? It changes nothing for you.", "5 Rather not say").types("5")
    phone.sees("You get KES 500", "Fee KES 25", "Tax KES 5", "You repay KES 530", "Late fee none", "APR 73%")
    phone.sees("1 Read terms", "2 Accept", "0 Cancel")
    key_facts = phone.text
    phone.types("1").sees("You repay KES 530 by")
    while "1 Accept" not in phone.text:
        phone.types("98")
    while "You get KES 500" not in phone.text:
        phone.types("0")
    phone.types("2").sees("PIN").types("2580")
    application = Application.objects.get()
    phone.ends_with(f"Approved. KES 500 is on its way, ref {application.reference}")

    assert application.key_facts_text == key_facts
    assert application.terms_read
    assert application.origin == f"ussd:africastalking:{phone.session_id}:{len(phone.typed) + 1}"
