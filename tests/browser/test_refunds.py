"""Giving back in the browser: an officer sees what is kept and proposes, a manager sees the same and approves."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from playwright.sync_api import Page, expect

from lending.models import Borrower, Refund
from tests import factories
from tests.browser.conftest import Shoot
from tests.browser.test_changes import log_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_what_was_paid_too_much_is_given_back_by_two_people(
    page: Page,
    live_server,
    amina: Borrower,
    fixed_scorer: object,
    shoot: Shoot,  # type: ignore[no-untyped-def]
) -> None:
    loan = factories.live_loan(amina, at=timezone.now() - timedelta(days=1))
    factories.pay(loan.reference, 60_000, at=timezone.now())
    call_command("load_fixtures", verbosity=0)
    log_in(page, live_server.url, "wambui", "Loan officers")
    page.goto(f"{live_server.url}/admin/lending/borrower/{amina.id}/change/")
    shoot(page, "refunds-1-customer")
    page.get_by_role("link", name="Give back what was paid too much").click()
    page.get_by_label("Reason").fill("She asked for it on the phone.")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Nothing has happened yet")).to_be_visible()
    shoot(page, "refunds-2-preview")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("it waits for a second person")).to_be_visible()
    log_in(page, live_server.url, "njeri", "Managers")
    page.get_by_role("link", name="Waiting for a second person").first.click()
    page.get_by_role("link", name="Give back").first.click()
    expect(page.get_by_text("Still so.")).to_be_visible()
    shoot(page, "refunds-3-proposal")
    page.get_by_role("link", name="Approve").click()
    page.get_by_role("button", name="Approve and carry out").click()
    expect(page.get_by_text("Approved and carried out.").first).to_be_visible()
    refund = Refund.objects.get()
    page.goto(f"{live_server.url}/admin/lending/refund/{refund.id}/change/")
    expect(page.get_by_text("She asked for it on the phone.")).to_be_visible()
    shoot(page, "refunds-4-refund")
    assert (refund.state, refund.amount_cents) == ("open", 7_000)
