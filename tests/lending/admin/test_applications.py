"""The review desk."""

from datetime import datetime

import pytest
from django.test import Client
from django.urls import reverse

from lending import ports
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


def account(application_id: int, at: datetime) -> ports.Account:
    """Give a known account, in place of a model's; the real one has tests of its own."""
    return ports.Account(
        against=(
            ports.Counted("worst_days_late", 20.0, 0.0, 0.7, "an earlier loan was repaid very late"),
            ports.Counted("on_time_streak", 2.0, None, 0.1, ""),
        ),
        in_favour=(ports.Counted("savings_balance_cents", 250_000.0, 100_000.0, -0.4, "you have savings"),),
        ways=(
            ports.Way((ports.Reason("ask_less", {"amount_cents": 30_000}),), 0.121),
            ports.Way((ports.Reason("save_weekly", {"amount_cents": 5_000, "months": 2}),), 0.144),
        ),
        similar=tuple(
            ports.PastCase(7 + n, f"7K{n}2", outcome, 0.2, 40_000, late, repaid)
            for n, (outcome, late, repaid) in enumerate(
                [("approve", 0, True), ("refer", 12, True), ("approve", None, False)]
            )
        ),
    )


def no_account(application_id: int, at: datetime) -> None:
    """Give none, as of a decision without a score."""


class TestAccount:
    @pytest.fixture
    def shown(self, officer: Client, referred: Application, settings) -> str:  # type: ignore[no-untyped-def]
        settings.DECISION_ACCOUNT = "tests.lending.admin.test_applications.account"
        return " ".join(officer.get(page(referred)).content.decode().split())

    def test_says_what_counted_in_words_and_how_much(self, shown: str):
        assert "an earlier loan was repaid very late" in shown and "you have savings" in shown
        assert "× 2.01" in shown and "÷ 1.49" in shown  # e to the 0.7 and to the 0.4
        assert "KES 2,500" in shown and "KES 1,000" in shown and ">none<" in shown
        assert 'width="120"' in shown and 'width="17"' in shown  # a seventh of the longest bar

    def test_says_what_would_have_brought_a_yes(self, shown: str):
        assert "Ask for KES 300." in shown and "12.1% chance of default then" in shown
        assert "For the amount asked for: Save KES 50 a week for 2 months." in shown

    def test_shows_similar_cases_with_their_outcome_and_without_names(self, shown: str):
        assert "Similar past cases: 2 of 3 repaid within 30 days of the due date" in shown
        assert "Repaid in time" in shown and "Repaid 12 days late" in shown and "Not repaid" in shown
        assert ">20.0%<" in shown and ">an officer<" in shown
        assert ">7K**<" in shown and "7K02" not in shown
        assert reverse("admin:lending_application_change", args=[7]) in shown

    def test_an_auditor_reads_it_too(self, auditor: Client, referred: Application, settings):
        settings.DECISION_ACCOUNT = "tests.lending.admin.test_applications.account"
        assert "an earlier loan was repaid very late" in auditor.get(page(referred)).content.decode()

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("tests.lending.admin.test_applications.no_account", "No score stands behind this decision."),
            ("tests.lending.admin.test_applications.gone", "It cannot be worked out now"),
        ],
    )
    def test_where_there_is_none_the_page_opens_without(self, officer, referred, settings, path, said):
        settings.DECISION_ACCOUNT = path
        answer = officer.get(page(referred))
        assert answer.status_code == 200 and said in answer.content.decode()

    def test_an_application_that_waits_for_its_decision_has_none(self, officer, amina: Borrower):
        assert officer.get(page(factories.apply(amina))).status_code == 200

    def test_what_a_customer_contests_has_its_own_queue(self, officer, referred: Application):
        queue = reverse("admin:lending_application_changelist") + "?work=appealed"
        assert referred.reference not in officer.get(queue).content.decode()
        Application.objects.filter(id=referred.id).update(appealed_at=factories.NOON, appeal_words="I was ill")
        assert referred.reference in officer.get(queue).content.decode()
        assert "I was ill" in officer.get(page(referred)).content.decode()
        first_page = officer.get(reverse("admin:index")).content.decode()
        assert "The customer asked for a person; Paid late before (9 days)" in first_page


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
