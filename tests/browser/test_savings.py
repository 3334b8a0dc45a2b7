"""What officers look up about savings, in the browser."""

import pytest
from django.core.management import call_command
from django.utils import timezone
from playwright.sync_api import Page, expect

from lending.models import Borrower, GroupWithdrawal, SavingsGroup
from tests import factories
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


def test_a_group_is_formed_and_takes_a_member_in(
    page: Page,
    live_server,
    amina: Borrower,
    shoot: Shoot,  # type: ignore[no-untyped-def]
) -> None:
    call_command("load_fixtures", verbosity=0)
    for place, name in enumerate(("Brian Otieno", "Cheptoo Ruto")):
        factories.register(name, f"25471100060{place}", f"4556700{place}", at=timezone.now())
    log_in(page, live_server.url, "wambui", "Loan officers")
    page.goto(f"{live_server.url}/admin/lending/savingsgroup/")
    page.get_by_text("Form a group").click()
    page.locator("input[name=name]").fill("Tumaini")
    page.locator("textarea[name=members]").fill("0711000600\n0711000999")
    page.locator("textarea[name=reason]").fill("Met both.")
    shoot(page, "groups-1-form")
    page.get_by_role("button", name="Form it").click()
    expect(page.get_by_text("does not point to exactly one customer")).to_be_visible()
    shoot(page, "groups-2-refused")
    page.locator("textarea[name=members]").fill("0711000600\n0711000601")
    page.get_by_role("button", name="Form it").click()
    expect(page.get_by_text("The group is formed.")).to_be_visible()
    shoot(page, "groups-3-formed")
    page.get_by_role("link", name="Tumaini").click()
    page.get_by_text("Take in a member").click()
    page.locator("input[name=customer]").fill(amina.full_name)
    page.locator("textarea[name=reason]").fill("The group asked.")
    page.get_by_role("button", name="Take in").last.click()
    expect(page.get_by_text(f"{amina.full_name} is in the group.")).to_be_visible()
    shoot(page, "groups-4-joined")
    assert SavingsGroup.objects.get().members.count() == 3
