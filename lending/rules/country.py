"""A country pack read with types. Law is data: nothing here knows a figure.

Every section names its source, says whether it is law, practice or a promise of our own, and what counsel still
has to confirm. What was looked for and not found is left out and named in `not_found`: silence is no cap, and
nobody has to guess whether it was forgotten. Source of the form: docs/domain/law.md.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from lending.rules import calendar, money
from lending.rules.reading import Count, Frozen, Rate, Text, read

PenaltyBase = Literal["overdue_principal", "overdue_installment", "balance"]


def _zone(given: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(given))
    except (KeyError, ValueError):
        raise ValueError(f'needs a time zone like "Africa/Nairobi", got {given!r}') from None


def _clock(given: object) -> time:
    if not isinstance(given, str) or not re.fullmatch(r"[0-9]{2}:[0-9]{2}", given, re.ASCII):
        raise ValueError(f'needs a time of day like "08:00", got {given!r}')
    return time.fromisoformat(given)


def _currency(code: str) -> str:
    if code not in money.CURRENCIES:
        raise ValueError(f"needs one of {', '.join(sorted(money.CURRENCIES))}, got {code!r}")
    return code


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"needs a pattern, got {text!r}: {error}") from None
    return text


def _month_and_day(given: object) -> tuple[int, int]:
    if isinstance(given, str) and re.fullmatch(r"[0-9]{2}-[0-9]{2}", given, re.ASCII):
        with suppress(ValueError):
            # A year without a 29th of February: what is there every year is in every year.
            kept = date.fromisoformat(f"2001-{given}")
            return kept.month, kept.day
    raise ValueError(f'needs a day of every year like "12-25", got {given!r}')


def _day(given: object) -> date:
    if isinstance(given, str):
        with suppress(ValueError):
            return date.fromisoformat(given)
    raise ValueError(f'needs a date like "2026-03-20", got {given!r}')


Clock = Annotated[time, BeforeValidator(_clock)]
Day = Annotated[date, BeforeValidator(_day)]
MonthAndDay = Annotated[tuple[int, int], BeforeValidator(_month_and_day)]


class Section(Frozen):
    """A part of the pack. `confirm`: what counsel must confirm before launch; empty when nothing is open."""

    source: Text
    basis: Literal["law", "practice", "promise"]
    confirm: str = ""


# What a customer can be spoken to in; a pack says which come first in its country.
Language = Literal["en", "sw", "fr", "lg", "ha", "am"]


class Languages(Section):
    codes: Annotated[tuple[Language, ...], Field(min_length=1)]


class Wallet(Section):
    """What customers call the mobile-money wallet that loans are paid to and repaid from."""

    name: Annotated[str, Field(min_length=1, max_length=12)]


class NationalId(Section):
    pattern: Annotated[Text, AfterValidator(_pattern)]


class PriceCaps(Section):
    """Caps on every charge that must be paid, fees and taxes included, as shares of the principal.

    A month is a twelfth of a year of 365 days. `max_apr` binds the rate on the falling balance.
    """

    max_monthly_rate: Rate | None = None
    max_yearly_rate: Rate | None = None
    max_total_cost_rate: Rate | None = None
    max_apr: Rate | None = None
    max_early_settlement_rate: Rate | None = None


class Penalties(Section):
    """What a penalty may be reckoned on, and the most that all penalties of a loan may be, of its principal."""

    bases: Annotated[tuple[PenaltyBase, ...], Field(min_length=1)]
    max_rate_of_principal: Rate | None = None


class DefaultInterest(Section):
    """The most that interest for being late and penalties together may be, as a share of the principal."""

    max_rate_of_principal: Rate


class InDuplum(Section):
    """From this day late on, new interest, fees and penalties may not exceed the principal owing then."""

    applies_from_days_past_due: Annotated[int, Field(strict=True, ge=1)]


class Contact(Section):
    """Local hours for what the customer did not ask for, and how often."""

    opens: Clock
    closes: Clock
    messages_per_day: Count
    calls_per_week: Count

    @model_validator(mode="after")
    def _opens_first(self) -> "Contact":
        if self.opens >= self.closes:
            raise ValueError(f"opens must be before closes, got {self.opens:%H:%M} and {self.closes:%H:%M}")
        return self


class Notices(Section):
    """Days between telling customers of changed terms and the first day of these."""

    change_of_terms_days: Count


class CoolingOff(Section):
    """Days in which a loan may be given back without a charge."""

    days: Count


class Retention(Section):
    """How long records are kept. None: no figure was found."""

    records_years: Count | None = None
    raw_sessions_days: Count
    refused_applications_months: Count


class Bureau(Section):
    """Listing a customer with a credit bureau."""

    notice_days: Count
    minimum_cents: Count
    dispute_answer_days: Count
    kept_years: Count


class Complaints(Section):
    """How soon a complaint is acknowledged and answered, and who hears it when our answer is not enough."""

    acknowledge_hours: Count | None = None
    answer_days: Count
    escalate_to: Text | None = None


class DataRights(Section):
    """How soon a wish about one's own data is answered, and who hears it when our answer is not enough."""

    access_days: Count
    correction_days: Count
    erasure_days: Count
    escalate_to: Text | None = None


class Band(Frozen):
    """From this day late on, this share of the principal outstanding is provided for."""

    from_days_past_due: Count
    rate: Rate


class Provisioning(Section):
    bands: Annotated[tuple[Band, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _bands_rise(self) -> "Provisioning":
        days = [band.from_days_past_due for band in self.bands]
        if days[0] != 0 or any(later <= earlier for earlier, later in pairwise(days)):
            raise ValueError(f"bands must begin at 0 and rise, got {days}")
        return self

    def rate_at(self, days_past_due: int) -> Decimal:
        """Return the share to provide for a loan that is so late."""
        return next(b.rate for b in reversed(self.bands) if b.from_days_past_due <= days_past_due)


class Savings(Section):
    held_by: Literal["licensed partner", "us"]


class Affordability(Section):
    """The share of a month's estimated inflow that all repayments of a month may take."""

    max_share_of_monthly_inflow: Rate


class Exposure(Section):
    """The largest single loan, and the most that one person may owe over all products."""

    max_loan_cents: Count | None = None
    max_total_cents: Count | None = None


class Raises(Section):
    """Whether a higher limit is in force only after the customer said yes."""

    need_consent: Annotated[bool, Field(strict=True)]


class PublicHolidays(Section):
    """Days on which nothing falls due, where a product moves due dates. Read as lending.rules.calendar.Holidays."""

    yearly: tuple[MonthAndDay, ...] = ()
    around_easter: tuple[Annotated[int, Field(strict=True, ge=-60, le=60)], ...] = ()
    days: tuple[Day, ...] = ()
    after_sunday: Annotated[bool, Field(strict=True)] = False

    def kept(self) -> calendar.Holidays:
        """Return them as due dates are moved by."""
        return calendar.Holidays(self.yearly, self.around_easter, frozenset(self.days), self.after_sunday)


class PriceApproval(Section):
    """Prices that a regulator must have seen; `valid_days` None: no end was found."""

    valid_days: Count | None = None


class Country(Frozen):
    """What lending asks of a pack. A section that is None was not found, and `not_found` says so."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    zone: Annotated[ZoneInfo, BeforeValidator(_zone)]
    currency: Annotated[Text, AfterValidator(_currency)]
    dialling_prefix: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$")]
    languages: Languages
    national_id: NationalId
    contact: Contact
    savings: Savings
    affordability: Affordability
    wallet: Wallet | None = None
    price_caps: PriceCaps | None = None
    penalties: Penalties | None = None
    default_interest: DefaultInterest | None = None
    in_duplum: InDuplum | None = None
    notices: Notices | None = None
    cooling_off: CoolingOff | None = None
    retention: Retention | None = None
    bureau: Bureau | None = None
    complaints: Complaints | None = None
    data_rights: DataRights | None = None
    provisioning: Provisioning | None = None
    exposure: Exposure | None = None
    raises: Raises | None = None
    price_approval: PriceApproval | None = None
    holidays: PublicHolidays | None = None
    not_found: Mapping[str, Text] = {}

    @model_validator(mode="after")
    def _says_what_is_missing(self) -> "Country":
        """Insist that each section is either there or said to be missing."""
        missing = {name for name in type(self).model_fields if getattr(self, name) is None}
        if unsaid := sorted(missing - self.not_found.keys()):
            raise ValueError(f"not_found must say why there is no {', '.join(unsaid)}")
        if wrong := sorted(self.not_found.keys() - missing):
            raise ValueError(f"not_found names what is there or is no section: {', '.join(wrong)}")
        return self

    @property
    def wallet_name(self) -> str:
        """Return what customers call their wallet; where no single one was found, what it is."""
        return self.wallet.name if self.wallet else "wallet"

    @property
    def raises_need_consent(self) -> bool:
        return self.raises is not None and self.raises.need_consent


def country_from(rules: Mapping[str, Any]) -> Country:
    """Read a pack's rules, at load and not at midnight.

    Raises:
        Refused: with the path of the first field at fault, what was needed and what came.
    """
    return read(Country, rules)


def may_contact(country: Country, at: datetime) -> bool:
    """Say whether a message that the customer did not ask for may go out now."""
    local = at.astimezone(country.zone).time()
    return country.contact.opens <= local < country.contact.closes
