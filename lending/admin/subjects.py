"""What a case or a proposal is about: its text names a record ("loan:12"), here is its page."""

from django.db.models import Model

from lending.admin import cells
from lending.models import (
    Borrower,
    Loan,
    PaymentAttempt,
    PaymentIntent,
    ProductVersion,
    Promise,
    Receipt,
    SavingsGroup,
    SavingsProductVersion,
)

MODELS: dict[str, type[Model]] = {
    "attempt": PaymentAttempt,
    "borrower": Borrower,
    "group": SavingsGroup,
    "intent": PaymentIntent,
    "loan": Loan,
    "product": ProductVersion,
    "promise": Promise,
    "receipt": Receipt,
    "savings_product": SavingsProductVersion,
}


def record_of(subject: str) -> Model | None:
    """Return the record that a subject names, if there is a page for it."""
    kind, _, pk = subject.partition(":")
    if kind not in MODELS or not pk.isdecimal():
        return None
    return MODELS[kind]._default_manager.filter(pk=pk).first()


def link(subject: str) -> str:
    """Return a link to what a subject names; a dash where there is no page."""
    found = record_of(subject)
    return cells.link(found, getattr(found, "reference", ""))
