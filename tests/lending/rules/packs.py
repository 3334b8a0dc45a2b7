"""The country packs as they ship, for tests that run over all of them."""

import json
from pathlib import Path
from typing import Any

from lending.rules.country import Country, country_from

COUNTRIES = Path(__file__).resolve().parents[3] / "fixtures/countries"
PACKS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(COUNTRIES.glob("*.json"))
}
LAWS: dict[str, Country] = {name: country_from(pack["rules"]) for name, pack in PACKS.items()}


def changed(name: str, **sections: Any) -> dict[str, Any]:
    """Return the rules of a pack with other sections; None takes one away."""
    rules = PACKS[name]["rules"] | sections
    missing = {section for section, given in sections.items() if given is None}
    rules["not_found"] = {
        section: why for section, why in PACKS[name]["rules"]["not_found"].items() if section not in sections
    } | dict.fromkeys(missing, "for a test")
    return {section: given for section, given in rules.items() if section not in missing}


def invented(**figures: Any) -> dict[str, Any]:
    """Return a section of a pack that only a test knows."""
    return {"basis": "law", "source": "for a test"} | figures
