"""A customer's text as it is answered."""

import re
from dataclasses import dataclass
from datetime import datetime

from lending.models import Borrower
from ussd.understanding import Meaning


@dataclass(frozen=True)
class Asked:
    """One message: what it means, if anything, and `text` with its digits masked."""

    msisdn: str
    borrower: Borrower | None
    meaning: Meaning | None
    text: str
    language: str
    origin: str
    at: datetime

    @property
    def words(self) -> tuple[str, ...]:
        """Return what was said beside the word that was understood."""
        return self.meaning.rest if self.meaning else ()

    @property
    def cents(self) -> int | None:
        """Return the amount that was said. Every currency that we lend in has a hundred parts."""
        return None if self.meaning is None or self.meaning.units is None else self.meaning.units * 100

    @property
    def one_line(self) -> str:
        return " ".join(self.text.split())[:300]


def mask_digits(text: str) -> str:
    """Return a message fit to be kept: people type PINs and ID numbers into SMS, also digit by digit.

    >>> mask_digits("LOAN 500 4826"), mask_digits("pin 4 8-2 6"), mask_digits("48 26")
    ('LOAN 500 ****', 'pin * *-* *', '** **')
    """
    runs = r"\d{4,}|(?<!\d)\d{1,2}(?:[ .,\-]{1,2}\d{1,2})+(?!\d)"
    return re.sub(runs, lambda run: re.sub(r"\d", "*", run[0]), text.replace("\x00", ""))
