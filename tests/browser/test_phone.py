"""Amina takes a loan and repays it on the phone in the browser; every part behind it is real."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from lending import outbox
from lending.models import Loan, Receipt
from tests.browser.conftest import DESK, POCKET, Shoot
from tests.stack import Stack, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
AMINA = "254711000101"
ARRIVES_MS = 30_000


@pytest.fixture
def stack(law: None, fixed_scorer: object, tmp_path: Path) -> Iterator[Stack]:
    """Operator, production server and sweeper; a thread decides as the scoring worker would."""
    with Stack(tmp_path) as stack:
        stack.sandbox.phone(AMINA, name="Amina Wanjiru", wallet_pin="1234", balance_cents=0)
        stack.web()
        stack.sweeper()
        over = threading.Event()
        decider = threading.Thread(target=decide_until, args=(over,))
        decider.start()
        yield stack
        over.set()
        decider.join()


def decide_until(over: threading.Event) -> None:
    """Take submitted applications as soon as they are there; the scorer says yes."""
    while not over.wait(0.1):
        outbox.drain(timezone.now(), queue="scoring")
    connection.close()


class BrowserPhone:
    """The drawn handset: `types` uses the keyboard, `presses` the keys on the picture."""

    def __init__(self, page: Page, stack: Stack) -> None:
        self.page, self.view = page, page.locator("#view")
        page.goto(f"{stack.web_url}/phone/?phone=+{AMINA}")
        expect(page.locator("#operator")).to_have_text("Safari Net")

    def dials(self, code: str) -> "BrowserPhone":
        self.page.locator("body").press_sequentially(code)
        return self.presses("call")

    def sees(self, *words: str) -> "BrowserPhone":
        for part in words:
            expect(self.view).to_contain_text(part, timeout=ARRIVES_MS)
        return self

    def types(self, answer: str) -> "BrowserPhone":
        """Answer the dialogue, and wait until the answer line has gone with its screen."""
        line = self.view.get_by_label("Answer").element_handle()
        assert line is not None
        line.type(answer)
        line.press("Enter")
        line.wait_for_element_state("hidden")
        return self

    def presses(self, *keys: str) -> "BrowserPhone":
        for key in keys:
            self.page.locator(f"[data-press='{key}']").click()
        return self


def test_amina_borrows_and_repays_on_the_phone(page: Page, stack: Stack, shoot: Shoot) -> None:
    phone = BrowserPhone(page, stack)
    shoot(page, "phone-1-home")
    phone.dials("*384*77#").sees("1 English").types("1").sees("I agree").types("1").types("1").types("2")
    phone.sees("full name").types("Amina Wanjiru").sees("national ID").types("23456781")
    phone.sees("Choose a PIN").types("2580").types("2580").sees("your limit is KES 1,000")
    shoot(page, "phone-2-menu")
    phone.types("1").sees("How much").types("500").sees("You repay KES 530", "APR 73%")
    shoot(page, "phone-3-key-facts")
    phone.types("2").sees("PIN").types("2580").sees("Approved. KES 500 is on its way")
    shoot(page, "phone-4-approved")

    expect(page.locator("#mail")).to_be_visible(timeout=ARRIVES_MS)
    phone.presses("left").sees("Dial *384*77#").presses("right").sees("MPESA", "KES 500")
    shoot(page, "phone-5-inbox")
    page.get_by_role("button", name="KES 530").click()
    phone.sees("KES 530")
    shoot(page, "phone-6-message")
    phone.presses("end", "left", "3").sees("KES 500", "+500")
    shoot(page, "phone-7-wallet")

    stack.sandbox.phone(AMINA, balance_cents=530_00)  # she sold at the market
    phone.presses("end").dials("*384*77#").types("2").sees("530").types("1")
    phone.presses("left").sees("Do you want to pay Ksh530")
    pin = page.get_by_label("Wallet PIN")
    assert pin.get_attribute("type") == "password"
    phone.presses("1", "2", "3", "4")
    expect(pin).to_have_value("1234")
    shoot(page, "phone-8-wallet-prompt")
    phone.presses("left").sees("Payment sent")
    loan = wait_for(lambda: Loan.objects.filter(state=Loan.State.SETTLED).first(), 30)
    receipt = Receipt.objects.get()
    assert (loan.outstanding_cents, receipt.amount_cents) == (0, 530_00)
    phone.presses("left", "left", "1").sees(receipt.receipt_no)
    from_jirani = page.get_by_role("button", name="20384")
    expect(from_jirani).to_have_count(2, timeout=ARRIVES_MS)  # the payout's message and the receipt
    shoot(page, "phone-9-receipts")
    assert stack.sandbox.phone(AMINA)["balance_cents"] == 0


class TestHandset:
    def test_letters_come_by_pressing_a_key_several_times(self, page: Page, stack: Stack) -> None:
        phone = BrowserPhone(page, stack).presses("left", "2")
        text = page.get_by_label("Text")
        phone.presses("4", "4", "3", "3")
        expect(text).to_have_value("He")
        phone.presses("#", "7", "7")
        expect(text).to_have_value("He77")

    def test_the_red_key_leaves_a_dialogue_and_the_next_dial_begins_one(self, page: Page, stack: Stack) -> None:
        phone = BrowserPhone(page, stack).dials("*384*77#").sees("1 English").presses("end")
        phone.sees("Dial *384*77#").dials("*384*77#").sees("1 English")

    def test_a_page_that_is_loaded_again_shows_the_open_dialogue(self, page: Page, stack: Stack) -> None:
        phone = BrowserPhone(page, stack).dials("*384*77#").sees("1 English")
        page.reload()
        phone.sees("1 English").types("1").sees("I agree")

    def test_fits_desk_and_pocket_and_names_every_key(self, page: Page, stack: Stack, shoot: Shoot) -> None:
        BrowserPhone(page, stack).dials("*384*77#").sees("1 English")
        for size, name in ((DESK, "desk"), (POCKET, "pocket")):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            shoot(page, f"phone-{name}")
        nameless = (
            "[...document.querySelectorAll('button')].filter(b => !b.ariaLabel && !b.innerText.trim()).length"
        )
        assert page.evaluate(nameless) == 0


def test_without_the_network_it_says_so(browser: Browser, stack: Stack, shoot: Shoot) -> None:
    page = browser.new_page(viewport=DESK)  # type: ignore[arg-type]
    BrowserPhone(page, stack)
    stack.sandbox.stop()
    expect(page.locator("#operator")).to_have_text("No service", timeout=ARRIVES_MS)
    expect(page.locator("#toast")).to_contain_text("make demo")
    shoot(page, "phone-no-service")
