"""By which version of its product an account went on which day, and which one comes next."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from lending.models import SavingsAccount, SavingsProductVersion, SavingsVersionChange
from lending.rules import savings_change as rules
from lending.rules.savings import DAY, SavingsTerms, read_terms


def version_from(row: SavingsProductVersion) -> rules.Version:
    """Return a version as the rules look at it."""
    return rules.Version(row.id, row.version, row.effective_on, read_terms(row.terms))


def later_versions(account: SavingsAccount) -> list[rules.Version]:
    """Return the versions of an account's product that came after its own, also those still to begin."""
    own = account.product_version
    rows = SavingsProductVersion.objects.filter(code=own.code, version__gt=own.version).order_by("version")
    return [version_from(row) for row in rows]


def next_change(account: SavingsAccount) -> rules.Change | None:
    """Return to which version an account goes over next, and from which day on; None if it keeps its own."""
    return next(coming_changes(account), None)


def coming_changes(account: SavingsAccount) -> Iterator[rules.Change]:
    """Yield all changes of version that lie before an account, in order, as far as they are approved."""
    later = later_versions(account)
    own, first = version_from(account.product_version), account.accrued_on + DAY
    while change := rules.next_change(own, later, first, account.locked_until):
        yield change
        own, first = change.version, change.on


@dataclass(frozen=True)
class TermsChange:
    """From this day on an account goes by other terms; `is_locked`: until the day before it is locked."""

    on: date
    before: SavingsTerms
    after: SavingsTerms
    is_locked: bool


def change_to(account: SavingsAccount, version_id: int) -> TermsChange | None:
    """Return how a version changes the terms of an account, did or will; None if it passes the account over."""
    before = version_from(account.product_version)
    for done in changes_of(account):
        if done.after_id == version_id:
            old, new = version_from(done.before), version_from(done.after)
            return TermsChange(done.effective_on, old.terms, new.terms, is_locked=False)
    for change in coming_changes(account):
        if change.version.id == version_id:
            is_locked = account.locked_until == change.on - DAY
            return TermsChange(change.on, before.terms, change.version.terms, is_locked)
        before = change.version
    return None


def changes_of(account: SavingsAccount) -> list[SavingsVersionChange]:
    """Return the changes of version that an account went through, in order."""
    return list(account.version_changes.select_related("before", "after").order_by("id"))


@dataclass(frozen=True)
class Span:
    """From `first` on an account went by this version, until the next of these."""

    first: date
    version: SavingsProductVersion

    @property
    def terms(self) -> SavingsTerms:
        return read_terms(self.version.terms)


def spans_of(account: SavingsAccount) -> list[Span]:
    """Return every version that an account went by with its first day; the first of them since ever."""
    changes = changes_of(account)
    opened_under = changes[0].before if changes else account.product_version
    return [Span(date.min, opened_under), *(Span(change.effective_on, change.after) for change in changes)]


def terms_on(account: SavingsAccount, day: date) -> SavingsTerms:
    """Return the terms by which an account went on a day."""
    return next(span for span in reversed(spans_of(account)) if span.first <= day).terms


def agreed(account: SavingsAccount) -> list[rules.Agreed]:
    """Return what an account earned by over its life, as interest looks at it."""
    return [rules.Agreed(span.first, span.terms.interest) for span in spans_of(account)]
