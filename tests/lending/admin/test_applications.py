"""The review desk."""

import pytest
from django.test import Client
from django.urls import reverse

from lending.models import Application, AuditEvent, Borrower, Loan, Review
from tests import factories


def page(application: Application) -> str:
    return reverse("admin:lending_application_change", args=[application.pk])


def review(client: Client, application: Application, verb: str, reason: str = "Spoke with her employer.", **extra):  # type: ignore[no-untyped-def]
    address = reverse(f"admin:lending_application_{verb}", args=[application.pk])
    told = {"reason": reason, "_form_submitted": "on"} | ({"code": "low_inflow"} if verb == "decline" else {})
    return client.post(address, told, follow=True, **extra)


class TestPage:
    def test_says_score_reasons_and_inputs_in_words(self, officer: Client, referred: Application):
        shown = officer.get(page(referred)).content.decode()
        assert "27.0% chance of default" in shown
        assert "Paid late before (9 days)" in shown and "brand_new_code" in shown
        assert "Wallet in 90d" in shown and "KES 1,500" in shown and "not known" in shown
        assert referred.key_facts_text in shown

    def test_the_queue_holds_what_waits(self, officer: Client, referred: Application):
        queue = reverse("admin:lending_application_changelist") + "?work=waiting"
        assert referred.reference in officer.get(queue).content.decode()
        review(officer, referred, "decline")
        assert referred.reference not in officer.get(queue).content.decode()


class TestReview:
    def test_an_approval_makes_the_loan_and_is_kept_with_name_and_reason(self, officer, referred):
        answer = review(officer, referred, "approve")
        assert "payout is under way" in answer.content.decode()
        given = Review.objects.get(application=referred)
        assert (given.approved, given.reason, given.officer.username) == (
            True,
            "Spoke with her employer.",
            "wambui",
        )
        assert Loan.objects.get(application=referred).state == Loan.State.APPROVED
        assert AuditEvent.objects.filter(action="application_approved", actor=given.officer).exists()

    def test_a_decline_makes_none(self, officer, referred):
        review(officer, referred, "decline")
        referred.refresh_from_db()
        assert referred.state == Application.State.DECLINED and not Loan.objects.exists()
        assert (referred.review.code, referred.review.next_step) == ("low_inflow", "use_wallet")

    def test_a_decline_says_what_the_customer_is_told(self, officer, referred):
        address = reverse("admin:lending_application_decline", args=[referred.pk])
        answer = officer.post(address, {"reason": "No stall.", "_form_submitted": "on"}, follow=True)
        assert "This field is required" in answer.content.decode()
        assert not Review.objects.exists()

    def test_the_dialog_brings_the_page_back(self, officer, referred):
        answer = review(officer, referred, "approve", headers={"HX-Request": "true"})
        assert answer["HX-Redirect"] == page(referred)

    @pytest.mark.parametrize("reason", ["", "   "])
    def test_without_a_reason_nothing_happens(self, officer, referred, reason):
        answer = review(officer, referred, "approve", reason)
        assert "This field is required" in answer.content.decode()
        assert not Review.objects.exists()

    def test_a_second_review_is_refused_in_words(self, officer, boss, referred):
        review(officer, referred, "decline")
        answer = review(boss, referred, "approve")
        assert "Only an application that waits for an officer" in answer.content.decode()
        assert not Loan.objects.exists()

    def test_what_the_computer_decided_is_not_reviewed(self, officer, amina: Borrower, fixed_scorer):
        application = factories.apply(amina)
        factories.decide(application, "decline")
        answer = review(officer, application, "approve")
        assert "Only an application that waits for an officer" in answer.content.decode()

    def test_is_offered_only_where_one_is_due(self, officer, referred):
        assert "Approve" in officer.get(page(referred)).content.decode()
        review(officer, referred, "decline")
        assert "Approve and pay out" not in officer.get(page(referred)).content.decode()
        assert "/approve/" not in officer.get(page(referred)).content.decode()

    @pytest.mark.parametrize("verb", ["approve", "decline"])
    def test_who_may_only_look_is_refused(self, auditor, referred, verb):
        assert "/approve/" not in auditor.get(page(referred)).content.decode()
        assert review(auditor, referred, verb).status_code == 403
        assert not Review.objects.exists()
