"""Headless Chromium, and a place for what it saw."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")
DESK, POCKET = {"width": 1280, "height": 830}, {"width": 390, "height": 844}

Shoot = Callable[[Page, str], None]


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """The system's Chromium; set CHROMIUM to another one."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail("no Chromium on this machine: install chromium, or set CHROMIUM to its path")
    # Playwright keeps an event loop in this thread; Django would take that for asynchronous code.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An open page on which nothing may go wrong: no script error, no request that fails or goes elsewhere."""
    page = browser.new_page(viewport=DESK)  # type: ignore[arg-type]
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda got: wrong.append(f"{got.status} {got.url}") if got.status >= 400 else None)
    page.on("request", lambda sent: wrong.append(sent.url) if _is_elsewhere(sent.url) else None)
    yield page
    assert wrong == []


def _is_elsewhere(url: str) -> bool:
    return not url.startswith(("data:", "blob:", "http://127.0.0.1:", "http://localhost:"))


@pytest.fixture
def shoot() -> Shoot:
    """Keep a picture of the page in var/screenshots, for people to look at."""
    folder = Path(settings.BASE_DIR) / "var" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")

    return take
