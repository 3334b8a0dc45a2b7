"""Lending that a person stops at once."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from lending.models import AuditEvent, Borrower, Case, Loan
from lending.selectors import limits, offers
from lending.selectors.glance import glance
from lending.services import applications, brakes, cases
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.usefixtures("fixed_scorer")
WHY = "Scores look wrong since noon"


@pytest.fixture
def wambui(db: None):  # type: ignore[no-untyped-def]
    return get_user_model().objects.create_user("wambui", is_staff=True)


class TestStoppingTheComputer:
    def test_leaves_the_very_next_approval_to_a_person(self, amina: Borrower, wambui) -> None:  # type: ignore[no-untyped-def]
        application = factories.apply(amina)
        brakes.stop(what="computer", officer=wambui, reason=WHY, at=NOON)
        decision = factories.decide(application)
        assert (decision.outcome, decision.inputs["held_back"]) == ("refer", "computer_stopped")
        assert decision.reasons == [{"code": "computer_stopped", "values": {}}]

        applications.review(
            application_id=application.id, officer=wambui, approve=True, reason="Stall seen", at=NOON
        )
        assert Loan.objects.get().application == application

    def test_changes_no_refusal(self, amina: Borrower, wambui) -> None:  # type: ignore[no-untyped-def]
        brakes.stop(what="computer", officer=wambui, reason=WHY, at=NOON)
        assert factories.decide(factories.apply(amina), "decline").outcome == "decline"

    def test_is_on_record_and_ends_with_its_case(self, amina: Borrower, wambui) -> None:  # type: ignore[no-untyped-def]
        case = brakes.stop(what="computer", officer=wambui, reason=WHY, at=NOON)
        assert brakes.stop(what="computer", officer=wambui, reason="again", at=NOON + timedelta(hours=1)) == case
        event = AuditEvent.objects.get(action="lending_stopped")
        assert (event.actor, event.reason, event.detail["what"]) == (wambui, WHY, "computer")
        assert "wambui" in case.note and WHY in case.note

        for _ in range(2):
            cases.close_case(case_id=case.id, officer=wambui, resolution="A fault in the feed, mended", at=NOON)
        event = AuditEvent.objects.get(action="lending_goes_on")
        assert (event.actor, event.detail["what"]) == (wambui, "computer")
        assert factories.decide(factories.apply(amina)).outcome == "approve"

    def test_may_be_a_setting(self, amina: Borrower, settings) -> None:  # type: ignore[no-untyped-def]
        settings.COMPUTER_APPROVES = False
        assert factories.decide(factories.apply(amina)).inputs["held_back"] == "computer_stopped"


class TestStoppingAllLending:
    def test_stops_officers_too_and_offers_nothing(self, amina: Borrower, brian: Borrower, wambui) -> None:  # type: ignore[no-untyped-def]
        referred = factories.apply(brian, origin="ussd:test:2")
        factories.decide(referred, "refer")
        application = factories.apply(amina)
        brakes.stop(what="lending", officer=wambui, reason=WHY, at=NOON)

        assert factories.decide(application).inputs["held_back"] == "product_paused"
        with pytest.raises(applications.Paused):
            applications.review(application_id=referred.id, officer=wambui, approve=True, reason="x", at=NOON)
        with pytest.raises(applications.Paused):
            factories.apply(amina, origin="ussd:test:3")
        assert offers.offer(amina, NOON.date(), "KE").refusal == "paused"
        seen = glance(amina.msisdn, NOON)
        assert seen is not None and seen.is_paused("jirani-30")

        assert brakes.let_go(what="lending", officer=wambui, reason="Mended", at=NOON) == 1
        assert AuditEvent.objects.get(action="lending_goes_on").detail["what"] == "lending"
        assert offers.offer(amina, NOON.date(), "KE").refusal == ""

    def test_leaves_the_computer_s_own_brake_apart(self, db: None, wambui) -> None:  # type: ignore[no-untyped-def]
        brakes.stop(what="lending", officer=wambui, reason=WHY, at=NOON)
        assert not limits.computer_is_stopped() and limits.is_paused("jirani-30")
        assert brakes.let_go(what="computer", officer=wambui, reason="x", at=NOON) == 0
        assert limits.is_paused("jirani-30")


class TestTheCommand:
    def test_stops_says_so_and_lets_go(self, wambui, capsys) -> None:  # type: ignore[no-untyped-def]
        call_command("stop_lending", "computer", by="wambui", why=WHY)
        assert WHY in capsys.readouterr().out
        assert limits.computer_is_stopped()
        call_command("stop_lending", "computer", by="wambui", why="Mended", go_on=True)
        assert "nothing is stopped" in capsys.readouterr().out
        assert Case.objects.get().closed_by == wambui

    @pytest.mark.parametrize("said", [{"by": "nobody", "why": WHY}, {"by": "wambui", "why": " "}])
    def test_asks_for_an_officer_and_a_reason(self, wambui, said) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(CommandError):
            call_command("stop_lending", "computer", **said)
        assert not Case.objects.exists()
