"""Country packs: read with types, complete, sourced, refused with the path of what is wrong."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from lending.rules import money
from lending.rules.country import Country, Section, country_from, may_contact
from lending.rules.identity import InvalidNationalId, clean_national_id
from lending.rules.reading import Refused
from tests.lending.rules.packs import LAWS, PACKS, changed, invented

every_pack = pytest.mark.parametrize("name", PACKS)
FIRST_DAY = "in_duplum.applies_from_days_past_due"
LATE_BAND = {"from_days_past_due": 1, "rate": "0.1"}
KENYA = PACKS["ke"]["rules"]


class TestEveryPack:
    def test_the_five_countries_are_there(self) -> None:
        assert sorted(law.country for law in LAWS.values()) == ["GH", "KE", "NG", "TZ", "UG"]

    @every_pack
    def test_is_named_as_what_it_holds(self, name: str) -> None:
        assert PACKS[name]["country"] == LAWS[name].country == name.upper()
        assert PACKS[name]["approved_by"] and PACKS[name]["version"] == 1

    @every_pack
    def test_each_section_is_there_or_said_to_be_missing(self, name: str) -> None:
        law = LAWS[name]
        for section in Country.model_fields:
            assert (getattr(law, section) is None) == (section in law.not_found), section

    @every_pack
    def test_each_section_names_its_source_and_what_kind_of_source_it_is(self, name: str) -> None:
        sections = [part for part in dict(LAWS[name]).values() if isinstance(part, Section)]
        assert sections
        for section in sections:
            assert len(section.source) > 10 and section.basis in ("law", "practice", "promise")

    @every_pack
    def test_figures_from_a_source_that_is_no_law_are_not_called_law(self, name: str) -> None:
        for part in dict(LAWS[name]).values():
            if isinstance(part, Section) and part.source.startswith(("own promise", "no rule", "none found")):
                assert part.basis == "promise", part

    @every_pack
    def test_money_is_counted_in_a_currency_that_we_know(self, name: str) -> None:
        assert money.currency(LAWS[name].currency)


class TestReading:
    @pytest.mark.parametrize(
        ("changes", "path", "why"),
        [
            ({"zone": "Mars/Olympus"}, "zone", 'needs a time zone like "Africa/Nairobi"'),
            ({"currency": "XXX"}, "currency", "got 'XXX'"),
            ({"country": "kenya"}, "country", "got 'kenya'"),
            ({"dialling_prefix": "+254"}, "dialling_prefix", "got '+254'"),
            ({"price_caps": invented(max_apr=0.5)}, "price_caps.max_apr", 'a share as text like "0.10", got 0.5'),
            ({"price_caps": invented(max_apr="50%")}, "price_caps.max_apr", "got '50%'"),
            ({"price_caps": invented(max_apr="-0.5")}, "price_caps.max_apr", "got '-0.5'"),
            ({"price_caps": invented(max_aprr="0.5")}, "price_caps.max_aprr", "Extra inputs"),
            ({"price_caps": {"max_apr": "0.5", "basis": "law"}}, "price_caps.source", "Field required"),
            ({"price_caps": invented(basis="hearsay")}, "price_caps.basis", "got 'hearsay'"),
            (
                {"contact": KENYA["contact"] | {"opens": "8"}},
                "contact.opens",
                "a time of day like \"08:00\", got '8'",
            ),
            ({"contact": KENYA["contact"] | {"closes": "07:00"}}, "contact", "opens must be before closes"),
            (
                {"in_duplum": invented(applies_from_days_past_due=0)},
                "in_duplum.applies_from_days_past_due",
                "got 0",
            ),
            ({"notices": invented(change_of_terms_days="30")}, "notices.change_of_terms_days", "got '30'"),
            ({"national_id": invented(pattern="[0-9")}, "national_id.pattern", "needs a pattern"),
            (
                {"provisioning": invented(bands=[{"from_days_past_due": 0, "rate": "0.1"}, {"rate": "1"}])},
                "provisioning.bands[1].from_days_past_due",
                "Field required",
            ),
            (
                {"provisioning": invented(bands=[{"from_days_past_due": 1, "rate": "0.1"}])},
                "provisioning",
                "begin at 0",
            ),
            ({"raises": invented(need_consent="no")}, "raises.need_consent", "got 'no'"),
            ({"holidays": invented(yearly=["12-25", "02-29"])}, "holidays.yearly[1]", "got '02-29'"),
            ({"holidays": invented(yearly=["1-1"])}, "holidays.yearly[0]", 'a day of every year like "12-25"'),
            ({"holidays": invented(days=["2026-02-30"])}, "holidays.days[0]", "got '2026-02-30'"),
            ({"holidays": invented(around_easter=["-2"])}, "holidays.around_easter[0]", "got '-2'"),
        ],
    )
    def test_a_fault_is_refused_with_its_path(self, changes: dict[str, Any], path: str, why: str) -> None:
        with pytest.raises(Refused) as refused:
            country_from(changed("ke", **changes))
        assert refused.value.path == path
        assert why in refused.value.why

    def test_silence_about_a_section_is_refused(self) -> None:
        rules = {key: value for key, value in KENYA.items() if key != "in_duplum"}
        with pytest.raises(Refused, match="not_found must say why there is no in_duplum"):
            country_from(rules)

    def test_a_section_cannot_be_there_and_missing(self) -> None:
        with pytest.raises(Refused, match="not_found names what is there or is no section: in_duplum"):
            country_from(KENYA | {"not_found": KENYA["not_found"] | {"in_duplum": "where is it?"}})

    def test_a_section_that_every_country_has_is_asked_for_by_name(self) -> None:
        rules = {key: value for key, value in KENYA.items() if key != "contact"}
        with pytest.raises(Refused, match="contact: Field required"):
            country_from(rules)


@pytest.mark.parametrize(
    ("name", "utc_hour", "allowed"),
    [
        ("ke", 4, False), ("ke", 5, True), ("ke", 15, True), ("ke", 16, False), ("ke", 23, False),
        ("ng", 6, False), ("ng", 7, True), ("ng", 17, True), ("ng", 18, False),
        ("gh", 7, False), ("gh", 8, True), ("gh", 18, True), ("gh", 19, False),
    ],
)  # fmt: skip
def test_contact_hours_are_local(name: str, utc_hour: int, allowed: bool) -> None:
    assert may_contact(LAWS[name], datetime(2026, 3, 2, utc_hour, tzinfo=UTC)) is allowed


@pytest.mark.parametrize(
    ("name", "typed", "taken"),
    [
        ("ke", "2345 6781", True), ("ke", "12345", False),
        ("ug", "CM12345678ABCD", True), ("ug", "12345678901234", False), ("ug", "CM12345678ABC", False),
        ("tz", "19900101-12345-00001-21", True), ("tz", "19900101", False),
        ("ng", "12345678901", True), ("ng", "1234567890", False),
        ("gh", "GHA-123456789-0", True), ("gh", "123456789-0", False),
    ],
)  # fmt: skip
def test_a_national_id_is_of_the_country_s_form(name: str, typed: str, taken: bool) -> None:
    pattern = LAWS[name].national_id.pattern
    if taken:
        assert clean_national_id(typed, pattern)
    else:
        with pytest.raises(InvalidNationalId):
            clean_national_id(typed, pattern)


@pytest.mark.parametrize(
    ("days", "rate"),
    [(0, "0.01"), (1, "0.05"), (30, "0.05"), (31, "0.20"), (60, "0.20"), (61, "0.50"), (90, "0.50"), (91, "1.00")],
)
def test_nigeria_s_provisions_follow_the_days_late(days: int, rate: str) -> None:
    provisioning = LAWS["ng"].provisioning
    assert provisioning and provisioning.rate_at(days) == Decimal(rate)
