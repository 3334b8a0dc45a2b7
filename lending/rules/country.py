"""A country pack read with types. Law is data: nothing here knows a figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Country:
    """What lending asks of a pack. Times are local."""

    code: str
    zone: ZoneInfo
    currency: str
    contact_from: time
    contact_until: time
    caps: Mapping[str, str]
    national_id_pattern: str
    dialling_prefix: str


def country_from(rules: Mapping[str, Any]) -> Country:
    """Read a pack's rules; a missing or malformed field is an error that names it, at load and not at midnight."""
    try:
        return Country(
            code=rules["country"],
            zone=ZoneInfo(rules["zone"]),
            currency=rules["currency"],
            contact_from=time.fromisoformat(rules["contact"]["from"]),
            contact_until=time.fromisoformat(rules["contact"]["until"]),
            caps=rules["price_caps"],
            national_id_pattern=rules["national_id"]["pattern"],
            dialling_prefix=rules["dialling_prefix"],
        )
    except KeyError as missing:
        raise ValueError(f"country pack lacks {missing}") from None


def may_contact(country: Country, at: datetime) -> bool:
    """Say whether a message that the customer did not ask for may go out now."""
    local = at.astimezone(country.zone).time()
    return country.contact_from <= local < country.contact_until
