"""A change of a savings product: what a version must be, how two people bring in the next one, who is told.

A proposal holds the whole version; only its approval writes a row, and PostgreSQL refuses to change that. Accounts
go over to it on its first day (lending.services.savings_interest, lending.savings_closing).

Source: docs/domain/savings.md, "A change of terms"; docs/operations.md, "Two people".
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings

from lending.models import Proposal, SavingsProductVersion
from lending.rules import calendar, money
from lending.rules import savings as rules
from lending.rules.caps import AgainstLaw
from lending.rules.savings_change import NOTICE_DAYS, what_is_worse
from lending.rules.terms import TermsRefused
from lending.selectors import products
from lending.services import proposals, savings_notices, versions

ACT = "savings_product_version"
AGREED = ("name", "terms")


def enforce_version(version: SavingsProductVersion) -> rules.SavingsTerms:
    """Refuse a version that cannot be read, or is against the law in force on its first day; return its terms.

    Raises:
        SavingsTermsRefused: with the path of the field at fault.
        AgainstLaw: nobody who may holds the money, or its currency is not the country's.
        NothingInForce: its country has no law on that day.
    """
    try:
        terms = rules.read_terms(version.terms)
    except rules.SavingsTermsRefused as refused:
        raise rules.SavingsTermsRefused(f"terms.{refused.path}".rstrip("."), refused.fault) from None
    pack = products.country_pack(version.country, version.effective_on)
    if rules.must_be_held_by_partner(pack.rules) and not version.partner:
        raise AgainstLaw("savings.held_by", "a licensed partner", "us", "partner")
    if version.currency != pack.rules["currency"]:
        raise AgainstLaw("currency", pack.rules["currency"], version.currency, "currency")
    return terms


class Draft(versions.Draft):
    """The next version of a savings product as somebody proposes it.

    Who holds the money and in which currency stays: another holder is another product.
    """


def preview(draft: Draft, on: date) -> dict[str, Any]:
    """Say what a version would change if it were approved on a day: a year of an example balance before and after,
    each term that is another one, and what of it is worse for savers.

    Raises:
        FollowedAlready: another version came in between.
        TermsRefused: the first day is too early, or nothing is another one.
        SavingsTermsRefused, AgainstLaw, NothingInForce: as `enforce_version` says.
    """
    before = SavingsProductVersion.objects.get(id=draft.follows)
    after = _version(draft, before, on)
    changes = products.differences(before, after, AGREED)
    if not changes:
        raise TermsRefused("terms", "must say something else than the version that is followed")
    return {
        "currency": after.currency,
        "version": after.version,
        "effective_on": after.effective_on.isoformat(),
        "law": str(products.country_pack(after.country, after.effective_on)),
        "before": _a_year_of(before, draft.example_cents),
        "after": _a_year_of(after, draft.example_cents),
        "worse": [f"terms.{field}" for field in _worse(after, before)],
        "changes": changes,
    }


def _a_year_of(version: SavingsProductVersion, balance_cents: int) -> dict[str, int]:
    """Return what a balance that stays for 365 days earns, without interest on interest, and the tax on it."""
    interest = rules.read_terms(version.terms).interest
    earned = rules.parts_a_day(interest, balance_cents) * 365 // rules.PARTS_PER_CENT if interest else 0
    tax = money.share(earned, interest.tax_rate) if interest else 0
    return {"balance_cents": balance_cents, "interest_cents": earned, "tax_cents": tax}


def propose_version(*, draft: Draft, maker: Any, reason: str, at: datetime) -> Proposal:
    """Propose the next version of a savings product.

    Raises:
        ValueError: no reason was given.
        AlreadyPending: another next version of this product waits.
        FollowedAlready, TermsRefused, SavingsTermsRefused, AgainstLaw, NothingInForce: as `preview` says.
    """
    return versions.propose(ACT, f"savings_product:{draft.follows}", draft, maker=maker, reason=reason, at=at)


def _version(draft: Draft, before: SavingsProductVersion, on: date) -> SavingsProductVersion:
    """Return the version as it would stand if it were approved on a day; not saved."""
    versions.refuse_unless_next(before, draft.effective_on, on)
    version = SavingsProductVersion(
        code=before.code,
        version=before.version + 1,
        name=draft.name,
        currency=before.currency,
        country=before.country,
        partner=before.partner,
        effective_on=draft.effective_on,
        approved_on=on,
        terms=draft.terms,
    )
    terms = enforce_version(version)
    if (terms.interest is None) != (rules.read_terms(before.terms).interest is None):
        raise TermsRefused("terms.interest", "must stay what it is: who works the interest out is another product")
    if _worse(version, before):
        _enforce_notice(version, on)
    return version


def _worse(after: SavingsProductVersion, before: SavingsProductVersion) -> list[str]:
    return what_is_worse(rules.read_terms(after.terms), rules.read_terms(before.terms))


def _enforce_notice(version: SavingsProductVersion, on: date) -> None:
    """Refuse worse terms that begin before savers had notice: the law's days, and never less than our own.

    Raises:
        AgainstLaw: the law asks for a later day.
        TermsRefused: our own promise does.
    """
    law = products.country_rules(version.country, version.effective_on)
    if law.notices:
        first = on + timedelta(days=law.notices.change_of_terms_days)
        if version.effective_on < first:
            rule = "notices.change_of_terms_days"
            raise AgainstLaw(rule, f"{first} or later", version.effective_on, "effective_on")
    first = on + timedelta(days=NOTICE_DAYS)
    if version.effective_on < first:
        needed = f"must be {first} or later, because it is worse for savers"
        raise TermsRefused("effective_on", needed, version.effective_on)


def _preview_proposed(details: Mapping[str, Any]) -> dict[str, Any]:
    return preview(Draft.kept(details), date.fromisoformat(details["on"]))


def _carry_out(details: Mapping[str, Any], *, proposal: Proposal, at: datetime) -> None:
    """Write the approved version. Notice to savers counts from the day of the approval, not of the proposal."""
    draft = Draft.kept(details)
    before = SavingsProductVersion.objects.get(id=draft.follows)
    version = _version(draft, before, calendar.business_date(at, settings.TIME_ZONE))
    versions.write(version, proposal)
    savings_notices.owe_notices(version, at)


proposals.act(ACT, _preview_proposed, _carry_out)
