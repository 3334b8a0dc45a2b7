"""The next version of a product in the browser: one person proposes it, another one approves."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from playwright.sync_api import Page, expect

from lending.models import ProductVersion
from tests import factories
from tests.browser.conftest import Shoot
from tests.browser.test_changes import log_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_dearer_version_is_proposed_and_approved(
    page: Page,
    live_server,  # type: ignore[no-untyped-def]
    law: None,
    shoot: Shoot,
) -> None:
    version = factories.usual_product()
    call_command("load_fixtures", verbosity=0)
    log_in(page, live_server.url, "kamau", "Product managers")
    page.goto(f"{live_server.url}/admin/lending/productversion/{version.id}/change/")
    shoot(page, "products-1-version")
    page.get_by_role("link", name="Propose the next version").click()
    page.get_by_label("First day").fill((timezone.localdate() + timedelta(days=40)).isoformat())
    box = page.locator("textarea[name=terms]")
    box.fill(box.input_value().replace('"0.05"', '"0.09"'))
    page.get_by_label("Reason").fill("The bank has become dearer.")
    shoot(page, "products-2-form")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("it allows 10 %, and this would be 10.8 %")).to_be_visible()
    page.get_by_text("it allows 10 %, and this would be 10.8 %").scroll_into_view_if_needed()
    shoot(page, "products-3-refused")
    box = page.locator("textarea[name=terms]")
    box.fill(box.input_value().replace('"0.09"', '"0.06"'))
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Nothing has happened yet")).to_be_visible()
    shoot(page, "products-4-preview")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("it waits for a second person")).to_be_visible()
    log_in(page, live_server.url, "njeri", "Managers")
    page.get_by_role("link", name="Waiting for a second person").first.click()
    page.get_by_role("link", name="Next version of a product").first.click()
    expect(page.get_by_text("Still so.")).to_be_visible()
    shoot(page, "products-5-proposal")
    page.get_by_role("link", name="Approve").click()
    page.get_by_role("button", name="Approve and carry out").click()
    expect(page.get_by_text("Approved and carried out.").first).to_be_visible()
    assert ProductVersion.objects.filter(version=2).exists()
