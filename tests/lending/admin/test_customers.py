"""The customer's page: found by anything at hand, and hiding what nobody needs to read."""

import pytest
from django.test import Client
from django.urls import reverse

from lending.models import AuditEvent, Borrower, Loan
from lending.selectors import search
from tests import factories

LIST = "admin:lending_borrower_changelist"


class TestPage:
    def test_never_shows_the_whole_number_or_national_id(self, officer: Client, amina: Borrower, aminas_loan: Loan):
        for address in (reverse(LIST), reverse("admin:lending_borrower_change", args=[amina.pk])):
            shown = officer.get(address).content.decode()
            assert amina.msisdn not in shown and amina.national_id not in shown
            assert "25471***101" in shown
        assert "•••••781" in shown

    def test_shows_the_open_loan(self, officer: Client, amina: Borrower, aminas_loan: Loan):
        assert aminas_loan.reference in officer.get(reverse(LIST)).content.decode()


class TestSearch:
    @pytest.mark.parametrize(
        "typed",
        ["254711000101", "+254 711 000 101", "0711000101", "0711-000101", "711000101", "00254711000101", "000101",
         "23456781", "2345 6781", "Amina", "wanjiru amina", "AMINA  WANJIRU"],
    )  # fmt: skip
    def test_finds_amina_by(self, amina: Borrower, brian: Borrower, typed: str):
        assert list(search.find_borrowers(typed)) == [amina]

    def test_finds_by_loan_and_receipt(self, amina: Borrower, brian: Borrower, aminas_loan: Loan):
        factories.pay(amina.msisdn, 100_00, "SFC7XK2")
        assert search.the_borrower(aminas_loan.reference.lower()) == amina
        assert search.the_borrower("sfc7xk2") == amina

    @pytest.mark.parametrize(
        "typed", ["", " ", "0", "2345678", "345678", "%", "'; DROP", "x" * 5000, "\x00", "٠٧١١"]
    )
    def test_finds_nobody_by(self, amina: Borrower, officer: Client, typed: str):
        assert not search.find_borrowers(typed).exists()
        assert officer.get(reverse(LIST), {"q": typed}).status_code == 200

    def test_two_people_are_not_one(self, amina: Borrower, brian: Borrower):
        assert search.the_borrower("254711000") is None

    def test_the_list_searches_like_that(self, officer: Client, amina: Borrower, brian: Borrower):
        shown = officer.get(reverse(LIST), {"q": "2345 6781"}).content.decode()
        assert "Amina Wanjiru" in shown and "Brian Otieno" not in shown


class TestPinReset:
    def test_opens_the_way_and_keeps_the_reason(self, officer: Client, amina: Borrower):
        address = reverse("admin:lending_borrower_reset_pin", args=[amina.pk])
        officer.post(address, {"reason": "Came to the office with her ID.", "_form_submitted": "on"})
        amina.refresh_from_db()
        assert amina.pin_hash == ""
        assert AuditEvent.objects.get(action="pin_reset").reason == "Came to the office with her ID."

    def test_is_refused_to_who_may_only_look(self, auditor: Client, amina: Borrower):
        address = reverse("admin:lending_borrower_reset_pin", args=[amina.pk])
        assert auditor.post(address, {"reason": "x", "_form_submitted": "on"}).status_code == 403
        amina.refresh_from_db()
        assert amina.pin_hash
