"""What a conversation reads about one customer's savings, and about the groups that they save in."""

from datetime import date, datetime

from lending.models import Borrower, SavingsAccount, SavingsMovement, SavingsProductVersion
from lending.rules.savings import SavingsTerms, read_terms
from lending.selectors import deposits, groups, savings, savings_versions
from lending.selectors.groups import Part, Waiting
from lending.selectors.savings_versions import TermsChange


class Saver:
    """Reads through selectors, anew each time. A subclass puts worst values in their place to measure screens."""

    def __init__(self, borrower: Borrower, at: datetime, today: date, country: str) -> None:
        self.borrower, self.at, self.today, self.country = borrower, at, today, country

    # --- own accounts ---------------------------------------------------------------------------------------
    def pots(self) -> list[SavingsAccount]:
        return savings.pots_of(self.borrower.id)

    def pot(self, account_id: int) -> SavingsAccount | None:
        """Return one of their accounts; None once it is closed, or if it never was theirs."""
        return next((pot for pot in self.pots() if pot.id == account_id), None)

    def product(self) -> SavingsProductVersion:
        """Return the product version under which a goal would be opened today."""
        return savings.product_in_force(self.country, savings.GOAL_PRODUCT, self.today)

    def suggestions(self) -> tuple[int, int]:
        """Return a smaller and a larger deposit for a week."""
        return savings.suggested_deposits(self.borrower, self.product(), self.at)

    def terms(self, account: SavingsAccount) -> SavingsTerms:
        return read_terms(account.product_version.terms)

    def changes(self, account: SavingsAccount) -> list[TermsChange]:
        """Return the terms that are to come for an account, in order."""
        coming = (
            savings_versions.change_to(account, change.version.id)
            for change in savings_versions.coming_changes(account)
        )
        return [change for change in coming if change is not None]

    def on_its_way_cents(self, account: SavingsAccount) -> int:
        return deposits.on_its_way_cents(account.id)

    def month(self, account: SavingsAccount) -> tuple[int, int]:
        """Return the interest credited in this month, and the tax on it."""
        found = savings.statement(account.id, self.today.replace(day=1), self.today)
        return found.interest_cents, found.tax_cents

    def lines(self, account: SavingsAccount) -> list[SavingsMovement]:
        return savings.last_lines(account.id)

    def stays_cents(self, account: SavingsAccount) -> int | None:
        """Return what must stay when an account pays a loan; None while it may not pay any."""
        mandate = savings.mandate_of(account.id)
        return mandate.keep_cents if mandate else None

    # --- groups ---------------------------------------------------------------------------------------------
    def group_accounts(self) -> list[SavingsAccount]:
        return groups.accounts_of(self.borrower)

    def group_account(self, account_id: int) -> SavingsAccount | None:
        return next((one for one in self.group_accounts() if one.id == account_id), None)

    def part(self, account: SavingsAccount) -> Part:
        return groups.part_of(account, self.borrower)

    def waiting(self, account: SavingsAccount) -> list[Waiting]:
        return groups.waiting(account, self.borrower)

    def paybill_account(self, account: SavingsAccount) -> str:
        return deposits.paybill_account(account, self.borrower)
