"""Products as dated versions: what a version must be, and how two people bring in the next one.

A proposal holds the whole version; only its approval writes a row, and PostgreSQL refuses to change that. Loans
keep the version that they were made under; from its first day on new offers are of the new one.

Source: docs/domain/products.md; docs/operations.md, "Two people".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from django.conf import settings

from lending.models import ProductVersion, Proposal
from lending.rules import calendar, caps, limits
from lending.rules.terms import TermsRefused
from lending.selectors import products
from lending.services import proposals, versions

ACT = "product_version"


def enforce_version(version: ProductVersion) -> None:
    """Refuse a version that cannot be read, contradicts itself, or is against the law in force on its first day.

    Raises:
        TermsRefused: terms or ladder, with the path of the field at fault.
        Refused: the loss brake, with the path below `loss_brake`.
        LoanRefused: its smallest or largest loan cannot be made.
        AgainstLaw: with the field, the rule, what it allows and what the version says.
        NothingInForce: its country has no law on that day.
    """
    terms = products.terms_of(version)
    if terms.currency != version.currency:
        raise TermsRefused("terms.currency", f"must be {version.currency}", terms.currency)
    _enforce_ladder(version.ladder_cents)
    limits.brake_from(version.loss_brake)
    law = products.country_rules(version.country, version.effective_on)
    caps.enforce_product(products.before_the_law(version, extended=True), law, version.effective_on)


def _enforce_ladder(rungs: Any) -> None:
    if not isinstance(rungs, list) or not rungs or not all(type(cents) is int and cents > 0 for cents in rungs):
        raise TermsRefused("ladder_cents", "must be a list of whole cents above 0", rungs)
    if any(above <= below for below, above in pairwise(rungs)):
        raise TermsRefused("ladder_cents", "must rise from rung to rung", rungs)


@dataclass(frozen=True, kw_only=True)
class Draft(versions.Draft):
    """The next version of a loan product as somebody proposes it."""

    ladder_cents: list[int]
    loss_brake: Mapping[str, Any]
    approval_document: str = ""


def preview(draft: Draft, on: date) -> dict[str, Any]:
    """Say what a version would change if it were approved on a day: an example loan before and after, under
    which law, and each term that is another one.

    Raises:
        FollowedAlready: another version came in between.
        TermsRefused, Refused, LoanRefused, AgainstLaw, NothingInForce: as `enforce_version` says.
    """
    before = ProductVersion.objects.get(id=draft.follows)
    after = _version(draft, before, on)
    enforce_version(after)
    pack = products.country_pack(after.country, after.effective_on)
    changes = products.differences(before, after)
    if not changes:
        raise TermsRefused("terms", "must say something else than the version that is followed")
    return {
        "currency": after.currency,
        "version": after.version,
        "effective_on": after.effective_on.isoformat(),
        "law": str(pack),
        "before": products.facts_side_by_side(before, draft.example_cents, after.effective_on),
        "after": products.facts_side_by_side(after, draft.example_cents, after.effective_on),
        "changes": changes,
    }


def propose_version(*, draft: Draft, maker: Any, reason: str, at: datetime) -> Proposal:
    """Propose the next version of a product.

    Raises:
        ValueError: no reason was given.
        AlreadyPending: another next version of this product waits.
        FollowedAlready, TermsRefused, Refused, LoanRefused, AgainstLaw, NothingInForce: as `preview` says.
    """
    return versions.propose(ACT, f"product:{draft.follows}", draft, maker=maker, reason=reason, at=at)


def _version(draft: Draft, before: ProductVersion, on: date) -> ProductVersion:
    """Return the version as it would stand if it were approved on a day; not saved."""
    versions.refuse_unless_next(before, draft.effective_on, on)
    return ProductVersion(
        code=before.code,
        version=before.version + 1,
        name=draft.name,
        currency=before.currency,
        country=before.country,
        effective_on=draft.effective_on,
        approved_on=on,
        approval_document=draft.approval_document,
        terms=draft.terms,
        ladder_cents=draft.ladder_cents,
        loss_brake=draft.loss_brake,
    )


def _preview_proposed(details: Mapping[str, Any]) -> dict[str, Any]:
    return preview(Draft.kept(details), date.fromisoformat(details["on"]))


def _carry_out(details: Mapping[str, Any], *, proposal: Proposal, at: datetime) -> None:
    """Write the approved version. Notice to customers counts from the day of the approval, not of the proposal."""
    draft = Draft.kept(details)
    before = ProductVersion.objects.get(id=draft.follows)
    version = _version(draft, before, calendar.business_date(at, settings.TIME_ZONE))
    enforce_version(version)
    versions.write(version, proposal)


proposals.act(ACT, _preview_proposed, _carry_out)
