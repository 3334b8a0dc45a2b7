"""Every cap of every pack: what is just within passes, a cent above is refused with the rule's name."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from lending.rules import caps
from lending.rules.caps import AgainstLaw, Price, Product
from lending.rules.country import Country, country_from
from tests.lending.rules.packs import LAWS, changed, invented

PRINCIPAL, DAYS = 10_000_000, 30
TODAY = date(2026, 3, 2)
# A law that has every cap, so that those which no country of ours has are tested too.
STRICT = country_from(
    changed(
        "ke",
        price_caps=invented(
            max_monthly_rate="0.05",
            max_yearly_rate="0.50",
            max_total_cost_rate="0.04",
            max_apr="0.45",
            max_early_settlement_rate="0.01",
        ),
        penalties=invented(bases=["overdue_installment"], max_rate_of_principal="0.10"),
        default_interest=invented(max_rate_of_principal="0.20"),
        exposure=invented(max_loan_cents=1_000_000, max_total_cents=1_500_000),
        price_approval=invented(valid_days=365),
    )
)
ALL = LAWS | {"strict": STRICT}
PRICE_RULES = ("max_monthly_rate", "max_yearly_rate", "max_total_cost_rate", "max_apr")
# How much of the principal a rate allows within DAYS.
SHARE = {
    "max_monthly_rate": Fraction(12 * DAYS, 365),
    "max_yearly_rate": Fraction(DAYS, 365),
    "max_total_cost_rate": Fraction(1),
    "max_apr": Fraction(DAYS, 365),
}


def figures(*rules: str) -> list[Any]:
    """Return each figure that a law has at these paths, with the law's name and the rule."""
    return [
        pytest.param(name, rule, figure, id=f"{name}-{rule}")
        for name, law in ALL.items()
        for rule in rules
        if (figure := caps.figure(law, rule)) is not None
    ]


def only(law: Country, rule: str) -> Country:
    """Return the law with this one figure in its section."""
    section, name = rule.split(".")
    part = getattr(law, section)
    others = {field: None for field in type(part).model_fields if field.startswith("max_") and field != name}
    return law.model_copy(update={section: part.model_copy(update=others)})


class TestPrices:
    @pytest.mark.parametrize(("name", "rule", "figure"), figures(*(f"price_caps.{rule}" for rule in PRICE_RULES)))
    def test_a_price_at_the_cap_passes_and_a_cent_more_does_not(
        self, name: str, rule: str, figure: Decimal
    ) -> None:
        law = only(ALL[name], rule)
        most = int(Fraction(figure) * SHARE[rule.split(".")[1]] * PRINCIPAL)
        caps.enforce_price(Price(PRINCIPAL, most, DAYS), law)
        with pytest.raises(AgainstLaw) as refused:
            caps.enforce_price(Price(PRINCIPAL, most + 1, DAYS), law)
        assert (refused.value.rule, refused.value.allowed) == (rule, figure)
        assert refused.value.asked and rule in str(refused.value)

    @pytest.mark.parametrize("name", [name for name, law in ALL.items() if law.price_caps])
    def test_the_strictest_cap_of_a_law_binds(self, name: str) -> None:
        law = ALL[name]
        rates = {rule: caps.figure(law, f"price_caps.{rule}") for rule in PRICE_RULES}
        shares = [Fraction(rate) * SHARE[rule] for rule, rate in rates.items() if rate is not None]
        if not shares:
            return
        most = int(min(shares) * PRINCIPAL)
        caps.enforce_price(Price(PRINCIPAL, most, DAYS), law)
        with pytest.raises(AgainstLaw):
            caps.enforce_price(Price(PRINCIPAL, most + 1, DAYS), law)

    @pytest.mark.parametrize("name", ["tz", "ng", "gh"])
    def test_a_law_without_a_cap_binds_no_price(self, name: str) -> None:
        caps.enforce_price(Price(PRINCIPAL, PRINCIPAL, DAYS), LAWS[name])

    def test_ugandas_month_is_a_twelfth_of_its_year(self) -> None:
        law = LAWS["ug"].price_caps
        assert law and law.max_monthly_rate and law.max_yearly_rate == law.max_monthly_rate * 12

    def test_the_falling_balance_counts(self) -> None:
        """A flat rate looks cheap: repaid in installments, the same cost is a higher rate on what is still owed."""
        price = Price(PRINCIPAL, PRINCIPAL * 3 // 100, 182)
        caps.enforce_price(price, LAWS["ug"])
        with pytest.raises(AgainstLaw, match=r"price_caps\.max_apr allows 0\.336"):
            caps.enforce_price(replace(price, apr=Decimal("0.3361")), LAWS["ug"])


class TestEarlySettlement:
    @pytest.mark.parametrize(("name", "rule", "figure"), figures("price_caps.max_early_settlement_rate"))
    def test_a_fee_at_the_cap_passes_and_a_cent_more_does_not(self, name: str, rule: str, figure: Decimal) -> None:
        most = int(figure * PRINCIPAL)
        caps.enforce_early_settlement(most, PRINCIPAL, ALL[name])
        with pytest.raises(AgainstLaw) as refused:
            caps.enforce_early_settlement(most + 1, PRINCIPAL, ALL[name])
        assert (refused.value.rule, refused.value.allowed) == (rule, figure)

    def test_ghana_caps_it_at_a_quarter_of_a_percent(self) -> None:
        assert caps.figure(LAWS["gh"], "price_caps.max_early_settlement_rate") == Decimal("0.0025")


class TestPayingLate:
    @pytest.mark.parametrize(("name", "rule", "figure"), figures(*caps.LATE_CHARGES))
    def test_charges_at_the_cap_pass_and_a_cent_more_does_not(self, name: str, rule: str, figure: Decimal) -> None:
        other = next(one for one in caps.LATE_CHARGES if one != rule).split(".")[0]
        law = ALL[name].model_copy(update={other: None})
        most = int(figure * PRINCIPAL)
        caps.enforce_late_charges(most, PRINCIPAL, law)
        assert caps.late_charges_room(PRINCIPAL, most, law) == 0
        assert caps.late_charges_room(PRINCIPAL, most - 1, law) == 1
        with pytest.raises(AgainstLaw) as refused:
            caps.enforce_late_charges(most + 1, PRINCIPAL, law)
        assert (refused.value.rule, refused.value.allowed) == (rule, figure)

    def test_the_smaller_of_two_caps_leaves_the_room(self) -> None:
        assert caps.late_charges_room(1_000, 30, STRICT) == 70
        assert caps.late_charges_room(1_000, 500, STRICT) == 0
        assert caps.late_charges_room(1_000, 500, LAWS["ke"]) is None

    @pytest.mark.parametrize(("name", "law"), [(n, law) for n, law in ALL.items() if law.in_duplum], ids=str)
    def test_in_duplum_leaves_no_more_than_the_principal_from_its_first_day_on(
        self, name: str, law: Country
    ) -> None:
        assert law.in_duplum
        first = law.in_duplum.applies_from_days_past_due
        assert caps.in_duplum_room(PRINCIPAL, 0, first - 1, law) is None
        assert caps.in_duplum_room(PRINCIPAL, 0, first, law) == PRINCIPAL
        assert caps.in_duplum_room(PRINCIPAL, PRINCIPAL - 1, first, law) == 1
        assert caps.in_duplum_room(PRINCIPAL, PRINCIPAL + 1, first, law) == 0

    def test_kenya_begins_on_the_first_day_late(self) -> None:
        assert LAWS["ke"].in_duplum and LAWS["ke"].in_duplum.applies_from_days_past_due == 1

    def test_where_it_was_not_found_it_does_not_bind(self) -> None:
        assert caps.in_duplum_room(PRINCIPAL, PRINCIPAL, 400, LAWS["ng"]) is None


class TestExposure:
    @pytest.mark.parametrize(("name", "rule", "figure"), figures("exposure.max_loan_cents"))
    def test_a_loan_at_the_cap_passes_and_a_cent_more_does_not(self, name: str, rule: str, figure: int) -> None:
        caps.enforce_exposure(figure, 0, ALL[name])
        with pytest.raises(AgainstLaw) as refused:
            caps.enforce_exposure(figure + 1, 0, ALL[name])
        assert (refused.value.rule, refused.value.allowed) == (rule, figure)

    def test_what_is_owed_over_all_products_counts(self) -> None:
        caps.enforce_exposure(500_000, 1_000_000, STRICT)
        with pytest.raises(AgainstLaw, match=r"exposure\.max_total_cents allows 1500000, got 1500001"):
            caps.enforce_exposure(500_000, 1_000_001, STRICT)


# --- products -----------------------------------------------------------------------------------------------
# Within every cap of every law: 2 % for 30 days, approved long before, with a document.
MODEST = Product(
    country="",
    currency="",
    version=1,
    approved_on=TODAY - timedelta(days=40),
    effective_on=TODAY,
    approval_document="letter 1",
    max_cents=1_000_000,
    prices=(("fee_rate", Price(1_000_000, 20_000, 30)),),
)
MONTHLY, EARLY = "price_caps.max_monthly_rate", "price_caps.max_early_settlement_rate"
BASES = "penalties.bases"
DEFAULT_INTEREST, NOTICE = "default_interest.max_rate_of_principal", "notices.change_of_terms_days"


def at_home(law: Country, **terms: Any) -> Product:
    return replace(MODEST, country=law.country, currency=law.currency, **terms)


class TestProducts:
    @pytest.mark.parametrize("name", ALL)
    def test_a_modest_product_is_lawful_everywhere(self, name: str) -> None:
        assert list(caps.breaches(at_home(ALL[name]), ALL[name], TODAY)) == []

    @pytest.mark.parametrize(
        ("name", "terms", "path", "rule"),
        [
            ("ke", {"country": "UG"}, "country", "country"),
            ("ke", {"currency": "UGX"}, "currency", "currency"),
            ("ke", {"prices": (("fee_rate", Price(100, 11, 30)),)}, "fee_rate", "price_caps.max_total_cost_rate"),
            (
                "ug",
                {"prices": (("fees[0].rate", Price(100, 3, 30)),)},
                "fees[0].rate",
                "price_caps.max_monthly_rate",
            ),
            (
                "ug",
                {"late_charges_rate": Decimal("0.51")},
                "terms.penalties",
                "default_interest.max_rate_of_principal",
            ),
            ("ug", {"approval_document": ""}, "approval_document", "price_approval"),
            ("tz", {"approval_document": ""}, "approval_document", "price_approval"),
            ("tz", {"approved_on": TODAY - timedelta(days=366)}, "approved_on", "price_approval.valid_days"),
            ("gh", {"penalty_bases": (("terms.penalties[0].of", "balance"),)}, "terms.penalties[0].of", BASES),
            (
                "gh",
                {"early_settlement_rate": Decimal("0.003")},
                "terms.early.interest",
                "price_caps.max_early_settlement_rate",
            ),
            ("gh", {"max_cents": 1_000_001}, "terms.max_cents", "exposure.max_loan_cents"),
            (
                "ke",
                {"version": 2, "approved_on": TODAY - timedelta(days=29)},
                "effective_on",
                "notices.change_of_terms_days",
            ),
        ],
    )
    def test_a_term_against_the_law_is_refused_with_its_field_and_the_rule(
        self, name: str, terms: dict[str, Any], path: str, rule: str
    ) -> None:
        law = LAWS[name]
        with pytest.raises(AgainstLaw) as refused:
            caps.enforce_product(replace(at_home(law), **terms), law, TODAY)
        assert (refused.value.path, refused.value.rule) == (path, rule)
        assert str(refused.value).startswith(f"{path}: {rule} allows ")

    @pytest.mark.parametrize(
        ("name", "terms"),
        [
            ("gh", {"penalty_bases": (("terms.penalties[0].of", "overdue_installment"),)}),
            ("gh", {"early_settlement_rate": Decimal("0.0025")}),
            ("gh", {"max_cents": 1_000_000}),
            ("ug", {"late_charges_rate": Decimal("0.50")}),
            ("tz", {"approved_on": TODAY - timedelta(days=365)}),
            ("ke", {"version": 2, "approved_on": TODAY - timedelta(days=30)}),
            ("ke", {"version": 1, "approved_on": TODAY}),
            ("ke", {"approval_document": ""}),
        ],
    )
    def test_a_term_just_within_the_law_passes(self, name: str, terms: dict[str, Any]) -> None:
        caps.enforce_product(at_home(LAWS[name], **terms), LAWS[name], TODAY)
