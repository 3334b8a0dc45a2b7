"""Amina is refused by the network, writes REVIEW, and a person sees all that the computer saw."""

from datetime import timedelta

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from lending.models import Borrower, Loan
from lending.services import applications
from scoring import account
from scoring.models import ModelVersion
from tests.factories import NOON
from tests.lending.admin.conftest import groups, officer
from tests.scoring import history
from tests.scoring.conftest import models_dir, reigning, shelved, trained
from tests.scoring.test_account import decided_just_above
from tests.ussd.test_texting import Texter, texter

__all__ = ["groups", "models_dir", "officer", "reigning", "shelved", "texter", "trained"]
DAY = timedelta(days=1)


@pytest.fixture
def refused(amina: Borrower, reigning: ModelVersion, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    account._weights_of.cache_clear()
    history.loan(amina, NOON - 80 * DAY, days_late=20)
    history.steady_wallet(amina, NOON)
    history.save(amina, NOON - 20 * DAY, 10_000)
    return decided_just_above(amina, monkeypatch)


def read(officer: Client, address: str) -> str:
    answer = officer.get(address)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_a_refusal_reaches_a_person_with_all_of_it(refused, texter: Texter, officer: Client) -> None:  # type: ignore[no-untyped-def]
    assert refused.outcome == "decline"
    assert refused.application.reference in texter.says("REVIEW I was ill in December, ask at the clinic")

    queue = read(officer, reverse("admin:lending_application_changelist") + "?work=appealed")
    page = reverse("admin:lending_application_change", args=[refused.application_id])
    assert page in queue
    shown = read(officer, page)
    assert "I was ill in December, ask at the clinic" in shown
    given = account.account_of(refused.application_id, NOON)
    assert given and given.against and given.ways
    for counted in (*given.against, *given.in_favour):
        assert counted.words in shown
        assert f"{np.exp(abs(counted.log_odds)):.2f}" in shown
    assert "The smallest change that would have brought a yes" in shown
    assert f"{given.ways[0].chance:.1%} chance of default then" in shown
    assert "Similar past cases" in shown

    applications.review(
        application_id=refused.application_id, officer=User.objects.get(), approve=True, reason="Saw the paper.",
        at=NOON + DAY,
    )  # fmt: skip
    assert Loan.objects.get(application=refused.application).state == "approved"


def test_a_model_that_is_gone_leaves_the_officer_the_rest(  # type: ignore[no-untyped-def]
    refused, texter: Texter, officer: Client, models_dir
) -> None:
    texter.says("REVIEW")
    (models_dir / refused.model_version / "weights.npz").unlink()
    shown = read(officer, reverse("admin:lending_application_change", args=[refused.application_id]))
    assert "It cannot be worked out now" in shown and "chance of default" in shown
