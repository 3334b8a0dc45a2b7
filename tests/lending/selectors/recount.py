"""Every report once more in plain Python, loan by loan, and slow: what the SQL is held against.

It reads the tables through the ORM and shares nothing with lending.selectors.metrics but names.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from lending.models import Allocation, CountryPack, Draw, Installment, Loan, LoanEvent, Receipt
from lending.rules import arrears

NAIROBI = ZoneInfo("Africa/Nairobi")
KINDS = ("principal", "interest", "fee", "tax", "penalty")
ORDER = ("not late", "1-7", "8-30", "31-60", "61-90", "91-180", "over 180", "written off", "repaid")
LOST = ("91-180", "over 180", "written off")


def local(at: datetime | None) -> date | None:
    return at.astimezone(NAIROBI).date() if at else None


def share(part: int, whole: int) -> Decimal | None:
    """Six places, halves up: the shares here are never negative."""
    if not whole:
        return None
    return (Decimal(part) / Decimal(whole)).quantize(Decimal("0.000001"), ROUND_HALF_UP)


@dataclass
class Part:
    """Money on one installment."""

    on: date
    recovered: bool
    by_receipt: bool
    cents: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.cents.values())


@dataclass
class Item:
    due_on: date
    cents: dict[str, int]
    parts: list[Part] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.cents.values())

    def paid(self, kind: str, day: date, *, recovered: bool = False) -> int:
        return sum(p.cents[kind] for p in self.parts if p.on <= day and (recovered or not p.recovered))

    def left(self, day: date) -> dict[str, int]:
        return {kind: self.cents[kind] - self.paid(kind, day) for kind in KINDS}


@dataclass
class Lent:
    """A loan with all that happened to it."""

    row: Loan
    items: list[Item]

    @property
    def disbursed_on(self) -> date:
        return local(self.row.disbursed_at)

    def lent(self) -> int:
        return self.row.principal_cents + self.row.capitalised_cents

    def paid_out(self) -> int:
        if self.row.origin or self.row.is_line:
            return 0
        return self.row.principal_cents - self.row.deducted_cents - self.row.refinanced_cents

    @property
    def written_off_on(self) -> date | None:
        return local(self.row.written_off_at)

    @property
    def last_due_on(self) -> date:
        return max(item.due_on for item in self.items)

    @property
    def parts(self) -> list[Part]:
        return [part for item in self.items for part in item.parts]

    def exists(self, day: date) -> bool:
        return self.disbursed_on <= day and not (self.written_off_on and self.written_off_on <= day)

    def left(self, day: date) -> dict[str, int]:
        if not self.exists(day):
            return dict.fromkeys(KINDS, 0)
        return {kind: sum(item.left(day)[kind] for item in self.items) for kind in KINDS}

    def stands(self, day: date) -> bool:
        return sum(self.left(day).values()) > 0

    def principal(self, day: date) -> int:
        return self.left(day)["principal"]

    def days_late(self, day: date) -> int:
        unpaid = [item.due_on for item in self.items if sum(item.left(day).values())]
        return max(0, (day - min(unpaid)).days)

    def overdue(self, day: date) -> int:
        return sum(sum(item.left(day).values()) for item in self.items if item.due_on < day)

    def repaid_principal(self, day: date) -> int:
        return sum(part.cents["principal"] for part in self.parts if part.on <= day)

    def given_up(self) -> dict[str, int]:
        """What was owed at the write-off, by kind."""
        paid = [part for part in self.parts if not part.recovered]
        return {
            kind: sum(item.cents[kind] for item in self.items) - sum(part.cents[kind] for part in paid)
            for kind in KINDS
        }


def bucket(days: int) -> str:
    for name, last in (("not late", 0), ("1-7", 7), ("8-30", 30), ("31-60", 60), ("61-90", 90), ("91-180", 180)):
        if days <= last:
            return name
    return "over 180"


def month_start(day: date, back: int = 0) -> date:
    number = day.year * 12 + day.month - 1 - back
    return date(number // 12, number % 12 + 1, 1)


def month_earlier(day: date) -> date:
    """The same day a month before; a month's end stays a month's end."""
    end = day.replace(day=1) - timedelta(days=1)
    if (day + timedelta(days=1)).day == 1:
        return end
    return min(end, end.replace(day=min(day.day, end.day)))


def year_earlier(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return day.replace(year=day.year - 1, day=28)


class Recount:
    """All reports, each a method that returns rows as dictionaries. One currency: the demo portfolio's."""

    def __init__(self) -> None:
        items: dict[int, Item] = {}
        by_loan: dict[int, list[Item]] = defaultdict(list)
        for row in Installment.objects.all():
            item = Item(row.due_on, {kind: getattr(row, f"{kind}_cents") for kind in KINDS})
            items[row.id] = item
            by_loan[row.loan_id].append(item)
        events = {event.key: event for event in LoanEvent.objects.select_related("loan", "repayment")}
        for row in Allocation.objects.filter(kind="paid"):
            event = events[row.event_key]
            at, off = event.happened_at, event.loan.written_off_at
            by_receipt = hasattr(event, "repayment")
            cents = {kind: getattr(row, f"{kind}_cents") for kind in KINDS}
            recovered = off is not None and at > off
            items[row.installment_id].parts.append(Part(local(at), recovered, by_receipt, cents))
        paid_out = Loan.objects.exclude(disbursed_at=None).select_related("application__decision")
        self.loans = [Lent(row, by_loan[row.id]) for row in paid_out]
        self.draws = [
            (local(row.paid_out_at), row.received_cents) for row in Draw.objects.filter(state=Draw.State.PAID_OUT)
        ]
        self.receipts = [(local(row.paid_at), row.amount_cents) for row in Receipt.objects.all()]

    def standing(self, day: date) -> list[Lent]:
        return [loan for loan in self.loans if loan.stands(day)]

    def portfolio(self, on: date) -> list[dict[str, Any]]:
        loans = self.standing(on)
        return [
            {
                "currency": "KES",
                "live_loans": len(loans),
                "borrowers": len({loan.row.borrower_id for loan in loans}),
                "gross_portfolio_cents": sum(loan.principal(on) for loan in loans),
                "outstanding_cents": sum(sum(loan.left(on).values()) for loan in loans),
                "overdue_cents": sum(loan.overdue(on) for loan in loans),
                "late_loans": sum(loan.days_late(on) > 0 for loan in loans),
            }
        ]

    def ageing(self, on: date) -> list[dict[str, Any]]:
        loans = self.standing(on)
        gross = sum(loan.principal(on) for loan in loans)
        rows = []
        for name in ORDER[:7]:
            inside = [loan for loan in loans if bucket(loan.days_late(on)) == name]
            cents = sum(loan.principal(on) for loan in inside)
            rows.append(
                {
                    "currency": "KES",
                    "bucket": name,
                    "loans": len(inside),
                    "principal_cents": cents,
                    "overdue_cents": sum(loan.overdue(on) for loan in inside),
                    "portfolio_share": share(cents, gross),
                }
            )
        return rows

    def par(self, on: date) -> list[dict[str, Any]]:
        loans = self.standing(on)
        old = [loan for loan in loans if (on - loan.disbursed_on).days >= 14]
        gross, old_gross = (sum(loan.principal(on) for loan in some) for some in (loans, old))
        lost = sum(
            loan.given_up()["principal"]
            for loan in self.loans
            if loan.written_off_on and year_earlier(on) < loan.written_off_on <= on
        )
        rows = []
        for days in (0, 1, 7, 30, 60, 90):
            at_risk, old_at_risk = (
                sum(loan.principal(on) for loan in some if loan.days_late(on) > days) for some in (loans, old)
            )
            rows.append(
                {
                    "currency": "KES",
                    "more_than_days": days,
                    "at_risk_cents": at_risk,
                    "gross_portfolio_cents": gross,
                    "par": share(at_risk, gross),
                    "par_with_restructured": share(at_risk, gross),  # nothing is restructured in these books
                    "par_with_write_offs": share(at_risk + lost, gross + lost),
                    "par_without_young": share(old_at_risk, old_gross),
                }
            )
        return rows

    def vintage_weeks(self, on: date) -> list[dict[str, Any]]:
        return self._vintages(on, 365, lambda day: day - timedelta(days=day.weekday()))

    def vintage_months(self, on: date) -> list[dict[str, Any]]:
        return self._vintages(on, 730, month_start)

    def _vintages(self, on: date, days_back: int, cohort_of: Any) -> list[dict[str, Any]]:
        cells: dict[tuple[date, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        for loan in self.loans:
            if (on - loan.disbursed_on).days >= days_back:
                continue
            for days in (0, 1, 3, 7, 14, 30, 60, 90, 180):
                day = loan.last_due_on + timedelta(days=days)
                if day <= on:
                    cell = cells[cohort_of(loan.disbursed_on), days]
                    cell[0] += 1
                    cell[1] += loan.lent()
                    cell[2] += loan.lent() - loan.repaid_principal(day)
        return [
            {
                "currency": "KES",
                "cohort": cohort,
                "days_since_due": days,
                "loans": loans,
                "principal_cents": lent,
                "unpaid_cents": unpaid,
                "unpaid_share": share(unpaid, lent),
            }
            for (cohort, days), (loans, lent, unpaid) in sorted(cells.items())
        ]

    def rolled(self, first: date, last: date) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
        """Return cents and loans by bucket at the first and place at the last day."""
        cents: Counter[tuple[str, str]] = Counter()
        loans: Counter[tuple[str, str]] = Counter()
        for loan in self.standing(first):
            start, had, still = bucket(loan.days_late(first)), loan.principal(first), loan.principal(last)
            is_lost = loan.written_off_on is not None and first < loan.written_off_on <= last
            lost = loan.given_up()["principal"] if is_lost else 0
            end = bucket(loan.days_late(last)) if loan.stands(last) else "written off" if is_lost else "repaid"
            loans[start, end] += 1
            if loan.stands(last):
                cents[start, end] += still
            cents[start, "written off"] += lost
            cents[start, "repaid"] += had - still - lost
        return cents, loans

    def roll_rates(self, on: date) -> list[dict[str, Any]]:
        cents, loans = self.rolled(month_earlier(on), on)
        had: Counter[str] = Counter()
        for (start, _), part in cents.items():
            had[start] += part
        pairs = {pair for pair in cents | loans if cents[pair] or loans[pair]}
        return [
            {
                "currency": "KES",
                "from_bucket": start,
                "to_bucket": end,
                "loans": loans[start, end],
                "principal_cents": cents[start, end],
                "roll_rate": share(cents[start, end], had[start]),
            }
            for start, end in sorted(pairs, key=lambda pair: (ORDER.index(pair[0]), ORDER.index(pair[1])))
        ]

    def first_payment_default(self, on: date) -> list[dict[str, Any]]:
        """The counts only: their shares and intervals are checked by hand elsewhere."""
        counted: dict[tuple[date, str], Counter[str]] = defaultdict(Counter)
        for loan in self.loans:
            decision = loan.row.application.decision
            first_due = min(item.due_on for item in loan.items)
            first = [item for item in loan.items if item.due_on == first_due]
            cell = month_start(loan.disbursed_on), decision.model_version or "none"
            for days in (7, 30):
                day = first_due + timedelta(days=days)
                if day <= on:
                    paid = sum(item.paid(kind, day) for item in first for kind in KINDS)
                    counted[cell][f"loans_{days}"] += 1
                    counted[cell][f"missed_{days}"] += paid < sum(item.total for item in first)
        names = ("loans_7", "missed_7", "loans_30", "missed_30")
        return [
            {"cohort": cohort, "model_version": version} | {name: count[name] for name in names}
            for (cohort, version), count in sorted(counted.items())
        ]

    def months(self, on: date) -> list[tuple[date, date]]:
        firsts = [month_start(on, back) for back in range(11, -1, -1)]
        return [(first, min(on, month_start(first, -1) - timedelta(days=1))) for first in firsts]

    def collections(self, on: date) -> list[dict[str, Any]]:
        rows = []
        items = [item for loan in self.loans if loan.disbursed_on <= on for item in loan.items]
        for first, last in self.months(on):
            due = [item for item in items if first <= item.due_on <= last]
            total = sum(item.total for item in due)
            in_time = sum(item.paid(kind, item.due_on) for item in due for kind in KINDS)
            paid = sum(item.paid(kind, on, recovered=True) for item in due for kind in KINDS)
            rows.append(
                {
                    "currency": "KES",
                    "month": first,
                    "due_cents": total,
                    "in_time_cents": in_time,
                    "paid_cents": paid,
                    "in_time_share": share(in_time, total),
                    "efficiency": share(paid, total),
                }
            )
        return rows

    def provisions(self, on: date) -> list[dict[str, Any]]:
        bands = CountryPack.objects.get(country="KE").rules["provisioning"]["bands"]
        names = [name for name, _ in arrears.CLASSES]
        classes = [
            {"class": name, "from_days": band["from_days_past_due"], "rate": band["rate"]}
            for name, band in zip(names, bands, strict=True)
        ]
        until = [one["from_days"] for one in classes[1:]] + [10**6]
        rows = []
        for one, end in zip(classes, until, strict=True):
            inside = [loan for loan in self.standing(on) if one["from_days"] <= loan.days_late(on) < end]
            cents = sum(loan.principal(on) for loan in inside)
            provision = (cents * Decimal(one["rate"])).quantize(Decimal(1), ROUND_HALF_UP)
            rows.append(
                {
                    "currency": "KES",
                    "class": one["class"],
                    "from_days": one["from_days"],
                    "loans": len(inside),
                    "principal_cents": cents,
                    "rate": Decimal(one["rate"]).quantize(Decimal("0.000001")),
                    "provision_cents": int(provision),
                }
            )
        return rows

    def expected_loss(self, on: date) -> list[dict[str, Any]]:
        """Money rolls on for two hundred years instead of being solved for."""
        days = [on]
        for _ in range(12):
            days.append(month_earlier(days[-1]))
        rolled: Counter[tuple[str, str]] = Counter()
        for last, first in pairwise(days):
            rolled += self.rolled(first, last)[0]
        seen: Counter[str] = Counter()
        for (start, _), cents in rolled.items():
            seen[start] += cents
        recovery = self._recovery(on)
        rows = []
        for row in self.ageing(on):
            chance = self._chance(row["bucket"], rolled, seen)
            rows.append(
                {
                    "bucket": row["bucket"],
                    "principal_cents": row["principal_cents"],
                    "observed_cents": seen[row["bucket"]],
                    "chance_of_loss": chance,
                    "recovery": float(recovery),
                    "expected_loss_cents": row["principal_cents"] * chance * (1 - float(recovery)),
                }
            )
        return rows

    def _chance(self, start: str, rolled: Counter[tuple[str, str]], seen: Counter[str]) -> float:
        where, lost = {start: 1.0}, 0.0
        for _ in range(2400):
            lost += sum(where.pop(name, 0.0) for name in LOST)
            moved: dict[str, float] = defaultdict(float)
            for begin, part in where.items():
                if not seen[begin]:
                    moved[ORDER[ORDER.index(begin) + 1]] += part
                for end in ORDER[:-1]:
                    moved[end] += part * rolled[begin, end] / (seen[begin] or 1)
            where = moved
        return lost

    def _recovery(self, on: date) -> Fraction:
        unpaid = later = 0
        for loan in self.loans:
            day = loan.last_due_on + timedelta(days=91)
            if on - timedelta(days=730) <= day <= on:
                unpaid += loan.lent() - loan.repaid_principal(day)
                later += loan.repaid_principal(on) - loan.repaid_principal(day)
        return Fraction(later, unpaid) if unpaid else Fraction(0)

    def write_offs(self, on: date) -> list[dict[str, Any]]:
        rows = []
        for first, last in self.months(on):
            lost = [loan for loan in self.loans if loan.written_off_on and first <= loan.written_off_on <= last]
            back = [
                part for loan in self.loans for part in loan.parts if part.recovered and first <= part.on <= last
            ]
            ends = (first - timedelta(days=1), last)
            both = sum(loan.principal(day) for day in ends for loan in self.loans)
            principal = sum(loan.given_up()["principal"] for loan in lost)
            rows.append(
                {
                    "currency": "KES",
                    "month": first,
                    "loans": len(lost),
                    "principal_cents": principal,
                    "written_off_cents": sum(sum(loan.given_up().values()) for loan in lost),
                    "recovered_cents": sum(part.total for part in back),
                    "recovered_principal_cents": sum(part.cents["principal"] for part in back),
                    "average_portfolio_cents": both // 2,
                    "write_off_ratio": share(2 * principal, both),
                }
            )
        return rows

    def cash_flow(self, on: date) -> list[dict[str, Any]]:
        rows = []
        for first, last in self.months(on):
            out = sum(loan.paid_out() for loan in self.loans if first <= loan.disbursed_on <= last)
            out += sum(cents for day, cents in self.draws if first <= day <= last)
            received = sum(cents for day, cents in self.receipts if first <= day <= last)
            paid = [part for loan in self.loans for part in loan.parts if part.by_receipt]
            parts = [part for part in paid if first <= part.on <= last]
            by_kind = {f"{kind}_cents": sum(part.cents[kind] for part in parts) for kind in KINDS}
            rows.append(
                {
                    "currency": "KES",
                    "month": first,
                    "paid_out_cents": out,
                    "received_cents": received,
                    **by_kind,
                    "recovered_cents": sum(part.total for part in parts if part.recovered),
                    "kept_cents": received - sum(by_kind.values()),
                    "refunded_cents": 0,
                    "net_cents": received - out,
                }
            )
        return rows
