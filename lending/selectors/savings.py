"""What savers see, and what of their saving counts when they ask for a loan."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet, Sum

from lending.models import (
    Borrower,
    Consent,
    SavingsAccount,
    SavingsInstruction,
    SavingsMovement,
    SavingsProductVersion,
    SavingsVersionChange,
    SweepMandate,
    WalletMovement,
)
from lending.prepared import Prepared
from lending.rules import calendar, money
from lending.rules import savings as rules
from lending.selectors.products import NothingInForce
from lending.selectors.savings_versions import terms_on


def product_in_force(country: str, code: str, on: date) -> SavingsProductVersion:
    """Return the newest version of a savings product effective on the day.

    Raises:
        NothingInForce: none is.
    """
    version = _IN_FORCE.first(country=country, code=code, on=on)
    if version is None:
        raise NothingInForce(f"no savings product {code} for {country} on {on}; run manage.py load_fixtures")
    return version


_IN_FORCE: Prepared[SavingsProductVersion] = Prepared(
    lambda country, code, on: SavingsProductVersion.objects.filter(
        country=country, code=code, effective_on__lte=on
    ).order_by("-version")[:1],
    country=str,
    code=str,
    on=date,
)
# What goals are opened under, and the pots of groups.
GOAL_PRODUCT = "jirani-goal"
GROUP_PRODUCT = "jirani-group"


def pots_of(borrower_id: int) -> list[SavingsAccount]:
    """Return somebody's own accounts that are open, the one that they used last first."""
    return _POTS.all(borrower_id=borrower_id)


_POTS: Prepared[SavingsAccount] = Prepared(
    lambda borrower_id: (
        SavingsAccount.objects.filter(borrower_id=borrower_id, closing_at=None)
        .exclude(state=SavingsAccount.State.CLOSED)
        .select_related("product_version", "group")
        .order_by("-used_on", "-id")
    ),
    borrower_id=int,
)


def mandate_of(account_id: int) -> SweepMandate | None:
    """Return the owner's word that an account may pay their loan, if it is in force."""
    return SweepMandate.objects.filter(account_id=account_id, withdrawn_at=None).first()


def last_lines(account_id: int, limit: int = 5) -> list[SavingsMovement]:
    """Return the newest movements of an account, newest first."""
    return list(SavingsMovement.objects.filter(account_id=account_id).order_by("-value_on", "-id")[:limit])


def terms_of(account: SavingsAccount) -> rules.SavingsTerms:
    """Return the terms by which an account goes."""
    return rules.read_terms(account.product_version.terms)


def standing_of(account: SavingsAccount) -> rules.Standing:
    """Return the interest side of an account."""
    return rules.Standing(
        account.balance_cents,
        int(account.accrued_parts),
        account.accrued_on,
        account.period_on,
        account.lowest_cents,
    )


def moves_of(account_id: int) -> list[rules.Move]:
    """Return all movements of an account as interest sees them."""
    movements = SavingsMovement.objects.filter(account_id=account_id).order_by("value_on", "id")
    return [rules.Move(movement.value_on, movement.signed_cents) for movement in movements]


def available_cents(account: SavingsAccount) -> int:
    """Return what minimum and holds leave to take out; a lock is another matter."""
    return rules.available_cents(account.balance_cents, account.held_cents, account.floor_cents)


def earned_cents(account: SavingsAccount) -> int:
    """Return the whole cents of interest earned up to `accrued_on` and not credited yet, before tax."""
    return max(0, int(account.accrued_parts)) // rules.PARTS_PER_CENT


def exit_opens_at(account: SavingsAccount) -> datetime:
    """Return when the turned key opens the lock."""
    assert account.exit_asked_at is not None and account.exit_after_hours is not None
    return rules.exit_opens_at(account.exit_asked_at, account.exit_after_hours)


# --- statement ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class StatementLine:
    """One movement, and what was in the account after it."""

    on: date
    kind: str
    cents: int
    balance_cents: int
    reference: str


@dataclass(frozen=True)
class TermsLine:
    """From this day on, other terms: the versions before and after, read with types."""

    on: date
    before: rules.SavingsTerms
    after: rules.SavingsTerms


@dataclass(frozen=True)
class Statement:
    """Movements from `first` to `last` by value date, and what was agreed anew. opening + lines = closing, to the
    cent."""

    first: date
    last: date
    opening_cents: int
    lines: tuple[StatementLine, ...]
    changes: tuple[TermsLine, ...]
    closing_cents: int
    interest_cents: int
    tax_cents: int


def statement(account_id: int, first: date, last: date) -> Statement:
    """Return the statement of an account over days, both included."""
    movements = SavingsMovement.objects.filter(account_id=account_id, value_on__lte=last).order_by("value_on", "id")
    balance = opening = 0
    lines: list[StatementLine] = []
    for movement in movements:
        balance += movement.signed_cents
        if movement.value_on < first:
            opening = balance
        else:
            lines.append(
                StatementLine(movement.value_on, movement.kind, movement.signed_cents, balance, movement.reference)
            )

    def total(kind: str) -> int:
        return sum(abs(line.cents) for line in lines if line.kind == kind)

    kinds = SavingsMovement.Kind
    changes = SavingsVersionChange.objects.filter(account_id=account_id, effective_on__range=(first, last))
    new_terms = tuple(
        TermsLine(change.effective_on, rules.read_terms(change.before.terms), rules.read_terms(change.after.terms))
        for change in changes.select_related("before", "after").order_by("id")
    )
    return Statement(
        first, last, opening, tuple(lines), new_terms, balance, total(kinds.INTEREST), total(kinds.TAX)
    )


# --- goals --------------------------------------------------------------------------------------------------
INFLOW_WEEKS = 4


def suggested_deposits(borrower: Borrower, product: SavingsProductVersion, at: datetime) -> tuple[int, int]:
    """Return the smaller and the larger suggestion for a weekly deposit, from the wallet's last four weeks.

    Without consent to read the wallet nothing is known and the smallest payable amount is suggested.
    """
    goal = rules.read_terms(product.terms).goal
    unit = money.currency(product.currency).payable_cents
    inflow = 0
    if consented(borrower.id, Consent.Purpose.WALLET, at):
        since = at - timedelta(weeks=INFLOW_WEEKS)
        moves = WalletMovement.objects.filter(borrower=borrower, kind__in=WalletMovement.INFLOWS)
        inflow = moves.filter(moved_at__gte=since, moved_at__lt=at).aggregate(c=Sum("amount_cents"))["c"] or 0
    return rules.suggested_deposits(inflow // INFLOW_WEEKS, goal, unit)


def progress(account: SavingsAccount) -> str:
    """Return how far a goal is, as its owner reads it: `School fees: KES 640 of KES 2,000`."""
    saved = money.show(account.balance_cents, account.currency)
    if account.target_cents:
        saved += f" of {money.show(account.target_cents, account.currency)}"
    return f"{account.goal or 'Savings'}: {saved}"


# --- save first, then borrow --------------------------------------------------------------------------------
def consented(borrower_id: int, purpose: str, at: datetime) -> bool:
    """Say whether a consent was in force at a moment."""
    return _CONSENT.first(borrower_id=borrower_id, purpose=purpose, at=at) is not None


_CONSENT: Prepared[Consent] = Prepared(
    lambda borrower_id, purpose, at: Consent.objects.filter(
        borrower_id=borrower_id, purpose=purpose, granted=True, given_at__lte=at
    ).exclude(withdrawn_at__lte=at)[:1],
    borrower_id=int,
    purpose=str,
    at=datetime,
)


@dataclass(frozen=True)
class SavedFirst:
    """Whether deposits on time may stand in for a first loan record; the best of a borrower's accounts."""

    consented: bool
    on_time: int
    needed: int

    @property
    def stands_in(self) -> bool:
        return self.consented and self.needed > 0 and self.on_time >= self.needed


def saved_first(borrower_id: int, at: datetime) -> SavedFirst:
    """Say how somebody's deposits stood at a moment; nothing that came later is seen.

    Without the borrower's consent no deposit is even counted. Savings never secure the loan.
    """
    nothing = SavedFirst(consented(borrower_id, Consent.Purpose.SAVINGS, at), 0, 0)
    if not nothing.consented:
        return nothing
    accounts = SavingsAccount.objects.filter(borrower_id=borrower_id, opened_at__lt=at)
    stands = [_stands(account, at) for account in accounts.select_related("product_version")]
    return max((found for found in stands if found.needed), key=_closeness, default=nothing)


def _closeness(found: SavedFirst) -> tuple[int, int]:
    return found.on_time - found.needed, found.on_time


def _stands(account: SavingsAccount, at: datetime) -> SavedFirst:
    rule = terms_on(account, calendar.business_date(at, settings.TIME_ZONE)).save_first
    if rule is None:
        return SavedFirst(True, 0, 0)
    zone = settings.TIME_ZONE
    deposits = account.movements.filter(kind=SavingsMovement.Kind.DEPOSIT, moved_at__lt=at)
    moves = [
        rules.Move(calendar.business_date(moved_at, zone), cents)
        for moved_at, cents in deposits.values_list("moved_at", "amount_cents")
    ]
    opened_on = calendar.business_date(account.opened_at, zone)
    on_time = rules.deposits_on_time(rule, opened_on, moves, calendar.business_date(at, zone))
    return SavedFirst(True, on_time, rule.deposits)


# --- what partners are asked --------------------------------------------------------------------------------
def open_instructions(partner: str) -> "QuerySet[SavingsInstruction]":
    """Return what a partner was asked and has not answered, in the order of asking."""
    return SavingsInstruction.objects.filter(
        account__partner=partner, state=SavingsInstruction.State.OPEN
    ).order_by("id")


def interest_to_confirm(partner: str) -> "QuerySet[SavingsMovement]":
    """Return interest and tax that we worked out for a partner's accounts and he has not confirmed."""
    return SavingsMovement.objects.filter(
        account__partner=partner,
        kind__in=[SavingsMovement.Kind.INTEREST, SavingsMovement.Kind.TAX],
        settlement__isnull=True,
    ).order_by("id")


def paid_in(account_id: int) -> dict[int, int]:
    """Return what each member of a group paid in, by member id; who left keeps what they paid in."""
    rows = (
        SavingsMovement.objects.filter(
            account_id=account_id, kind=SavingsMovement.Kind.DEPOSIT, member__isnull=False
        )
        .values("member_id")
        .annotate(cents=Sum("amount_cents"))
    )
    return {row["member_id"]: row["cents"] for row in rows}
