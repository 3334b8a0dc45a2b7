"""Officers settle what people asked for; their looks are written down; agents are theirs to allow."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from lending.models import AccessRecord, Agent, AuditEvent, Borrower, Case, Loan, Proposal
from lending.payments import stopped
from lending.services import agents, complaints, corrections, deaths, help, holds, lost_phones
from tests import factories
from tests.factories import NOON
from tests.lending.admin.test_work import press

SAID: dict[str, Any] = {"language": "en", "at": NOON}


def cases(client: Client, work: str) -> int:
    listed = client.get(reverse("admin:lending_case_changelist"), {"work": work})
    return int(listed.context["cl"].result_count)


class TestRequests:
    def test_stand_in_a_queue_with_their_age_and_are_marked_when_late(self, officer: Client, amina: Borrower):
        help.ask_for_person(msisdn=amina.msisdn, said="HELP", language="en", at=timezone.now())
        assert (cases(officer, "asked"), cases(officer, "overdue")) == (1, 0)
        Case.objects.update(opened_at=timezone.now() - timedelta(days=2), answer_by=timezone.now())
        assert (cases(officer, "asked"), cases(officer, "overdue")) == (1, 1)
        page = officer.get(reverse("admin:lending_case_changelist"), {"work": "asked"}).content.decode()
        assert "Overdue" in page and "2 days" in page.replace("\xa0", " ") and "Asks for a person" in page

    def test_show_the_number_that_is_to_be_called(self, officer: Client, law: None):
        case = help.ask_for_person(msisdn="254722000999", said="HELP", **SAID)
        page = officer.get(reverse("admin:lending_case_change", args=[case.pk])).content.decode()
        assert "+254722000999" in page and case.reference in page and "Settled" not in page

    def test_say_in_words_what_is_asked_for(self, officer: Client, amina: Borrower):
        complaints.complain(msisdn=amina.msisdn, topic="price", **SAID)
        corrections.ask_correction(msisdn=amina.msisdn, field="full_name", value="Amina Njeri", **SAID)
        listed = officer.get(reverse("admin:lending_case_changelist")).content.decode()
        assert "What it costs" in listed and "full name, Amina Njeri" in listed
        case = help.call_back(msisdn=amina.msisdn, part=0, language="en", at=NOON)
        page = officer.get(reverse("admin:lending_case_change", args=[case.pk])).content.decode()
        assert "Call from" in page and "3 Mar 2026, 08:00" in page

    def test_a_complaint_is_taken_up_and_answered(self, officer: Client, amina: Borrower):
        case = complaints.complain(msisdn=amina.msisdn, topic="price", **SAID)
        press(officer, "case", "take_up", case.pk)
        case.refresh_from_db()
        assert case.acknowledged_at is not None
        said = {"outcome": "no_fault", "words": "The fee was on the screen.", "resolution": "Looked at it."}
        press(officer, "case", "close", case.pk, resolution="Nonsense.")
        answer = press(officer, "case", "answer_complaint", case.pk, **said)
        assert "the customer is told" in answer.content.decode()
        case.refresh_from_db()
        assert (case.outcome, case.answer) == ("no_fault", "The fee was on the screen.")
        assert "settled already" in press(officer, "case", "answer_complaint", case.pk, **said).content.decode()

    def test_a_name_is_proposed_by_one_and_approved_by_another(
        self, officer: Client, boss: Client, amina: Borrower
    ):
        case = corrections.ask_correction(msisdn=amina.msisdn, field="full_name", value="Amina Njeri", **SAID)
        press(officer, "case", "propose_correction", case.pk, full_name="Amina Njeri", reason="Card seen.")
        proposal = Proposal.objects.get()
        page = boss.get(reverse("admin:lending_proposal_change", args=[proposal.pk])).content.decode()
        assert "Amina Wanjiru" in page and "Amina Njeri" in page
        press(boss, "proposal", "approve", proposal.pk)
        amina.refresh_from_db()
        assert amina.full_name == "Amina Njeri"

    def test_a_wish_is_settled_otherwise(self, officer: Client, amina: Borrower):
        for name, outcome in (("settle_correction", "put_right"), ("leave_uncorrected", "no_fault")):
            case = corrections.ask_correction(msisdn=amina.msisdn, field="other", value="", **SAID)
            press(officer, "case", name, case.pk, resolution="Done.")
            case.refresh_from_db()
            assert case.outcome == outcome

    def test_a_lost_number_is_given_back_or_left(self, officer: Client, amina: Borrower):
        said = {"lost": amina.msisdn, "national_id": "23456781", "first_name": "Amina"}
        for name, hold in (("keep_stopped", "phone"), ("give_number_back", "")):
            case = lost_phones.report(reporter="254722000999", **said, **SAID)
            press(officer, "case", name, case.pk, resolution="Spoke with her.")
            amina.refresh_from_db()
            assert amina.hold == hold

    def test_a_new_sim_is_let_go_on(self, officer: Client, amina: Borrower, settings: Any):
        settings.SIM_CHECK = "tests.lending.services.test_lost_phones.changed_yesterday"
        holds.check_sim(amina, NOON)
        press(officer, "case", "lift_hold", Case.objects.get().pk, resolution="Spoke with her.")
        amina.refresh_from_db()
        assert amina.hold == "" and Case.objects.get().closed_at is not None

    @pytest.mark.parametrize(("name", "state"), [("confirm_death", "deceased"), ("not_dead", "active")])
    def test_a_death_is_recorded_or_not(self, officer: Client, amina: Borrower, name: str, state: str):
        case = deaths.report(reporter="254722000999", deceased=amina.msisdn, **SAID)
        press(officer, "case", name, case.pk, resolution="Paper seen.")
        amina.refresh_from_db()
        assert amina.state == state

    def test_a_payout_that_stands_still_is_ended(self, officer: Client, amina: Borrower, fixed_scorer: Any):
        factories.decide(factories.apply(amina))
        holds.hold(amina, Borrower.Hold.SIM, NOON)
        stopped.keep_cases(NOON)
        case = Case.objects.get(kind="payout_stopped")
        page = officer.get(reverse("admin:lending_case_change", args=[case.pk])).content.decode()
        assert "Pay after all" in page and "Give the payout up" in page and "Close this case" not in page
        answer = press(officer, "case", "give_up_payout", case.pk, resolution="She does not want it any more.")
        assert "the money stays with us" in answer.content.decode()
        assert Loan.objects.get().state == Loan.State.NOT_PAID_OUT

    def test_who_may_only_look_settles_nothing(self, auditor: Client, amina: Borrower):
        case = complaints.complain(msisdn=amina.msisdn, topic="price", **SAID)
        address = reverse("admin:lending_case_take_up", args=[case.pk])
        assert auditor.post(address, {"_form_submitted": "on"}).status_code == 403


class TestLooks:
    @pytest.mark.parametrize("room", ["borrower", "loan", "application"])
    def test_at_each_page_about_a_customer_are_written_down(
        self, officer: Client, aminas_loan: Loan, amina: Borrower, room: str
    ):
        pk = {"borrower": amina.pk, "loan": aminas_loan.pk, "application": aminas_loan.application_id}[room]
        officer.get(reverse(f"admin:lending_{room}_change", args=[pk]))
        look = AccessRecord.objects.get()
        assert (look.borrower, look.officer.username, look.role) == (amina, "wambui", "Loan officers")

    def test_that_were_refused_are_none(self, amina: Borrower):
        Client().get(reverse("admin:lending_borrower_change", args=[amina.pk]))
        assert not AccessRecord.objects.exists()


def test_a_copy_of_all_data_is_handed_out_and_kept_in_the_trail(officer: Client, auditor: Client, amina: Borrower):
    address = reverse("admin:lending_borrower_copy_of_data", args=[amina.pk])
    assert auditor.get(address).status_code == 403
    copied = officer.get(address)
    assert "attachment" in copied["Content-Disposition"]
    assert json.loads(copied.content)["customer"]["full_name"] == "Amina Wanjiru"
    assert AuditEvent.objects.get(action="data_copied").actor.username == "wambui"  # type: ignore[union-attr]


class TestAgents:
    def test_an_officer_allows_and_ends_one(self, officer: Client, amina: Borrower):
        agent = agents.ask_to_be_agent(borrower_id=amina.id, at=NOON)
        for name, state in (("approve", "approved"), ("end", "ended"), ("approve", "approved")):
            press(officer, "agent", name, agent.pk, reason="Met her.")
            assert Agent.objects.get().state == state

    def test_only_what_fits_is_offered(self, officer: Client, amina: Borrower):
        agent = agents.ask_to_be_agent(borrower_id=amina.id, at=NOON)
        page = officer.get(reverse("admin:lending_agent_change", args=[agent.pk])).content.decode()
        assert "Approve" in page and "End this agent" not in page
