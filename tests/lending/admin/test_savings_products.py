"""The room where savings products change: what is worse is named, notice is asked for, two people decide."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from lending.models import Borrower, Proposal, SavingsProductVersion
from lending.savings_closing import accrue_savings
from lending.services import savings
from tests.lending.admin.conftest import staff
from tests.lending.admin.test_changes import page, send, send_twice

PROPOSE = "propose_version"


@pytest.fixture
def kamau(groups: None) -> Client:
    return staff("kamau", "Product managers")


@pytest.fixture
def njeri(groups: None) -> Client:
    return staff("njeri", "Managers")


@pytest.fixture
def version(law: None) -> SavingsProductVersion:
    return SavingsProductVersion.objects.get(code="jirani-goal")


def fields(version: SavingsProductVersion, rate: str = "0.03", days: int = 40, **typed: str) -> dict[str, str]:
    interest = version.terms["interest"] | {"tiers": [{"from_cents": 0, "rate": rate}]}
    return {
        "effective_on": (timezone.localdate() + timedelta(days=days)).isoformat(),
        "name": version.name,
        "terms": json.dumps(version.terms | {"interest": interest}),
        "example_cents": "10,000",
        "reason": "The partner pays less.",
    } | typed


class TestProposing:
    def test_the_preview_is_side_by_side_and_names_what_is_worse(
        self, kamau: Client, version: SavingsProductVersion
    ) -> None:
        shown = send(kamau, version, PROPOSE, **fields(version)).content.decode()
        assert "Nothing has happened yet" in shown
        for words in ("KES 400", "KES 300", "KE v1", "Worse for savers", "Interest (terms.interest)", "0.03"):
            assert words in shown
        assert not Proposal.objects.exists()

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ({"days": 29}, "First day: the law sets the first day after the notice to customers: it allows"),
            ({"days": -1, "rate": "0.5"}, "First day: must be"),
            ({"rate": "0.0000001"}, "Interest 1 (terms.interest.tiers[0].rate): need a text such as"),
            ({"terms": '{"interest": null}'}, "Least that stays (terms.minimum_balance_cents)"),
            ({"terms": "{"}, "No JSON: line 1"),
        ],
        ids=["notice", "past", "rate", "empty", "no json"],
    )
    def test_a_refusal_names_the_field_in_words(
        self, kamau: Client, version: SavingsProductVersion, typed: dict[str, str], said: str
    ) -> None:
        answer = send(kamau, version, PROPOSE, **fields(version, **typed))  # type: ignore[arg-type]
        assert said in answer.content.decode().replace("&#x27;", "'").replace("&quot;", '"')
        assert not Proposal.objects.exists()

    def test_only_product_managers_propose(self, njeri: Client, version: SavingsProductVersion) -> None:
        assert send(njeri, version, PROPOSE, **fields(version)).status_code == 403
        assert "Propose the next version" not in njeri.get(page(version)).content.decode()


class TestDeciding:
    def test_another_person_approves_and_the_accounts_page_shows_the_change(
        self, kamau: Client, njeri: Client, version: SavingsProductVersion, amina: Borrower
    ) -> None:
        account = savings.open_account(product_code="jirani-goal", borrower=amina, goal="Cow", at=timezone.now())
        answer = send_twice(kamau, version, PROPOSE, **fields(version, rate="0.5", days=0))
        assert "it waits for a second person" in answer.content.decode()
        assert "Next version of a savings product, proposed by kamau" in kamau.get(page(version)).content.decode()
        proposal = Proposal.objects.get()
        shown = njeri.get(page(proposal)).content.decode()
        assert "KES 5,000" in shown and "Still so." in shown
        assert "Approved and carried out." in send(njeri, proposal, "approve").content.decode()
        made = SavingsProductVersion.objects.get(code="jirani-goal", version=2)
        assert (made.proposed_by, made.approved_by, made.partner) == ("kamau", "njeri", version.partner)
        accrue_savings(timezone.localdate(), 0, account.id)
        assert "Jirani goal v1" in njeri.get(page(account)).content.decode()
        assert "50 %" in njeri.get(page(made)).content.decode()
