"""Amina and Brian on the two phones in the browser; every part behind them is real."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Browser, Locator, Page, expect

from lending import outbox
from lending.models import Loan, Receipt
from tests import factories
from tests.browser.access import barriers, lost_on_the_way
from tests.browser.conftest import DESK, Shoot
from tests.stack import Stack, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
AMINA, BRIAN = "254711000101", "254711000102"
ARRIVES_MS = 30_000
SIZES = {"pocket": {"width": 360, "height": 780}, "tablet": {"width": 800, "height": 1100}, "desk": DESK}


@pytest.fixture
def stack(law: None, fixed_scorer: object, tmp_path: Path) -> Iterator[Stack]:
    """Operator, production server and sweeper; a thread decides as the scoring worker would."""
    with Stack(tmp_path) as stack:
        stack.sandbox.phone(AMINA, name="Amina Wanjiru", wallet_pin="1234", balance_cents=0)
        stack.sandbox.phone(BRIAN, name="Brian Kiptoo", wallet_pin="1234", balance_cents=1_000_00)
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
    """One drawn handset: `types` uses the keyboard, `presses` the keys on the picture."""

    def __init__(self, page: Page, stack: Stack) -> None:
        page.goto(f"{stack.web_url}/phone/?phone=+{AMINA}&second={BRIAN}")
        self._hold(page, 1)

    def _hold(self, page: Page, number: int) -> None:
        self.page, self.root = page, page.locator(f"#phone-{number}")
        self.view = self.part("view")
        expect(self.part("operator")).to_have_text("Safari Net")

    def other(self) -> "BrowserPhone":
        """The second phone on the same page."""
        phone = BrowserPhone.__new__(BrowserPhone)
        phone._hold(self.page, 2)
        return phone

    def part(self, name: str) -> Locator:
        return self.root.locator(f"[data-part='{name}']")

    def dials(self, code: str) -> "BrowserPhone":
        self.view.focus()
        self.page.keyboard.type(code)
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

    def hangs_up(self) -> "BrowserPhone":
        """End the dialogue, and wait for the home screen: what is typed while it ends goes nowhere."""
        return self.presses("end").sees("Dial *384*77#")

    def presses(self, *keys: str) -> "BrowserPhone":
        for key in keys:
            self.root.locator(f"[data-press='{key}']").click()
        return self


def test_amina_borrows_and_repays_on_the_phone(page: Page, stack: Stack, shoot: Shoot) -> None:
    phone = BrowserPhone(page, stack)
    shoot(page, "phone-1-home")
    phone.dials("*384*77#").sees("1 English").types("1").sees("I agree").types("1").types("1").types("2")
    phone.sees("full name").types("Amina Wanjiru").sees("national ID").types("23456781")
    phone.sees("Choose a PIN").types("2580").types("2580").sees("your limit is KES 1,000")
    shoot(page, "phone-2-menu")
    phone.types("1").sees("How much").types("500").sees("What is it for").types("5").sees(
        "You repay KES 530", "APR 73%"
    )
    shoot(page, "phone-3-key-facts")
    phone.types("2580").sees("Approved. KES 500 is on its way")
    shoot(page, "phone-4-approved")

    expect(phone.part("mail")).to_be_visible(timeout=ARRIVES_MS)
    phone.presses("left").sees("Dial *384*77#").presses("right").sees("MPESA", "KES 500")
    shoot(page, "phone-5-inbox")
    page.get_by_role("button", name="KES 530").click()
    phone.sees("KES 530")
    shoot(page, "phone-6-message")
    phone.presses("end", "left", "3").sees("KES 500", "+500")
    shoot(page, "phone-7-wallet")

    stack.sandbox.phone(AMINA, balance_cents=530_00)  # she sold at the market
    phone.hangs_up().dials("*384*77#").types("2").sees("530").types("1")
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
        text = phone.view.get_by_label("Text")
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


class TestTwoPhones:
    def test_each_holds_its_own_dialogue_and_one_pays_for_the_other(
        self, page: Page, stack: Stack, shoot: Shoot, settings: Any
    ) -> None:
        settings.DARAJA_BASE_URL, settings.PUBLIC_BASE_URL = stack.sandbox.url, stack.web_url
        call_command("register_paybill", verbosity=0)
        loan = factories.live_loan(factories.register(msisdn=AMINA), at=timezone.now())
        amina = BrowserPhone(page, stack).dials("*384*77#").sees("1 Loan")
        brian = amina.other().dials("*384*77#").sees("1 English").types("1").sees("I agree")
        amina.sees("1 Loan")
        brian.presses("end", "left", "4")
        brian.view.get_by_label("Account number").fill(AMINA)
        brian.view.get_by_label("Amount").fill("50")
        brian.view.get_by_label("Wallet PIN").fill("1234")
        brian.presses("left").sees("Paid")
        receipt = wait_for(Receipt.objects.first, 30)
        assert (receipt.account_reference, receipt.amount_cents) == (AMINA, 50_00)
        loan.refresh_from_db()
        assert loan.outstanding_cents == 480_00
        amina.sees("1 Loan")
        expect(page.locator("#entries")).to_contain_text("c2b/confirmation", timeout=ARRIVES_MS)
        shoot(page, "phone-two")

    def test_digits_go_to_the_phone_that_was_used_last(self, page: Page, stack: Stack) -> None:
        amina = BrowserPhone(page, stack)
        brian = amina.other()
        page.keyboard.type("12")
        amina.sees("12")
        brian.view.focus()
        expect(brian.part("typing")).to_be_visible()
        expect(amina.part("typing")).to_be_hidden()
        page.keyboard.type("34")
        brian.sees("34")
        page.get_by_label("Phone 1", exact=True).fill("999")
        amina.sees("12")
        amina.hangs_up().dials("*384*77#").sees("1 English")
        brian.presses("end")  # a key on the picture, while the first phone's answer line has the focus
        page.keyboard.type("56")
        brian.sees("56")
        expect(amina.view.get_by_label("Answer")).to_have_value("")


class TestBesideThePhones:
    def test_lines_break_and_are_mended(self, page: Page, stack: Stack, shoot: Shoot) -> None:
        amina = BrowserPhone(page, stack).dials("*384*77#").sees("1 English").types("1").sees("I agree")
        page.get_by_label("What happens to a hop").select_option("lost_back")
        page.get_by_label("Which hops").select_option("next")
        page.get_by_label("On the line of").select_option("1")
        page.get_by_role("button", name="Set").click()
        expect(page.locator("#faults-said")).to_have_text("Answer lost on the way back: the next hop, phone 1.")
        expect(amina.part("line")).to_contain_text("0 times so far")
        amina.types("1").sees("Connection problem")
        entries = page.locator("#entries")
        expect(entries).to_contain_text("fault: answer lost on the way back", timeout=ARRIVES_MS)
        expect(amina.part("line")).to_contain_text("once so far")
        shoot(page, "phone-fault")
        amina.hangs_up().dials("*384*77#").sees("The line dropped", "1 Go on")

        page.get_by_label("Which hops").select_option("every")
        page.get_by_label("On the line of").select_option("both")
        page.get_by_label("What happens to a hop").select_option("lost_there")
        page.get_by_role("button", name="Set").click()
        expect(page.locator("#faults-said")).to_have_text("Lost on the way there: every hop, both phones.")
        amina.hangs_up().dials("*384*77#").sees("Connection problem")
        amina.other().dials("*384*77#").sees("Connection problem")
        page.get_by_label("What happens to a hop").select_option("")
        page.get_by_role("button", name="Set").click()
        expect(page.locator("#faults-said")).to_have_text("The line works, both phones.")
        expect(amina.part("line")).to_be_hidden()
        amina.other().hangs_up().dials("*384*77#").sees("1 English")

    def test_the_log_hides_what_may_be_a_pin(self, page: Page, stack: Stack) -> None:
        BrowserPhone(page, stack).dials("*384*77#").sees("1 English").types("2580")
        entries = page.locator("#entries")
        expect(entries).to_contain_text("****", timeout=ARRIVES_MS)
        assert "2580" not in entries.inner_text()
        expect(entries.get_by_role("listitem").first).to_contain_text("Phone 1")
        page.get_by_label("Show").select_option("2")
        expect(entries.get_by_role("listitem")).to_have_count(0)

    def test_99_changes_the_language_of_one_phone(self, page: Page, stack: Stack, shoot: Shoot) -> None:
        amina = BrowserPhone(page, stack)
        expect(amina.part("language")).to_have_text("not chosen yet")
        amina.dials("*384*77#").sees("1 English").types("1").sees("I agree")
        expect(amina.part("language")).to_have_text("English", timeout=ARRIVES_MS)
        amina.part("ask-language").click()
        amina.sees("Language", "1 Kiswahili").types("1").sees("1 English").types("2").sees("1 Nakubali")
        expect(amina.part("language")).to_have_text("Kiswahili", timeout=ARRIVES_MS)
        expect(amina.other().part("language")).to_have_text("not chosen yet")
        shoot(page, "phone-language")
        amina.types("1").sees("M-PESA").types("1").types("2").sees("jina")
        amina.part("ask-language").click()  # a question takes 99 for its answer
        expect(amina.part("toast")).to_contain_text("99 works in a menu")
        amina.sees("jina")


class TestForEverybody:
    def test_is_read_and_reached_at_every_size(self, page: Page, stack: Stack, shoot: Shoot) -> None:
        amina = BrowserPhone(page, stack).dials("*384*77#").sees("1 English")
        amina.other().presses("left").sees("Wallet")
        page.get_by_label("What happens to a hop").select_option("delay")
        for big in (False, True):
            if big:
                page.get_by_role("button", name="Big type: off").click()
            for scheme, (name, size) in itertools.product(("light", "dark"), SIZES.items()):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                page.set_viewport_size(size)  # type: ignore[arg-type]
                assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
                assert barriers(page) == [], (name, scheme, big)
                page.evaluate("scrollTo(0, 0)")
                shoot(page, f"phone-{name}-{scheme}{'-big' if big else ''}")
        assert lost_on_the_way(page) == []

    def test_both_stand_side_by_side_on_a_desk(self, page: Page, stack: Stack) -> None:
        amina = BrowserPhone(page, stack)
        boxes = [phone.root.bounding_box() for phone in (amina, amina.other())]
        assert len({box["y"] for box in boxes if box}) == 1

    def test_big_type_is_remembered(self, page: Page, stack: Stack) -> None:
        amina = BrowserPhone(page, stack).dials("*384*77#").sees("1 English")
        size = "node => parseFloat(getComputedStyle(node.querySelector('.said')).fontSize)"
        small = amina.view.evaluate(size)
        page.get_by_role("button", name="Big type: off").click()
        page.reload()
        amina.sees("1 English")
        expect(page.get_by_role("button", name="Big type: on")).to_have_attribute("aria-pressed", "true")
        assert amina.view.evaluate(size) >= small * 1.25

    def test_a_dialogue_needs_no_mouse(self, page: Page, stack: Stack) -> None:
        amina = BrowserPhone(page, stack)
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # the way to phone 2
        page.keyboard.type("*384*77#")
        page.keyboard.press("Enter")
        brian = amina.other().sees("1 English")
        page.keyboard.type("1")
        page.keyboard.press("Enter")
        brian.sees("I agree")
        said = brian.part("said")
        expect(said).to_have_attribute("aria-live", "polite")
        expect(said).to_contain_text("Phone 2: ")
        expect(said).to_contain_text("I agree")
        page.keyboard.press("Escape")
        brian.sees("Dial *384*77#")


def test_without_the_network_it_says_so(browser: Browser, stack: Stack, shoot: Shoot) -> None:
    page = browser.new_page(viewport=DESK)  # type: ignore[arg-type]
    phone = BrowserPhone(page, stack)
    stack.sandbox.stop()
    expect(phone.part("operator")).to_have_text("No service", timeout=ARRIVES_MS)
    expect(phone.part("toast")).to_contain_text("make demo")
    shoot(page, "phone-no-service")
