"""The check for barriers finds each kind of them, and none where there is none."""

import pytest
from playwright.sync_api import Page

from tests.browser.access import barriers, lost_on_the_way

pytestmark = pytest.mark.browser
GOOD = '<body style="background: #fff"><a href="#a">Top</a><button>Send</button><p id="a">Words</p>'
GRADIENT = "background: linear-gradient(#fff, #888)"


def test_a_good_page_has_no_barrier(page: Page) -> None:
    page.set_content(GOOD)
    assert barriers(page) == []
    assert lost_on_the_way(page) == []


@pytest.mark.parametrize(
    ("html", "barrier"),
    [
        ("<button></button>", "no name"),
        ("<input>", "no name"),
        ('<p tabindex="2">Words</p>', "out of order"),
        ('<p style="color: #888">Words</p>', "contrast 3.5"),
        ('<p style="color: rgba(0, 0, 0, .4)">Words</p>', "contrast"),
        (f'<p style="color: #555; {GRADIENT}">Words</p>', "contrast"),
        ('<input aria-label="Name" value="Amina" style="color: #aaa; background: #fff">', "contrast"),
    ],
)
def test_a_barrier_is_found(page: Page, html: str, barrier: str) -> None:
    page.set_content(GOOD + html)
    (found,) = barriers(page)
    assert found.startswith(barrier)


@pytest.mark.parametrize(
    ("html", "lost"),
    [
        ('<button style="outline: none">Hidden focus</button>', "focus not seen"),
        (
            '<p tabindex="0" onfocus="document.querySelector(`a`).focus()">Trap</p><button>Behind</button>',
            "the Tab key",
        ),
    ],
)
def test_a_focus_that_is_lost_is_found(page: Page, html: str, lost: str) -> None:
    page.set_content(GOOD + html)
    assert any(one.startswith(lost) for one in lost_on_the_way(page))
