"""Law and products in the database: loaded once, in force by date, and never changed under a loan."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from lending.management.commands.load_fixtures import load_pack, load_product
from lending.models import Application, Borrower, CountryPack, Loan, ProductVersion
from lending.rules.caps import AgainstLaw
from lending.selectors import products
from tests import factories
from tests.factories import NOON
from tests.lending.rules.packs import LAWS, PACKS, changed, invented

PRODUCT = json.loads((Path(__file__).resolve().parents[2] / "fixtures/products/jirani-30.json").read_text())
CHANGE = date(2026, 6, 1)


def enact(effective_on: date = CHANGE, version: int = 2, **sections: Any) -> CountryPack:
    """Load the next version of Kenya's pack."""
    pack = PACKS["ke"] | {"version": version, "effective_on": effective_on.isoformat()}
    load_pack(pack | {"rules": changed("ke", **sections)}, f"ke-{version}.json")
    return CountryPack.objects.get(country="KE", version=version)


def product(**changes: Any) -> dict[str, Any]:
    """Return today's product with other fields, `terms` merged into its own; a currency is that of both."""
    made = deepcopy(PRODUCT)
    terms = made["terms"] | changes.pop("terms", {}) | {"currency": changes.get("currency", made["currency"])}
    return made | changes | {"terms": terms}


def fee(rate: str) -> dict[str, Any]:
    return {"fees": [{"name": "Fee", "rate": rate}]}


class TestLoading:
    def test_every_pack_and_product_is_loaded_and_a_second_time_changes_nothing(self, law: None) -> None:
        call_command("load_fixtures", verbosity=0)
        assert set(CountryPack.objects.values_list("country", flat=True)) == {x.country for x in LAWS.values()}
        assert list(ProductVersion.objects.order_by("code").values_list("code", flat=True)) == sorted(
            settings.PRODUCTS
        )

    def test_a_figure_that_changes_without_a_new_version_is_refused(self, law: None) -> None:
        pack = deepcopy(PACKS["ke"])
        pack["rules"]["price_caps"]["max_total_cost_rate"] = "0.20"
        with pytest.raises(CommandError, match="a change of \\['rules'\\] is a new version"):
            load_pack(pack, "ke.json")

    def test_a_pack_that_cannot_be_read_is_refused_with_file_and_path(self, law: None) -> None:
        pack = PACKS["ke"] | {"version": 2, "effective_on": "2026-06-01"}
        pack["rules"] = changed("ke", price_caps=invented(max_apr=0.5))
        with pytest.raises(CommandError, match=r"^ke-2\.json: rules\.price_caps\.max_apr: needs a share as text"):
            load_pack(pack, "ke-2.json")

    def test_a_pack_of_another_country_is_refused(self, law: None) -> None:
        with pytest.raises(CommandError, match=r"rules\.country must be UG, got KE"):
            load_pack(deepcopy(PACKS["ke"]) | {"country": "UG", "version": 2}, "ug-2.json")

    def test_a_later_version_is_not_in_force_before_an_earlier_one(self, law: None) -> None:
        with pytest.raises(CommandError, match="effective_on must be after 2024-12-27, got 2024-12-27"):
            enact(date(2024, 12, 27))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"terms": fee("0.09")}, r"terms\.max_cents: price_caps\.max_total_cost_rate allows 0\.10, got 0\.108"),
            (
                {"terms": fee("0.08") | {"min_cents": 700}},
                r"terms\.min_cents: price_caps\.max_total_cost_rate allows 0\.10",
            ),
            ({"terms": {"term": {"installments": 0, "unit": "day"}}}, r"terms\.term\.installments: "),
            ({"terms": {"grace_days": 3}}, r"terms\.grace_days: is not a field of this"),
            (
                {"terms": {"extension": {"rate": "0.04", "every": 14, "unit": "day", "most_times": 1}}},
                r"terms\.extension: price_caps\.max_total_cost_rate allows 0\.10, got 0\.108",
            ),
            ({"currency": "UGX"}, "currency: currency allows KES, got UGX"),
            (
                {"approved_on": "2025-12-03"},
                r"effective_on: notices\.change_of_terms_days allows 2026-01-02 or later",
            ),
            ({"country": "RW"}, "no country pack for RW"),
            ({"country": "UG", "currency": "UGX"}, r"terms\.max_cents: price_caps\.max_monthly_rate allows 0\.028"),
            ({"loss_brake": {}}, r"loss_brake\.window_days: Field required"),
        ],
    )
    def test_a_product_against_the_law_is_refused_with_field_and_rule(
        self, law: None, changes: dict[str, Any], said: str
    ) -> None:
        changes = {"version": 2, "effective_on": "2026-01-01", "approved_on": "2025-12-01"} | changes
        with pytest.raises(CommandError, match=rf"^jirani-30-2\.json: {said}"):
            load_product(product(**changes), "jirani-30-2.json")

    def test_a_cheap_product_with_an_approval_may_be_lent_in_uganda(self, law: None) -> None:
        cheap = {"code": "cheap-ug", "country": "UG", "currency": "UGX", "terms": fee("0.02") | {"extension": None}}
        with pytest.raises(CommandError, match="approval_document: price_approval allows a document"):
            load_product(product(**cheap), "cheap-ug.json")
        load_product(product(**cheap, approval_document="UMRA 12/2025"), "cheap-ug.json")
        assert ProductVersion.objects.get(code="cheap-ug").country == "UG"


class TestInForce:
    @pytest.mark.parametrize(("days", "version"), [(-1, 1), (0, 2), (1, 2)])
    def test_the_date_switches_the_law(self, law: None, days: int, version: int) -> None:
        enact(price_caps=invented(max_total_cost_rate="0.02"))
        on = CHANGE + timedelta(days=days)
        assert products.country_pack("KE", on).version == version
        cap = products.country_rules("KE", on).price_caps
        assert cap and str(cap.max_total_cost_rate) == {1: "0.10", 2: "0.02"}[version]

    @pytest.mark.parametrize("name", PACKS)
    def test_no_law_is_in_force_before_its_first_day(self, law: None, name: str) -> None:
        first = date.fromisoformat(PACKS[name]["effective_on"])
        assert products.country_rules(name.upper(), first) == LAWS[name]
        with pytest.raises(products.NothingInForce):
            products.country_pack(name.upper(), first - timedelta(days=1))


@pytest.mark.usefixtures("fixed_scorer")
class TestChange:
    def test_a_tighter_cap_stops_new_loans_on_its_day_and_names_the_rule(self, amina: Borrower) -> None:
        enact(price_caps=invented(max_total_cost_rate="0.05"))
        eve = NOON.replace(year=2026, month=5, day=31)
        assert factories.apply(amina, at=eve).country_pack.version == 1
        Application.objects.update(state="declined")
        with pytest.raises(
            AgainstLaw, match=r"terms\.max_cents: price_caps\.max_total_cost_rate allows 0\.05, got 0\.06"
        ):
            factories.apply(amina, origin="ussd:test:2", at=eve + timedelta(days=1))

    def test_touches_no_old_loan(self, amina: Borrower, brian: Borrower, books_balance: Callable[[], None]) -> None:
        loan = factories.live_loan(amina)
        before = Loan.objects.filter(id=loan.id).values().get()
        law_before = products.country_rules("KE", NOON.date())
        enact(
            effective_on=NOON.date() + timedelta(days=10),
            price_caps=invented(max_total_cost_rate="0.06", max_apr="0.74"),
            in_duplum=None,
        )
        books_balance()

        later: datetime = NOON + timedelta(days=20)
        assert Loan.objects.filter(id=loan.id).values().get() == before
        pack = Loan.objects.select_related("country_pack").get(id=loan.id).country_pack
        assert products.country_from(pack.rules) == law_before
        factories.pay("0711000101", 53_000, at=later)
        assert Loan.objects.get(id=loan.id).country_pack_id == before["country_pack_id"]
        assert factories.live_loan(brian, at=later).country_pack.version == 2
        books_balance()
