"""The longest that savings may have to say, for measuring: nothing here is read from a database."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from lending.models import (
    GroupMember,
    GroupWithdrawal,
    SavingsAccount,
    SavingsGroup,
    SavingsInstruction,
    SavingsMovement,
    SavingsProductVersion,
)
from lending.rules import paybill_account as paybill
from lending.selectors.groups import Part, Waiting
from lending.selectors.loans import StatementLine
from lending.selectors.savings_versions import TermsChange
from ussd import samples, saving_words
from ussd.engine import Sample
from ussd.saver import Saver

MOST = samples.MOST_CENTS
ANSWERS = samples.ANSWERS | {
    "account_id": 1,
    "goal": "Emergency",
    "weekly_cents": 89_999_900,
    "days": 360,
    "hours": 168,
    "keep_cents": MOST,
    "cost_cents": MOST,
    "withdrawal_id": 1,
    "purpose": "other",
}


def version(**changes: Any) -> SavingsProductVersion:
    terms = {
        "minimum_balance_cents": MOST - 1,
        "dormant_after_days": 365,
        "interest": {
            "balance": "daily",
            "tiers_apply_to": "part",
            "tiers": [{"from_cents": 0, "rate": "0.123457"}, {"from_cents": 1, "rate": "0.123458"}],
            "credited": "monthly",
            "tax_rate": "0.12345",
        },
        "goal": {"suggest_from": "0.01", "suggest_to": "0.02"},
        "lock": {"exit_after_hours": [24, 72, 168], "longest_days": 365},
        "save_first": None,
    } | changes
    return SavingsProductVersion(
        id=1, code="longest", version=1, currency="KES", country="KE", partner="Umoja Bank of Kenya", terms=terms
    )


def pot(number: int = 1, **changes: Any) -> SavingsAccount:
    goal = (*saving_words.GOALS, samples.NAME[:30])[-number]
    values: dict[str, Any] = {
        "id": number,
        "borrower": samples.borrower(),
        "product_version": version(),
        "partner": "Umoja Bank of Kenya",
        "currency": "KES",
        "goal": goal,
        "target_cents": MOST,
        "balance_cents": MOST,
        "held_cents": 1,
        "accrued_parts": MOST * 365_000_000,
    }
    return SavingsAccount(**values | changes)


def group_account(number: int = 1) -> SavingsAccount:
    group = SavingsGroup(id=number, name=f"{number}{samples.NAME[:39]}", approvals_needed=12)
    return pot(number, borrower=None, group=group, goal="", target_cents=None)


def asked(**changes: Any) -> GroupWithdrawal:
    member = GroupMember(id=1, borrower=samples.borrower())
    values: dict[str, Any] = {
        "id": 1,
        "account": group_account(),
        "kind": GroupWithdrawal.Kind.TO_MEMBER,
        "amount_cents": MOST,
        "purpose": "other",
        "asked_by": member,
        "to_member": member,
        "approvals_needed": 12,
        "state": GroupWithdrawal.State.ASKED,
    }
    return GroupWithdrawal(**values | changes)


class LongestSaver(Saver):
    """Savings put in place instead of read."""

    def __init__(
        self,
        pots: list[SavingsAccount],
        group_accounts: list[SavingsAccount] | None = None,
        stays_cents: int | None = None,
        has_moved: bool = True,
        said: bool = False,
    ) -> None:
        super().__init__(samples.borrower(), samples.AT, samples.DAY, "KE")
        self.kept, self.together, self.stays, self.has_moved = pots, group_accounts or [], stays_cents, has_moved
        self.said = said

    def pots(self) -> list[SavingsAccount]:
        return self.kept

    def product(self) -> SavingsProductVersion:
        return version()

    def suggestions(self) -> tuple[int, int]:
        return MOST - 1, MOST

    def changes(self, account: SavingsAccount) -> list[TermsChange]:
        return samples.terms_changes()

    def on_its_way_cents(self, account: SavingsAccount) -> int:
        return MOST if self.has_moved else 0

    def month(self, account: SavingsAccount) -> tuple[int, int]:
        return MOST, MOST

    def lines(self, account: SavingsAccount) -> list[SavingsMovement]:
        kinds = SavingsMovement.Kind
        moved = [
            SavingsMovement(kind=kind, amount_cents=MOST, value_on=samples.DAY)
            for kind in (kinds.DEPOSIT, kinds.WITHDRAWAL, kinds.INTEREST, kinds.TAX, kinds.INTEREST)
        ]
        return moved if self.has_moved else []

    def stays_cents(self, account: SavingsAccount) -> int | None:
        return self.stays

    def group_accounts(self) -> list[SavingsAccount]:
        return self.together

    def part(self, account: SavingsAccount) -> Part:
        return Part(MOST, MOST, MOST)

    def waiting(self, account: SavingsAccount) -> list[Waiting]:
        return (
            [
                Waiting(asked(id=number, amount_cents=MOST - number + 1), 11, 11, self.said)
                for number in (1, 2, 3, 4, 5)
            ]
            if self.has_moved
            else []
        )

    def paybill_account(self, account: SavingsAccount) -> str:
        return paybill.write("GRP", 99_999_999)


samples.FURTHER["saver"] = lambda: LongestSaver([pot(1), pot(2)], [group_account(3)])


def _sample(saver: LongestSaver, **known: Any) -> Sample:
    return Sample(samples.LongestFacts(saver=saver, **known), ANSWERS)


def nothing_saved() -> Sample:
    return _sample(LongestSaver([]))


def saved() -> Sample:
    return _sample(LongestSaver([pot(1), pot(2), pot(3)]))


def plain() -> Sample:
    """An account without a goal, whose product neither pays interest of ours nor locks."""
    return _sample(
        LongestSaver([pot(goal="", target_cents=None, product_version=version(interest=None, lock=None))])
    )


def nothing_moved() -> Sample:
    return _sample(LongestSaver([pot()], has_moved=False))


def _lock(**changes: Any) -> Sample:
    locked: dict[str, Any] = {"locked_until": samples.DAY, "exit_after_hours": 168} | changes
    return _sample(LongestSaver([pot(**locked)]))


def locked() -> Sample:
    return _lock()


def key_turned() -> Sample:
    return _lock(exit_asked_at=samples.AT - timedelta(hours=1))


def key_open() -> Sample:
    return _lock(exit_asked_at=samples.AT - timedelta(days=8))


def swept() -> Sample:
    return _sample(LongestSaver([pot()], stays_cents=MOST))


def just_saved() -> Sample:
    """Money for savings came just now, beside a loan."""
    last = StatementLine(samples.AT, "saved", MOST, samples.RECEIPT_NO)
    return Sample(samples.LongestFacts(open_loan=samples.loan(), last_event=last), ANSWERS)


def in_group() -> Sample:
    return _sample(LongestSaver([], [group_account()]))


def in_groups() -> Sample:
    return _sample(LongestSaver([], [group_account(number) for number in (1, 2, 3, 4)]))


def said_in_group() -> Sample:
    return _sample(LongestSaver([], [group_account()], said=True))


def quiet_group() -> Sample:
    return _sample(LongestSaver([], [group_account()], has_moved=False))


def longest_messages() -> Iterator[tuple[str, str]]:
    """Yield every message about savings in the active language with its longest values."""
    for state in (SavingsInstruction.State.OPEN, SavingsInstruction.State.CONFIRMED):
        saving = SavingsInstruction(account=group_account(), amount_cents=MOST, state=state)
        yield f"deposit_received {state}", saving_words.deposit_words(samples.receipt(), saving)
        yield "savings_paid_out", saving_words.paid_out_words(saving)
        yield "savings_not_paid_out", saving_words.not_paid_out_words(saving)
    yield "deposit_kept", saving_words.kept_words(samples.receipt())
    yield "group_joined", saving_words.joined_words(group_account())
    yield "group_asked", saving_words.asked_words(asked())
    for decided in ("approved", "refused", "cancelled"):
        yield f"group_decided {decided}", saving_words.decided_words(asked(state=decided))
