"""The next version of a product, for loans or savings: proposed whole, and signed by two people when it is written.

Source: docs/operations.md, "Two people".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Self

from django.conf import settings

from lending.models import ProductVersion, Proposal, SavingsProductVersion
from lending.rules import calendar
from lending.rules.terms import TermsRefused
from lending.services import proposals

Version = ProductVersion | SavingsProductVersion


class FollowedAlready(Exception):
    """The version that was to be followed is not the newest one any more. The text names the newest."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The next version as somebody proposes it. `example_cents`: the loan or balance that the preview looks at."""

    follows: int  # id of the version that it follows
    effective_on: date
    name: str
    terms: Mapping[str, Any]
    example_cents: int

    def details(self) -> dict[str, Any]:
        """Return it as a proposal keeps it."""
        return vars(self) | {"effective_on": self.effective_on.isoformat()}

    @classmethod
    def kept(cls, details: Mapping[str, Any]) -> Self:
        """Return the draft that a proposal keeps."""
        draft = details["draft"]
        return cls(**draft | {"effective_on": date.fromisoformat(draft["effective_on"])})


def propose(act: str, subject: str, draft: Draft, *, maker: Any, reason: str, at: datetime) -> Proposal:
    """Propose the next version; what its act's preview and `proposals.propose` raise comes through."""
    on = calendar.business_date(at, settings.TIME_ZONE)
    details = {"on": on.isoformat(), "draft": draft.details()}
    return proposals.propose(act=act, subject=subject, details=details, maker=maker, reason=reason, at=at)


def refuse_unless_next(before: Version, effective_on: date, on: date) -> None:
    """Refuse to follow, on a day, a version that is not the newest, or from a day that is past or not after it.

    Raises:
        FollowedAlready: another version came in between.
        TermsRefused: the first day, with the earliest that can be.
    """
    newest = type(before).objects.filter(code=before.code).order_by("-version").first()
    assert newest is not None, "it is at least the one that is followed"
    if newest.pk != before.pk:
        raise FollowedAlready(str(newest))
    first = max(on, before.effective_on + calendar.DAY)
    if effective_on < first:
        raise TermsRefused("effective_on", f"must be {first} or later", effective_on)


def write(version: Version, proposal: Proposal) -> None:
    """Write an approved version with the names of both people."""
    assert proposal.checker is not None, "it is carried out by the one who approved it"
    version.proposed_by = proposal.maker.get_username()[:60]
    version.approved_by = proposal.checker.get_username()[:60]
    version.save(force_insert=True)
