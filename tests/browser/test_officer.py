"""An officer's morning in the browser: the first page, a review with a reason, and what it changed."""

import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import Page, expect

from lending.models import Application, Borrower, Loan
from tests import factories
from tests.browser.conftest import Shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def waiting(amina: Borrower, fixed_scorer: object) -> Application:
    application = factories.apply(amina)
    factories.decide(application, "refer", score=0.27, next_step="wait_officer")
    return application


@pytest.fixture
def desk(page: Page, live_server, waiting: Application) -> Page:  # type: ignore[no-untyped-def]
    """Wambui, a loan officer, has logged in."""
    wambui = User.objects.create_user("wambui", password="a-long-password", is_staff=True)
    wambui.groups.add(Group.objects.get(name="Loan officers"))
    page.goto(f"{live_server.url}/admin/")
    page.get_by_label("Username").fill("wambui")
    page.get_by_label("Password").fill("a-long-password")
    page.get_by_role("button", name="Log in").click()
    return page


def test_a_referred_application_is_approved_with_a_reason(desk: Page, waiting: Application, shoot: Shoot) -> None:
    shoot(desk, "admin-1-today")
    desk.get_by_role("link", name="Amina Wanjiru: KES 500").click()
    expect(desk.get_by_text("27.0% chance of default")).to_be_visible()
    shoot(desk, "admin-2-application")
    desk.get_by_role("link", name="Approve").click()
    desk.get_by_role("button", name="Approve and pay out").click()
    expect(desk.get_by_text("This field is required.")).to_be_visible()
    desk.get_by_label("Reason").fill("Spoke with her: the stall sells well before Christmas.")
    shoot(desk, "admin-3-dialog")
    desk.get_by_role("button", name="Approve and pay out").click()
    expect(desk.get_by_text("Approved: the payout is under way.")).to_be_visible()
    expect(desk.get_by_text("the stall sells well")).to_be_visible()
    shoot(desk, "admin-4-approved")
    assert Loan.objects.get(application=waiting).state == Loan.State.APPROVED


def test_the_account_of_a_decision_is_read_at_one_look(
    desk: Page,
    waiting: Application,
    shoot: Shoot,
    settings,
    live_server,  # type: ignore[no-untyped-def]
) -> None:
    settings.DECISION_ACCOUNT = "tests.lending.admin.test_applications.account"
    said = "REVIEW I was in hospital in May, the clinic will tell you."
    Application.objects.filter(id=waiting.id).update(appealed_at=factories.NOON, appeal_words=said)
    desk.goto(f"{live_server.url}/admin/lending/application/{waiting.id}/change/")
    expect(desk.get_by_text(said)).to_be_visible()
    heading = desk.get_by_text("Similar past cases: 2 of 3 repaid")
    heading.scroll_into_view_if_needed()
    expect(heading).to_be_visible()
    shoot(desk, "admin-6-account")
    bar = desk.locator("svg rect").first.bounding_box()
    assert bar and bar["width"] == 120
    assert not desk.evaluate("document.documentElement.scrollWidth > window.innerWidth")


def test_a_customer_is_found_by_phone_and_shown_masked(desk: Page, amina: Borrower, shoot: Shoot) -> None:
    desk.get_by_role("link", name="Borrowers").click()
    desk.get_by_placeholder("Phone in any form").fill("0711 000 101")
    desk.keyboard.press("Enter")
    desk.get_by_role("link", name="Amina Wanjiru").click()
    expect(desk.get_by_text("25471***101").first).to_be_visible()
    assert amina.msisdn not in desk.content() and amina.national_id not in desk.content()
    shoot(desk, "admin-5-customer")
