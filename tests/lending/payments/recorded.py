"""Callbacks as Daraja sends them, from fixtures/callbacks/daraja, with chosen facts changed."""

import json
from enum import Enum
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "callbacks" / "daraja"


class Missing(Enum):
    """A field that a message does not have; as a test's parameter it has the same name in every process."""

    MISSING = "missing"


MISSING = Missing.MISSING


def recorded(name: str, **facts: Any) -> dict[str, Any]:
    """Return a recorded body; each keyword replaces the fields, Keys or Names of that name, or drops them."""
    return _changed(json.loads((FOLDER / f"{name}.json").read_text()), facts)


def _changed(body: Any, facts: dict[str, Any]) -> Any:
    if isinstance(body, list):
        return [_changed(item, facts) for item in body if not _is_dropped(item, facts)]
    if not isinstance(body, dict):
        return body
    label = body.get("Key") or body.get("Name")
    if label in facts:
        return body | {"Value": facts[label]}
    kept = {key: facts.get(key, value) for key, value in body.items()}
    return {key: _changed(value, facts) for key, value in kept.items() if value is not MISSING}


def _is_dropped(item: Any, facts: dict[str, Any]) -> bool:
    return isinstance(item, dict) and facts.get(item.get("Key") or item.get("Name")) is MISSING
