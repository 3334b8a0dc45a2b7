"""What a conversation reads about one customer's business book."""

from datetime import date, datetime, timedelta

from lending.models import BookEntry
from lending.rules.business import Totals
from lending.selectors import business
from lending.selectors.business import Month


class Trader:
    """Reads through selectors, anew each time. A subclass puts worst values in their place to measure screens."""

    def __init__(self, borrower_id: int, at: datetime, today: date, currency: str) -> None:
        self.borrower_id, self.at, self.today, self.currency = borrower_id, at, today, currency

    def day(self) -> Totals:
        """Return what today came to so far."""
        return business.day(self.borrower_id, self.today, self.at)

    def month(self, on: date) -> Month:
        return business.month(self.borrower_id, on, self.at)

    def owed(self) -> dict[str, int]:
        """Return what each customer owes, the largest debt first."""
        return business.owed(self.borrower_id, self.at)

    def weeks(self) -> dict[date, Totals]:
        """Return what the weeks of half a year came to."""
        return business.weeks(self.borrower_id, self.at, self.today - timedelta(weeks=26))

    def last(self) -> BookEntry | None:
        """Return the line that would be taken back."""
        return business.last_standing(self.borrower_id, self.today)
