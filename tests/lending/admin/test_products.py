"""The room where product versions change: a preview side by side, refusals at their field, two people."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from lending.admin import terms
from lending.models import CountryPack, ProductVersion, Proposal
from lending.rules import caps
from lending.rules.caps import AgainstLaw
from lending.rules.pricing import LoanRefused
from tests import factories
from tests.lending.admin.conftest import staff
from tests.lending.admin.test_changes import page, send, send_twice
from tests.lending.rules.packs import changed, invented

PROPOSE = "propose_version"


@pytest.fixture
def kamau(groups: None) -> Client:
    return staff("kamau", "Product managers")


@pytest.fixture
def njeri(groups: None) -> Client:
    return staff("njeri", "Managers")


@pytest.fixture
def version(law: None) -> ProductVersion:
    return factories.usual_product()


def fields(version: ProductVersion, fee: str = "0.06", **typed: str) -> dict[str, str]:
    agreed = version.terms | {"fees": [{"name": "Fee", "rate": fee}]}
    return {
        "effective_on": (timezone.localdate() + timedelta(days=40)).isoformat(),
        "name": version.name,
        "terms": json.dumps(agreed),
        "ladder_cents": json.dumps(version.ladder_cents),
        "loss_brake": json.dumps(version.loss_brake),
        "example_cents": "1,000",
        "reason": "Costs have risen.",
    } | typed


class TestProposing:
    def test_the_preview_is_side_by_side_and_names_the_law(self, kamau: Client, version: ProductVersion) -> None:
        shown = send(kamau, version, PROPOSE, **fields(version)).content.decode()
        assert "Nothing has happened yet" in shown
        for words in ("KES 1,060", "KES 1,072", "73.00 %", "87.60 %", "KE v1", "Fee 1 (terms.fees[0].rate)"):
            assert words in shown
        assert not Proposal.objects.exists()

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ({"fee": "0.09"}, "Price of the largest loan (terms.max_cents): the law sets all charges together,"),
            ({"terms": "{"}, "No JSON: line 1"),
            ({"terms": "[1]"}, "Terms: must be an object"),
            ({"effective_on": "2020-01-01"}, "First day: must be"),
            ({"ladder_cents": "[2, 1]"}, "Limit at each rung: must rise"),
            ({"loss_brake": '{"grace_days": 7}'}, "Loss brake (loss_brake.window_days)"),
            ({"fee": "0.05"}, "Terms: must say something else than the version that is followed"),
        ],
    )
    def test_a_refusal_names_the_field_in_words(
        self, kamau: Client, version: ProductVersion, typed: dict[str, str], said: str
    ) -> None:
        answer = send(kamau, version, PROPOSE, **fields(version, **typed))
        assert said in answer.content.decode().replace("&#x27;", "'")
        assert not Proposal.objects.exists()

    def test_only_product_managers_propose(self, njeri: Client, version: ProductVersion) -> None:
        assert send(njeri, version, PROPOSE, **fields(version)).status_code == 403
        assert "Propose the next version" not in njeri.get(page(version)).content.decode()


class TestDeciding:
    def propose(self, kamau: Client, version: ProductVersion) -> Proposal:
        answer = send_twice(kamau, version, PROPOSE, **fields(version))
        assert "it waits for a second person" in answer.content.decode()
        assert "Next version of a product, proposed by kamau" in kamau.get(page(version)).content.decode()
        return Proposal.objects.get()

    def test_another_person_sees_the_same_and_approves(
        self, kamau: Client, njeri: Client, version: ProductVersion
    ) -> None:
        proposal = self.propose(kamau, version)
        shown = njeri.get(page(proposal)).content.decode()
        assert "KES 1,072" in shown and "Still so." in shown
        assert "Approved and carried out." in send(njeri, proposal, "approve").content.decode()
        made = ProductVersion.objects.get(version=2)
        assert (made.proposed_by, made.approved_by) == ("kamau", "njeri")
        assert "Propose the next version" not in kamau.get(page(version)).content.decode()
        assert "Propose the next version" in kamau.get(page(made)).content.decode()

    def test_a_law_that_came_in_between_is_named_in_words(
        self, kamau: Client, njeri: Client, version: ProductVersion
    ) -> None:
        proposal = self.propose(kamau, version)
        rules = changed("ke", price_caps=invented(max_total_cost_rate="0.07"))
        CountryPack.objects.create(
            country="KE", version=2, effective_on=timezone.localdate(), rules=rules, approved_by="counsel"
        )
        said = "as a share of the loan: it allows 7 %, and this would be 7.2 %"
        assert f"{said}. Refuse it or take it back." in njeri.get(page(proposal)).content.decode()
        assert said in send(njeri, proposal, "approve").content.decode()
        assert not ProductVersion.objects.filter(version=2).exists()


def test_every_rule_of_the_law_that_can_refuse_has_words(law: None) -> None:
    text = Path(caps.__file__).read_text()
    rules = set(re.findall(r'"((?:price|penalties|default|exposure|notices)\w*\.\w+)"', text))
    assert rules - {"exposure.max_total_cents"} <= terms.RULES.keys()


def test_what_no_field_is_known_for_is_shown_as_it_is(law: None) -> None:
    assert terms.refusal_words(AgainstLaw("new.rule", 1, 2, "terms.new")) == (
        "Terms (terms.new): the law sets new.rule: it allows 1, and this would be 2."
    )
    small = terms.refusal_words(LoanRefused("principal_cents", "must be above what is deducted from it", 100))
    assert small == "The loan: must be above what is deducted from it, got KES 1."
