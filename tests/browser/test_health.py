"""An officer sees on the first page that the model needs a look, and finds out why."""

from datetime import timedelta

import numpy as np
import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import Page, expect

from ml.forward import scores
from ml.train import Trained
from scoring import registry
from scoring.models import ModelVersion
from scoring.monitor import night
from tests.browser.conftest import POCKET, Shoot
from tests.factories import NOON
from tests.ml.conftest import book
from tests.scoring import watched
from tests.scoring.conftest import models_dir, shelved, trained

__all__ = ["models_dir", "shelved", "trained"]

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def checked(law: None, shelved: ModelVersion, trained: Trained) -> None:
    """A night in which loans in Swahili were lost twice as often as promised, and one feature had moved."""
    registry.promote(shelved.name, at=NOON - timedelta(days=90))
    x = book(1_000, seed=11).x
    said = scores(trained.weights, x)
    lent = watched.spread(NOON - timedelta(days=80), 10, 800)
    made = watched.decide(lent, x, said.tolist(), version=shelved.name, languages=("en", "sw"))
    lost = np.random.default_rng(1).random(800) < said[:800] * np.tile((1.0, 1.9), 400)
    watched.lend(made, lost.tolist())
    watched.decide(watched.spread(shelved.seen_until - timedelta(days=2), 1, 400), x[600:], said[600:].tolist())
    moved = x[:400].copy()
    moved[:, 5] *= 0.3
    weeks = watched.spread(NOON - timedelta(days=20), 18, 400)
    watched.decide(
        weeks, moved, scores(trained.weights, moved).tolist(), version=shelved.name, languages=("en", "sw"),
        approved=(True, False, True, True),
    )  # fmt: skip
    night.check(NOON.date() - timedelta(days=1), NOON)


@pytest.fixture
def desk(page: Page, live_server, checked: None) -> Page:  # type: ignore[no-untyped-def]
    """Wambui, a loan officer, has logged in."""
    wambui = User.objects.create_user("wambui", password="a-long-password", is_staff=True)
    wambui.groups.add(Group.objects.get(name="Loan officers"))
    page.goto(f"{live_server.url}/admin/")
    page.get_by_label("Username").fill("wambui")
    page.get_by_label("Password").fill("a-long-password")
    page.get_by_role("button", name="Log in").click()
    return page


def test_what_rings_is_found_from_the_first_page(desk: Page, shoot: Shoot) -> None:
    shoot(desk, "health-1-today")
    desk.get_by_role("link", name="Model alarms").click()
    expect(desk.get_by_role("link", name="1 Mar").first).to_be_visible()
    shoot(desk, "health-2-nights")
    desk.get_by_role("link", name="1 Mar").first.click()
    expect(desk.get_by_text("language sw:").first).to_be_visible()
    desk.set_viewport_size({"width": 1280, "height": 2400})
    shoot(desk, "health-3-night")
    desk.set_viewport_size(POCKET)  # type: ignore[arg-type]
    shoot(desk, "health-4-pocket")
    desk.set_viewport_size({"width": 1280, "height": 900})
    desk.get_by_role("link", name="All features of this night").click()
    shoot(desk, "health-5-figures")
    expect(desk.get_by_text("Features against those at training").first).to_be_visible()
