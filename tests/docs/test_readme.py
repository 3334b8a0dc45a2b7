"""The dial in the README is replayed against the real callback."""

import re
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.utils import timezone, translation

from lending.models import Application, Borrower, Loan
from tests import factories
from tests.docs.tables import REPOSITORY
from tests.phone import Phone
from ussd.notices import disbursed_words

README = (REPOSITORY / "README.md").read_text()
REFERENCE = re.compile(r"(?<=ref )[A-Z0-9]{6}\b")


@dataclass(frozen=True)
class Step:
    """What is typed, and what the phone shows then."""

    typed: str
    shown: str


def transcript() -> tuple[list[Step], str]:
    """Return the steps of the dial in the README, and the SMS after it."""
    [block] = [text for text in re.findall(r"```text\n(.*?)```", README, flags=re.DOTALL) if "> *384*77#" in text]
    dial, _, sms = block.partition("SMS: ")
    steps = [part.strip("\n").split("\n", 1) for part in re.split(r"^> ", dial, flags=re.MULTILINE)[1:]]
    return [Step(typed, shown) for typed, shown in steps], sms.strip()


def without_reference(text: str) -> str:
    """Return a text with its reference made the same: each application has one of its own."""
    return REFERENCE.sub("······", text)


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be the day on which the README's customer dials."""
    monkeypatch.setattr(timezone, "now", lambda: factories.NOON)


def test_the_dial_in_the_readme_is_what_a_phone_shows(
    phone: Phone, amina: Borrower, fixed_scorer: object, deciding_worker: None, noon: None
) -> None:
    before = factories.NOON - timedelta(days=90)
    factories.decide(factories.apply(amina, origin="ussd:before", at=before), "decline", at=before)
    factories.FixedScorer.says = factories.verdict()
    steps, _ = transcript()
    assert [step.typed for step in steps].count("****") == 1, "a PIN is never printed"
    phone.dials(steps[0].typed)
    assert phone.text == steps[0].shown
    for step in steps[1:]:
        phone.types(factories.PIN if step.typed == "****" else step.typed)
        assert without_reference(phone.text) == without_reference(step.shown), step
    assert not phone.is_open
    assert Application.objects.latest("id").principal_cents == 50_000


def test_the_message_in_the_readme_is_what_the_phone_gets(aminas_loan: Loan) -> None:
    _, sms = transcript()
    with translation.override("en"):
        assert without_reference(sms) == without_reference(disbursed_words(aminas_loan))


def test_one_reference_is_used_throughout() -> None:
    steps, sms = transcript()
    assert len(set(REFERENCE.findall(steps[-1].shown) + REFERENCE.findall(sms))) == 1


def test_the_readme_fits_two_screens() -> None:
    assert len(README.splitlines()) <= 100
