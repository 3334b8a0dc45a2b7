"""A waiver in the browser: an officer looks and proposes, a manager looks and approves."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone
from playwright.sync_api import Page, expect

from lending.models import Borrower, Loan
from tests import factories
from tests.browser.conftest import Shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def log_in(page: Page, url: str, name: str, group: str) -> None:
    user = User.objects.create_user(name, password="a-long-password", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    page.context.clear_cookies()
    page.goto(f"{url}/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("a-long-password")
    page.get_by_role("button", name="Log in").click()


def test_a_fee_is_waived_by_two_people(
    page: Page,
    live_server,
    amina: Borrower,
    fixed_scorer: object,
    shoot: Shoot,  # type: ignore[no-untyped-def]
) -> None:
    loan: Loan = factories.live_loan(amina, at=timezone.now() - timedelta(days=1))
    log_in(page, live_server.url, "wambui", "Loan officers")
    page.goto(f"{live_server.url}/admin/lending/loan/{loan.id}/change/")
    shoot(page, "changes-1-loan")
    page.get_by_text("Propose a change").click()
    shoot(page, "changes-2-menu")
    page.get_by_role("link", name="Waive").click()
    page.get_by_label("Of which part").select_option("fee")
    page.get_by_label("Reason").fill("She was told another price.")
    shoot(page, "changes-3-dialog")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Nothing has happened yet")).to_be_visible()
    shoot(page, "changes-4-preview")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("it waits for a second person")).to_be_visible()
    shoot(page, "changes-5-proposed")
    log_in(page, live_server.url, "njeri", "Managers")
    page.get_by_role("link", name="Waiting for a second person").first.click()
    shoot(page, "changes-6-room")
    page.get_by_role("link", name="Waive").first.click()
    expect(page.get_by_text("Still so.")).to_be_visible()
    shoot(page, "changes-7-proposal")
    page.get_by_role("link", name="Approve").click()
    page.get_by_role("button", name="Approve and carry out").click()
    expect(page.get_by_text("Approved and carried out.").first).to_be_visible()
    shoot(page, "changes-8-approved")
    loan.refresh_from_db()
    assert loan.outstanding_cents == 50_500
