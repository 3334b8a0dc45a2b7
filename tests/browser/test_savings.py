"""What officers look up about savings, in the browser."""

import pytest
from django.core.management import call_command
from playwright.sync_api import Page, expect

from lending.models import Borrower, GroupWithdrawal, SavingsGroup
from tests.browser.conftest import Shoot
from tests.browser.test_changes import log_in
from tests.lending.admin import rows

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_saver_and_a_group_are_looked_up(
    page: Page,
    live_server,
    amina: Borrower,
    shoot: Shoot,  # type: ignore[no-untyped-def]
) -> None:
    rows.save(amina)
    call_command("load_fixtures", verbosity=0)
    log_in(page, live_server.url, "wambui", "Loan officers")
    page.get_by_role("link", name="Savings accounts").click()
    expect(page.get_by_text("Cow")).to_be_visible()
    shoot(page, "savings-1-accounts")
    page.get_by_role("link", name="Cow").click()
    expect(page.get_by_text("Can be taken out")).to_be_visible()
    shoot(page, "savings-2-account")
    page.locator("a[href='#movements']").first.click()
    expect(page.get_by_text("UB1")).to_be_visible()
    shoot(page, "savings-3-movements")
    page.goto(f"{live_server.url}/admin/lending/savingsgroup/{SavingsGroup.objects.get().id}/change/")
    expect(page.get_by_text("Roof")).to_be_visible()
    shoot(page, "savings-4-group")
    page.goto(f"{live_server.url}/admin/lending/groupwithdrawal/{GroupWithdrawal.objects.get().id}/change/")
    expect(page.get_by_text("1 of 1")).to_be_visible()
    shoot(page, "savings-5-withdrawal")
