"""docs/gateways.md is held to the adapters: addresses, what each one tells, numbers and descriptions."""

import json
import re
from typing import Any

import pytest
from django.urls import get_resolver

from tests.docs.tables import DOCS, Row, checked_tables, figure, same, value_at
from tests.docs.test_operations import _paths
from tests.ussd.gateways import wires
from tests.ussd.gateways.wires import WIRES, Typed, Wire, recorded
from ussd.gateways import generic
from ussd.gateways.protocol import NotANumber, msisdn_of

TABLES = checked_tables()
PAGE = (DOCS / "gateways.md").read_text()
DESCRIBED = re.compile(r"<!-- wire: (?P<name>\w+) -->\n```json\n(?P<json>.*?)```", re.DOTALL)
BY_NAME: dict[str, type[Wire]] = {}
for one in WIRES:
    BY_NAME.setdefault(one.name, one)


def doors() -> list[str]:
    """Return the addresses of the USSD and SMS gateways as the page writes them."""
    served = (re.sub(r"<str:(\w+)>", r"<\1>", path) for path in _paths(get_resolver().url_patterns))
    return [path for path in served if path.split("/")[:2][-1] in BY_NAME and path.startswith("gateways/")]


def test_the_addresses_are_those_that_are_served() -> None:
    listed = [row["Address"].lstrip("/") for row in TABLES["gateways.doors"]]
    assert sorted(listed) == sorted(doors())


@pytest.mark.parametrize("row", TABLES["gateways.doors"], ids=str)
def test_an_address_has_the_secret_that_is_listed(row: Row) -> None:
    assert row["Address"].split("/")[2] == row["Gateway"]
    assert BY_NAME[row["Gateway"]].gateway.secret_setting == row["Secret"]


@pytest.mark.parametrize("row", TABLES["gateways.facts"], ids=lambda row: row["Gateway"])
def test_a_gateway_tells_what_is_listed(row: Row, settings: Any) -> None:
    if row["Gateway"] == "generic":
        return
    wire = BY_NAME[row["Gateway"]]()
    assert row["By"] == ", ".join(sorted(wire.gateway.methods))
    assert row["A hop brings"] == ("the latest input" if wire.latest else "everything typed")
    assert row["Tells the end"] == ("yes" if wire.reports_ends else "no")
    texts = any(path.startswith(f"gateways/{wire.name}/") and path.endswith("/sms") for path in doors())
    assert row["SMS in"] == row["Delivery reports"] == ("yes" if texts else "no")
    assert row["A hop is told by"] == _told_by(wire)
    settings.COUNTRY = "UG"
    follows = wire.gateway.country == "UG"
    assert row["Numbers without code"] == ("of `COUNTRY`" if follows else wire.gateway.country)


def _told_by(wire: Wire) -> str:
    if not wire.latest:
        return "its text"
    changed = wire.payload(Typed("s1", "254711000101", inputs=["1", "1"]))
    before = wire.payload(Typed("s1", "254711000101", inputs=["1"]))
    numbers = [name for name in changed if changed[name] != before[name]]
    return numbers[0] if numbers else "place and text"


def test_every_gateway_is_listed() -> None:
    assert [row["Gateway"] for row in TABLES["gateways.facts"]] == list(BY_NAME)


def test_the_fields_of_a_description_are_those_of_the_code() -> None:
    listed = {row["Field"]: row["Default"] for row in TABLES["gateways.wire"]}
    assert listed == {name: _default(info) for name, info in generic.Wire.model_fields.items()}


def _default(info: Any) -> str:
    if info.is_required():
        return "needed"
    if isinstance(info.default, generic.Answer):
        return info.default.template
    return {"": "empty", None: "none"}.get(info.default, str(info.default))


def test_the_descriptions_on_the_page_are_those_of_the_contract() -> None:
    told = {found["name"]: json.loads(found["json"]) for found in DESCRIBED.finditer(PAGE)}
    kept = {
        path.stem: recorded("generic", path.stem)["described"] for path in (wires.CALLBACKS / "generic").iterdir()
    }
    assert told == {name: described for name, described in kept.items() if described}


@pytest.mark.parametrize("row", TABLES["gateways.numbers"], ids=str)
def test_a_number_is_read_as_listed(row: Row) -> None:
    if row["Is"] == "refused":
        with pytest.raises(NotANumber):
            msisdn_of(row["Written"], row["Country"])
    else:
        assert msisdn_of(row["Written"], row["Country"]) == row["Is"]


@pytest.mark.parametrize("row", TABLES["gateways.figures"], ids=str)
def test_a_figure_is_the_one_in_the_code(row: Row) -> None:
    assert same(figure(row["Figure"]), value_at(row["In the code"]))


def test_every_marked_table_of_the_page_is_checked() -> None:
    checked = {"doors", "facts", "wire", "figures", "numbers"}
    assert {name for name in TABLES if name.startswith("gateways.")} == {f"gateways.{one}" for one in checked}
