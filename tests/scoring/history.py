"""What happened to a borrower before the application, written as facts with dates and nothing else."""

from datetime import date, datetime, timedelta
from itertools import count

from django.utils import timezone

from lending.models import (
    Application,
    BookEntry,
    Borrower,
    Case,
    CountryPack,
    GroupMember,
    Installment,
    Loan,
    LoanEvent,
    Promise,
    Receipt,
    Repayment,
    SavingsAccount,
    SavingsGroup,
    SavingsMovement,
    SavingsProductVersion,
    SweepMandate,
    WalletMovement,
)
from tests import factories
from tests.factories import NAIROBI

_numbers = count(1)


def number() -> str:
    return f"H{next(_numbers)}"


def loan(
    borrower: Borrower,
    paid_out_at: datetime,
    *,
    days_late: int | None = None,
    principal_cents: int = 50_000,
    parts: int = 1,
    written_off_at: datetime | None = None,
) -> Loan:
    """Write one loan of 30 days; `days_late` None is still open, 0 and below was repaid in time."""
    product, pack = factories.usual_product(), CountryPack.objects.get(country="KE")
    cost = {"fee_cents": principal_cents // 20, "tax_cents": principal_cents // 100}
    application = Application.objects.create(
        borrower=borrower, product_version=product, country_pack=pack, origin=number(), reference=number(),
        principal_cents=principal_cents, **cost, apr=1, key_facts_text="", key_facts_language="en",
        key_facts_version="1", key_facts_shown_at=paid_out_at - timedelta(seconds=90), state="approved",
        submitted_at=paid_out_at - timedelta(minutes=1),
    )  # fmt: skip
    due_on = local_date(paid_out_at) + timedelta(days=30)
    settled_at = None if days_late is None else at_noon(due_on + timedelta(days=days_late))
    made = Loan.objects.create(
        borrower=borrower, application=application, product_version=product, country_pack=pack,
        reference=application.reference, identity_index=borrower.identity_index, currency="KES",
        principal_cents=principal_cents, **cost, outstanding_cents=0 if settled_at else principal_cents,
        state="settled" if settled_at else "written_off" if written_off_at else "live",
        approved_at=paid_out_at, disbursed_at=paid_out_at, due_on=due_on, settled_at=settled_at,
        written_off_at=written_off_at,
    )  # fmt: skip
    if settled_at:
        for part in range(parts):
            repay(made, settled_at - timedelta(days=part), made.total_cents // parts)
    return made


def repay(to: Loan, paid_at: datetime, amount_cents: int) -> None:
    receipt = Receipt.objects.create(
        provider="daraja", receipt_no=number(), amount_cents=amount_cents, currency="KES", paid_at=paid_at,
        source="test", borrower=to.borrower, state="allocated", recorded_at=paid_at,
    )  # fmt: skip
    event = LoanEvent.objects.create(
        loan=to, key=f"receipt:daraja:{receipt.receipt_no}", kind="pay", business_date=local_date(paid_at),
        happened_at=paid_at, booked_at=paid_at,
    )  # fmt: skip
    Repayment.objects.create(loan=to, receipt=receipt, event=event, amount_cents=amount_cents, received_at=paid_at)


def extend(to: Loan, at: datetime, days: int) -> None:
    """Write down the plan of a loan, and another one that ends later."""
    for kind, when, due_on in (
        ("disburse", to.disbursed_at, to.due_on),
        ("extend", at, to.due_on + timedelta(days=days)),
    ):
        event = LoanEvent.objects.create(
            loan=to, key=f"{kind}:{number()}", kind=kind, business_date=local_date(when), happened_at=when,
            booked_at=when,
        )  # fmt: skip
        Installment.objects.create(
            loan=to, number=1 + to.installments.count(), event_key=event.key,
            starts_on=local_date(to.disbursed_at), due_on=due_on, principal_cents=to.principal_cents,
        )  # fmt: skip
    Loan.objects.filter(id=to.id).update(due_on=to.due_on + timedelta(days=days))


def cancel(of: Loan, at: datetime) -> None:
    LoanEvent.objects.create(
        loan=of, key=f"cancel:{number()}", kind="cancel", business_date=local_date(at), happened_at=at, booked_at=at
    )


def promise(of: Loan, made_at: datetime, *, kept: bool | None, judged_at: datetime | None = None) -> None:
    """Write down a promise to pay; `kept` None is not judged yet."""
    Promise.objects.create(
        loan=of, borrower=of.borrower, origin=number(), amount_cents=100, promised_on=local_date(made_at),
        channel="phone", made_at=made_at, state={None: "open", True: "kept", False: "broken"}[kept],
        judged_at=None if kept is None else judged_at or made_at + timedelta(days=2),
    )  # fmt: skip


def line(borrower: Borrower, written_at: datetime, kind: str, amount_cents: int, **more: object) -> BookEntry:
    """Write a line into the business book, for the day of writing."""
    return BookEntry.objects.create(
        borrower=borrower, kind=kind, amount_cents=amount_cents, currency="KES", origin=number(),
        happened_on=local_date(written_at), recorded_at=written_at,
        customer="Mary" if kind in BookEntry.OF_CUSTOMERS else "", **more,
    )  # fmt: skip


def take_back(wrong: BookEntry, at: datetime) -> None:
    BookEntry.objects.create(
        borrower=wrong.borrower, kind=wrong.kind, amount_cents=wrong.amount_cents, currency=wrong.currency,
        happened_on=wrong.happened_on, customer=wrong.customer, reverses=wrong, origin=number(), recorded_at=at,
    )  # fmt: skip


def let_sweep(borrower: Borrower, given_at: datetime, withdrawn_at: datetime | None = None) -> None:
    account = SavingsAccount.objects.filter(borrower=borrower).earliest("id")
    SweepMandate.objects.create(
        account=account, keep_cents=0, text_version="1", language="en", given_at=given_at,
        withdrawn_at=withdrawn_at,
    )  # fmt: skip


def join_group(borrower: Borrower, joined_at: datetime, left_at: datetime | None = None) -> GroupMember:
    group = SavingsGroup.objects.create(name=number(), formed_at=joined_at)
    opened_on = local_date(joined_at)
    SavingsAccount.objects.create(
        group=group, product_version=SavingsProductVersion.objects.get(code="jirani-group"), partner="bank",
        currency="KES", accrued_on=opened_on, period_on=opened_on, earns_from=opened_on, used_on=opened_on,
        opened_at=joined_at,
    )  # fmt: skip
    return GroupMember.objects.create(
        group=group, borrower=borrower, identity_index=borrower.identity_index, joined_at=joined_at,
        left_at=left_at,
    )  # fmt: skip


def pay_group(member: GroupMember, moved_at: datetime, amount_cents: int = 1_000) -> None:
    SavingsMovement.objects.create(
        account=member.group.savings_account, member=member, kind="deposit", amount_cents=amount_cents,
        reference=number(), moved_at=moved_at, value_on=moved_at.date(),
    )  # fmt: skip


def change_sim(borrower: Borrower, at: datetime) -> None:
    Case.objects.create(kind="sim_changed", subject_key=f"borrower:{number()}", borrower=borrower, opened_at=at)


def save(borrower: Borrower, moved_at: datetime, amount_cents: int, kind: str = "deposit") -> None:
    opened_on = borrower.registered_at.date()
    account, _ = SavingsAccount.objects.get_or_create(
        borrower=borrower,
        defaults={
            "product_version": SavingsProductVersion.objects.get(code="jirani-save"), "partner": "bank",
            "currency": "KES", "accrued_on": opened_on, "period_on": opened_on, "earns_from": opened_on,
            "used_on": opened_on, "opened_at": borrower.registered_at,
        },
    )  # fmt: skip
    SavingsMovement.objects.create(
        account=account, kind=kind, amount_cents=amount_cents, reference=number(), moved_at=moved_at,
        value_on=moved_at.date(),
    )  # fmt: skip


def move(borrower: Borrower, moved_at: datetime, amount_cents: int, kind: str = "received") -> None:
    WalletMovement.objects.create(borrower=borrower, kind=kind, amount_cents=amount_cents, moved_at=moved_at)


def steady_wallet(borrower: Borrower, until: datetime, weekly_cents: int = 500_000, weeks: int = 13) -> None:
    """Money comes in every week at noon and most of it goes out again."""
    for week in range(weeks):
        day = until - timedelta(days=7 * week + 3)
        move(borrower, day, weekly_cents)
        move(borrower, day + timedelta(days=1), weekly_cents // 2, "cash_out")


def at_noon(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, datetime.min.time()), NAIROBI) + timedelta(hours=12)


def local_date(at: datetime) -> date:
    return at.astimezone(NAIROBI).date()
