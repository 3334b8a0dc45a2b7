"""Customers who borrow again over a network that drops them: how many come to the end.

Each hop is dropped with the same chance, half of them on the way to us and half on the way back. A customer who was
dropped dials again, as often as their patience lasts, and goes on as the screen says; `without_resume` counts those
who were never dropped, since without it the others would have to begin anew. Everything behind the phone is the
product's own; only who decides is fixed, so that a refusal is not taken for a drop.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from django.test import Client

from lending.models import Application, Borrower, Loan
from tests import factories
from tests.phone import Phone

CODE = "*384*77#"
PATIENCE = 3  # dials in all
MOST_HOPS = 30
BEFORE = "ussd:before:"


@dataclass
class Outcome:
    """What came of some journeys."""

    journeys: int = 0
    completed: int = 0
    completed_without_resume: int = 0
    hops: int = 0
    dropped: int = 0
    applications: int = 0
    borrowers_with_two: int = 0

    def as_json(self) -> dict[str, float]:
        return {
            **self.__dict__,
            "share": round(self.completed / self.journeys, 4),
            "share_without_resume": round(self.completed_without_resume / self.journeys, 4),
        }


class Dropped(Exception):
    """The line is gone."""


def run(borrowers: list[Borrower], drop: float, luck: Random) -> Outcome:
    """Let each borrower try to borrow once; return how it went."""
    outcome = Outcome(journeys=len(borrowers))
    for borrower in borrowers:
        caller = Caller(Phone(Client(), borrower.msisdn), drop, luck)
        dials = caller.borrows()
        outcome.hops += caller.hops
        outcome.dropped += caller.dropped
        outcome.completed += dials > 0
        outcome.completed_without_resume += dials == 1
    ids = [borrower.id for borrower in borrowers]
    asked = Application.objects.filter(borrower__in=ids).exclude(origin__startswith=BEFORE)
    outcome.applications = asked.count()
    loans = list(Loan.objects.filter(borrower__in=ids).values_list("borrower", flat=True))
    outcome.borrowers_with_two = len(loans) - len(set(loans))
    return outcome


class Caller:
    """Reads the screen and answers it, and dials again when the line is gone."""

    def __init__(self, phone: Phone, drop: float, luck: Random) -> None:
        self.phone, self.drop, self.luck = phone, drop, luck
        self.hops = self.dropped = 0

    def borrows(self) -> int:
        """Return with which dial the loan was asked for; 0 if patience ran out before."""
        for dial in range(1, PATIENCE + 1):
            try:
                self._until_done()
                return dial
            except Dropped:
                self.dropped += 1
                continue
        return 0

    def _until_done(self) -> None:
        self._hop(lambda: self.phone.dials(CODE))
        for _ in range(MOST_HOPS):
            if not self.phone.is_open or "on its way" in self.phone.text:
                return
            answer = self._answer(self.phone.text)
            self._hop(lambda typed=answer: self.phone.types(typed))  # type: ignore[misc]
        raise AssertionError(f"no way to the end: {self.phone.text!r}")

    def _hop(self, post: Callable[[], object]) -> None:
        """Send one hop, if it arrives; read what comes back, if it comes."""
        self.hops += 1
        if self.luck.random() >= self.drop:
            post()
            return
        if self.luck.random() < 0.5:
            post()  # it arrived, and the answer did not
        raise Dropped

    @staticmethod
    def _answer(screen: str) -> str:
        """Return what somebody types who wants KES 500 and reads one screen at a time."""
        if "PIN" in screen:
            return factories.PIN
        if "How much" in screen or "Loan, or amount" in screen:
            return "500"
        if found := re.search(r"^(\d) Go on$", screen, re.MULTILINE):
            return found[1]
        raise AssertionError(f"a customer does not know what to type: {screen!r}")


def registered(count: int, first: int = 0) -> Iterator[Borrower]:
    """Register so many customers, each of whom asked for a loan before."""
    for number in range(first, first + count):
        borrower = factories.register("Amina Wanjiru", f"25471{number:07d}", f"{30_000_000 + number}")
        factories.decide(factories.apply(borrower, origin=f"{BEFORE}{number}"), "decline")
        factories.FixedScorer.says = factories.verdict()
        yield borrower
