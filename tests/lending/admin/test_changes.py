"""A loan is changed by two people, each of whom sees first what would happen."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from lending.models import Borrower, Loan, Proposal, Receipt, Refund
from lending.services import refunds
from tests import factories
from tests.lending.admin.conftest import staff


@pytest.fixture
def loan(amina: Borrower, fixed_scorer: object) -> Loan:
    """KES 500 that reached Amina yesterday."""
    return factories.live_loan(amina, at=timezone.now() - timedelta(days=2))


@pytest.fixture
def manager(groups: None) -> Client:
    return staff("njeri", "Managers")


def page(row: object) -> str:
    return reverse(f"admin:lending_{row._meta.model_name}_change", args=[row.pk])  # type: ignore[attr-defined]


def send(client: Client, row: object, act: str, **fields: str):  # type: ignore[no-untyped-def]
    address = reverse(f"admin:lending_{row._meta.model_name}_{act}", args=[row.pk])  # type: ignore[attr-defined]
    return client.post(address, {"_form_submitted": "on", **fields}, follow=True)


def send_twice(client: Client, row: object, act: str, **fields: str):  # type: ignore[no-untyped-def]
    """Fill in a dialog, look at the preview, and send it again."""
    shown = send(client, row, act, **fields).content.decode()
    [seen] = re.findall(r'name="seen" value="(\w+)"', shown)
    return send(client, row, act, seen=seen, **fields)


WAIVER = {"part": "fee", "reason": "Our mistake."}


class TestProposing:
    def test_shows_first_what_would_happen_and_proposes_nothing_yet(self, officer: Client, loan: Loan) -> None:
        shown = send(officer, loan, "propose_waive", **WAIVER).content.decode()
        assert "Nothing has happened yet" in shown
        assert "KES 530" in shown and "KES 505" in shown
        assert not Proposal.objects.exists()

    def test_sent_again_it_waits_for_a_second_person_and_the_loan_says_so(
        self, officer: Client, loan: Loan
    ) -> None:
        answer = send_twice(officer, loan, "propose_waive", **WAIVER)
        assert "it waits for a second person" in answer.content.decode()
        assert "Waive, proposed by wambui" in officer.get(page(loan)).content.decode()
        loan.refresh_from_db()
        assert loan.outstanding_cents == 53_000

    def test_what_changed_since_the_preview_is_shown_first(self, officer: Client, loan: Loan) -> None:
        shown = send(officer, loan, "propose_waive", **WAIVER).content.decode()
        [seen] = re.findall(r'name="seen" value="(\w+)"', shown)
        factories.pay(loan.reference, 1_000, at=timezone.now())
        assert "KES 520" in send(officer, loan, "propose_waive", seen=seen, **WAIVER).content.decode()
        assert not Proposal.objects.exists()

    def test_the_same_waits_once(self, officer: Client, loan: Loan) -> None:
        send_twice(officer, loan, "propose_waive", **WAIVER)
        answer = send_twice(officer, loan, "propose_waive", **WAIVER)
        assert "It has to be decided first" in answer.content.decode()

    @pytest.mark.parametrize(
        ("act", "fields", "said"),
        [
            ("propose_waive", {"amount_cents": "-5"}, "Write an amount above 0"),
            ("propose_settle", {"amount_cents": "300", "due_on": "2020-01-01"}, "must not be before the day"),
            ("propose_settle", {"amount_cents": "300"}, "This field is required"),
            ("propose_reschedule", {"due_on": "2020-01-01", "installments": "0"}, "The date must be after the day"),
            ("propose_reverse", {"of": "disburse:loan:1"}, "is not one of the available choices"),
            ("grant_skip", {}, "This change needs a skip"),
            ("grant_cancel", {}, "The day must be within the cooling-off days"),
        ],
    )
    def test_what_cannot_be_is_refused_in_a_sentence(
        self, officer: Client, loan: Loan, act: str, fields: dict[str, str], said: str
    ) -> None:
        assert said in send(officer, loan, act, reason="x", **fields).content.decode()
        assert not Proposal.objects.exists()

    @pytest.mark.parametrize("act", ["propose_write_off", "grant_death"])
    def test_who_may_only_look_is_refused(self, auditor: Client, loan: Loan, act: str) -> None:
        assert send(auditor, loan, act, reason="x").status_code == 403

    def test_a_settled_loan_offers_only_to_undo(self, officer: Client, loan: Loan) -> None:
        assert "propose_waive" in officer.get(page(loan)).content.decode()
        factories.pay(loan.reference, 53_000, at=timezone.now())
        shown = officer.get(page(loan)).content.decode()
        assert "propose_reverse" in shown and "propose_waive" not in shown
        said = send(officer, loan, "propose_waive", **WAIVER).content.decode()
        assert "is settled, so this means nothing for it" in said


class TestDeciding:
    @pytest.fixture
    def waiting(self, officer: Client, loan: Loan) -> Proposal:
        send_twice(officer, loan, "propose_waive", **WAIVER)
        return Proposal.objects.get()

    def test_the_room_lists_what_waits_with_its_preview(self, manager: Client, waiting: Proposal) -> None:
        room = reverse("admin:lending_proposal_changelist") + "?work=waiting"
        assert "Our mistake." in manager.get(room).content.decode()
        shown = manager.get(page(waiting)).content.decode()
        assert "KES 530" in shown and "KES 505" in shown and "Still so." in shown and "wambui" in shown

    def test_an_approval_carries_it_out(
        self, manager: Client, waiting: Proposal, loan: Loan, books_balance
    ) -> None:  # type: ignore[no-untyped-def]
        assert "Approved and carried out" in send(manager, waiting, "approve").content.decode()
        loan.refresh_from_db()
        assert loan.outstanding_cents == 50_500
        books_balance()

    def test_a_refusal_needs_words(self, manager: Client, waiting: Proposal, loan: Loan) -> None:
        assert "This field is required" in send(manager, waiting, "refuse").content.decode()
        assert "nothing was changed" in send(manager, waiting, "refuse", remark="It was not.").content.decode()
        assert "It was not." in manager.get(page(waiting)).content.decode()

    def test_the_maker_decides_nothing(self, boss: Client, loan: Loan) -> None:
        send_twice(boss, loan, "propose_waive", **WAIVER)
        waiting = Proposal.objects.get()
        assert "/approve/" not in boss.get(page(waiting)).content.decode()
        assert "it takes somebody else" in send(boss, waiting, "approve").content.decode()

    def test_the_maker_takes_it_back(self, officer: Client, manager: Client, waiting: Proposal) -> None:
        assert "/withdraw/" in officer.get(page(waiting)).content.decode()
        assert "/withdraw/" not in manager.get(page(waiting)).content.decode()
        assert send(manager, waiting, "withdraw").status_code == 403
        assert "Taken back: nothing was changed." in send(officer, waiting, "withdraw").content.decode()
        assert "/withdraw/" not in officer.get(page(waiting)).content.decode()
        assert "is taken back already" in send(manager, waiting, "approve").content.decode()

    def test_officers_propose_and_do_not_decide(self, officer: Client, waiting: Proposal) -> None:
        assert send(officer, waiting, "approve").status_code == 403

    def test_what_a_payment_overtook_says_so(self, manager: Client, waiting: Proposal, loan: Loan) -> None:
        factories.pay(loan.reference, 1_000, at=timezone.now())
        assert "Overtaken" in manager.get(page(waiting)).content.decode()
        assert "propose anew" in send(manager, waiting, "approve").content.decode()
        waiting.refresh_from_db()
        assert waiting.state == "pending"

    def test_a_late_click_is_told_what_became_of_it(self, manager: Client, boss: Client, waiting: Proposal) -> None:
        send(manager, waiting, "refuse", remark="No.")
        assert "is refused already" in send(boss, waiting, "approve").content.decode()


def test_money_that_the_operator_took_back_leaves_the_loan(
    officer: Client, manager: Client, loan: Loan, books_balance
) -> None:  # type: ignore[no-untyped-def]
    receipt = factories.pay(loan.reference, 10_000, at=timezone.now())
    send_twice(officer, receipt, "take_out", reason="Their SMS says so.")
    assert "Operator took money back, proposed by wambui" in officer.get(page(receipt)).content.decode()
    send(manager, Proposal.objects.get(), "approve")
    loan.refresh_from_db()
    assert (loan.outstanding_cents, Receipt.objects.get().state) == (53_000, "reversed")
    assert "take_out" not in officer.get(page(receipt)).content.decode()
    books_balance()


class TestGivingBack:
    @pytest.fixture
    def overpaid(self, loan: Loan) -> Borrower:
        """Amina paid KES 70 too much."""
        factories.pay(loan.reference, 60_000, at=timezone.now())
        return loan.borrower

    def test_two_people_send_it_on_its_way(self, officer: Client, manager: Client, overpaid: Borrower) -> None:
        shown = officer.get(page(overpaid)).content.decode()
        assert "KES 70" in shown and "give_back" in shown
        asked = send(officer, overpaid, "give_back", reason="She asked.").content.decode()
        assert "Nothing has happened yet" in asked and "To the wallet" in asked
        send_twice(officer, overpaid, "give_back", reason="She asked.")
        assert (
            "Give back what was paid too much, proposed by wambui" in officer.get(page(overpaid)).content.decode()
        )
        word = Proposal.objects.get()
        assert "To the wallet" in manager.get(page(word)).content.decode()
        send(manager, word, "approve")
        refund = Refund.objects.get()
        assert (refund.state, refund.amount_cents) == ("open", 7_000)
        shown = officer.get(page(overpaid)).content.decode()
        assert "on its way back" in shown
        assert "She asked." in officer.get(page(refund)).content.decode()

    def test_a_late_click_gets_a_sentence(self, officer: Client, overpaid: Borrower) -> None:
        refunds.refund_to_wallet(borrower_id=overpaid.id, origin="x", at=timezone.now())
        assert "is on its way, and how it ends" in send(officer, overpaid, "give_back", reason="x").content.decode()

    def test_who_may_only_look_is_refused(self, auditor: Client, overpaid: Borrower) -> None:
        assert send(auditor, overpaid, "give_back", reason="x").status_code == 403


def test_what_the_law_grants_takes_one_officer_and_counts_once(
    officer: Client, loan: Loan, amina: Borrower
) -> None:
    assert (
        "nothing more is earned"
        in send_twice(officer, loan, "grant_death", reason="Her sister called.").content.decode()
    )
    amina.refresh_from_db()
    assert (amina.state, loan.events.filter(kind="death").count()) == ("deceased", 1)


def test_a_day_of_death_that_is_still_to_come_is_refused_in_a_sentence(officer: Client, loan: Loan) -> None:
    ahead = (timezone.localdate() + timedelta(days=1)).isoformat()
    said = send(officer, loan, "grant_death", reason="x", died_on=ahead).content.decode()
    assert "The day of death must not be a day ahead" in said
