"""Cases, money in suspense, stopped rails, and the first page."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from lending.admin import dashboard
from lending.models import Case, Loan, OutboxMessage, PaymentAttempt, PaymentIntent, Rail, Receipt
from lending.payments import breaker
from tests import factories
from tests.factories import NOON


def press(client: Client, model: str, verb: str, pk: object, **fields: str):  # type: ignore[no-untyped-def]
    address = reverse(f"admin:lending_{model}_{verb}", args=[pk])
    return client.post(address, {"_form_submitted": "on", **fields}, follow=True)


class TestSuspense:
    @pytest.mark.parametrize("room", ["case", "receipt"])
    def test_money_is_given_to_whose_it_is(self, officer, aminas_loan: Loan, books_balance, room):
        receipt = factories.pay("shamba", 200_00)
        pk = receipt.pk if room == "receipt" else Case.objects.get().pk
        answer = press(officer, room, "match_customer", pk, customer="0711000101", reason="She showed the SMS.")
        assert "Amina Wanjiru&#x27;s now" in answer.content.decode()
        aminas_loan.refresh_from_db()
        assert aminas_loan.outstanding_cents == aminas_loan.total_cents - 200_00
        assert Case.objects.get().closed_at and Receipt.objects.get().state == Receipt.State.RESOLVED
        books_balance()

    def test_its_case_is_not_closed_by_words_alone(self, officer, law, books_balance):
        receipt = factories.pay("shamba", 200_00)
        answer = press(officer, "case", "close", Case.objects.get().pk, resolution="Nobody asks for it.")
        assert f"{receipt.receipt_no} is in suspense" in answer.content.decode()
        assert Case.objects.get().closed_at is None
        books_balance()

    def test_a_second_match_is_refused_in_words(self, officer, aminas_loan: Loan, brian):
        receipt = factories.pay("shamba", 200_00)
        press(officer, "receipt", "match_customer", receipt.pk, customer="0711000101", reason="SMS")
        answer = press(officer, "receipt", "match_customer", receipt.pk, customer="0711000102", reason="SMS")
        assert "not in suspense" in answer.content.decode()

    @pytest.mark.parametrize("customer", ["", "nobody at all", "254711000"])
    def test_text_that_points_to_no_single_customer_is_asked_for_again(self, officer, amina, brian, customer):
        receipt = factories.pay("shamba", 200_00)
        press(officer, "receipt", "match_customer", receipt.pk, customer=customer, reason="SMS")
        receipt.refresh_from_db()
        assert receipt.state == Receipt.State.SUSPENSE

    def test_a_case_about_something_else_has_no_money(self, officer, amina):
        case = Case.objects.create(kind=Case.Kind.PIN_LOCKED, subject_key="x", opened_at=NOON)
        answer = press(officer, "case", "match_customer", case.pk, customer="0711000101", reason="x")
        assert "not about money" in answer.content.decode()


class TestCases:
    def test_are_closed_with_words_and_once(self, officer, boss, law):
        case = Case.objects.create(kind=Case.Kind.BAD_TASK, subject_key="x", opened_at=NOON)
        press(officer, "case", "close", case.pk, resolution="Sent by hand.")
        answer = press(boss, "case", "close", case.pk, resolution="Me too.")
        assert "closed before, by wambui" in answer.content.decode()
        case.refresh_from_db()
        assert case.resolution == "Sent by hand."

    def test_are_not_closed_without(self, officer, law):
        case = Case.objects.create(kind=Case.Kind.BAD_TASK, subject_key="x", opened_at=NOON)
        press(officer, "case", "close", case.pk, resolution=" ")
        case.refresh_from_db()
        assert case.closed_at is None

    def test_are_not_closed_by_who_may_only_look(self, auditor, law):
        case = Case.objects.create(kind=Case.Kind.BAD_TASK, subject_key="x", opened_at=NOON)
        assert press(auditor, "case", "close", case.pk, resolution="x").status_code == 403


class TestRails:
    def test_a_stopped_rail_is_restarted_by_an_operator_and_not_by_an_officer(self, officer, boss, law):
        breaker.stop("daraja", "float is empty", NOON)
        assert press(officer, "rail", "restart", "daraja").status_code == 403
        press(boss, "rail", "restart", "daraja")
        assert Rail.objects.get(provider="daraja").stopped_at is None
        assert not Case.objects.filter(closed_at__isnull=True).exists()


def test_a_parked_effect_gets_another_try(boss, law):
    parked = OutboxMessage.objects.create(
        topic="loan_disbursed", reference="x", payload={}, created_at=NOON, due_at=NOON, parked_at=NOON, tries=8
    )
    press(boss, "outboxmessage", "retry", parked.pk)
    parked.refresh_from_db()
    assert parked.parked_at is None and parked.tries == 0


class TestFirstPage:
    def test_each_figure_is_the_length_of_the_list_behind_it(self, officer, referred, brian):
        factories.live_loan(brian, at=timezone.now() - timedelta(days=62))  # due 32 days ago
        factories.pay("shamba", 200_00, at=timezone.now())
        cheptoo = factories.register("Cheptoo Koech", "254711000103", "23456783")
        factories.decide(factories.apply(cheptoo, origin="ussd:test:3"))
        intent = PaymentIntent.objects.get(borrower=cheptoo)
        PaymentAttempt.objects.create(
            intent=intent, number=1, provider="daraja", state=PaymentAttempt.State.UNKNOWN, created_at=NOON
        )
        counts = {card.title: card for card in dashboard.cards()}
        for title in ("Waiting applications", "Open cases", "Unknown payouts", "Live loans"):
            listed = officer.get(counts[title].href).context["cl"].result_count
            assert (title, counts[title].figure) == (title, str(listed)) == (title, "1")
        for title in ("In suspense", "Collected today", "PAR 0", "PAR 30"):
            assert officer.get(counts[title].href).context["cl"].result_count == 1
        assert counts["PAR 30"].figure == "100.0%" and counts["Collected today"].figure == "KES 200"

    def test_shows_the_work_that_waits(self, officer, referred):
        shown = officer.get(reverse("admin:index")).content.decode()
        assert "Amina Wanjiru: KES 500" in shown and "Paid late before (9 days)" in shown

    def test_says_first_what_an_officer_has_stopped_and_why(self, officer, amina):
        reason = "Scores look wrong since noon"
        address = reverse("admin:lending_case_stop_lending")
        answer = officer.post(address, {"_form_submitted": "on", "what": "computer", "reason": reason}, follow=True)
        assert "It is stopped" in answer.content.decode()
        first = dashboard.cards()[0]
        assert (first.figure, first.urgent) == ("Stopped", True)
        assert "wambui" in first.note and reason in first.note
        assert reason in officer.get(reverse("admin:index")).content.decode()

    def test_shows_nothing_to_who_may_see_nothing(self, groups, referred):
        from tests.lending.admin.conftest import staff

        shown = staff("newcomer").get(reverse("admin:index")).content.decode()
        assert "Amina" not in shown and "Outstanding" not in shown

    def test_of_a_new_lender_has_no_division_by_nothing(self, officer):
        assert "0.0%" in officer.get(reverse("admin:index")).content.decode()
