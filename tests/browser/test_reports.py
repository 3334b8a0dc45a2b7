"""An officer reads a report in the browser and takes its file."""

import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import Page, expect

from tests.browser.conftest import POCKET, Shoot
from tests.lending.selectors import story
from tests.lending.selectors.conftest import evening

__all__ = ["evening"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def desk(page: Page, live_server, law: None, fixed_scorer: object, evening: None) -> Page:  # type: ignore[no-untyped-def]
    """Wambui, a loan officer, has logged in; four loans are in the books."""
    story.four_loans()
    wambui = User.objects.create_user("wambui", password="a-long-password", is_staff=True)
    wambui.groups.add(Group.objects.get(name="Loan officers"))
    page.goto(f"{live_server.url}/admin/")
    page.get_by_label("Username").fill("wambui")
    page.get_by_label("Password").fill("a-long-password")
    page.get_by_role("button", name="Log in").click()
    return page


def test_a_report_is_read_with_its_definitions_as_of_a_day_and_taken_along(desk: Page, shoot: Shoot) -> None:
    desk.get_by_role("link", name="Reports").first.click()
    shoot(desk, "reports-1-index")
    desk.get_by_role("link", name="Portfolio at risk").click()
    desk.get_by_label("As of the end of").fill("2026-06-30")
    desk.get_by_role("button", name="Show").click()
    expect(desk.get_by_role("table", name="Portfolio at risk at the end of 30 June 2026")).to_be_visible()
    expect(desk.get_by_role("columnheader", name="Par at risk / gross portfolio")).to_be_visible()
    expect(desk.get_by_role("cell", name="37.6%").first).to_be_visible()
    shoot(desk, "reports-2-par")
    desk.set_viewport_size(POCKET)
    shoot(desk, "reports-3-pocket")
    with desk.expect_download() as taken:
        desk.get_by_role("link", name="CSV file").click()
    assert taken.value.suggested_filename == "par-2026-06-30.csv"
    assert "KES,30,80000,213000,0.375587,0.375587,0.474308,0.707965" in taken.value.path().read_text()
