"""Reading about people: their numbers, when they last proved that it was them, and the day of a death."""

from datetime import date, datetime

from lending.models import Application, Borrower, Case, Draw, LoanEvent, SavingsInstruction


def find_borrower(msisdn: str) -> Borrower | None:
    """Return who registered this number, if anybody did."""
    return Borrower.objects.filter(msisdn=msisdn).first()


def numbers_of(identity_index: str) -> list[str]:
    """Return every number that one person registered."""
    return list(Borrower.objects.filter(identity_index=identity_index).values_list("msisdn", flat=True))


def last_proven_at(identity_index: str) -> datetime:
    """Return when a person last did what takes their PIN: registered, applied, drew, or took savings out."""
    moments = [
        Borrower.objects.filter(identity_index=identity_index).values_list("registered_at", flat=True),
        Application.objects.filter(borrower__identity_index=identity_index).values_list("submitted_at", flat=True),
        Draw.objects.filter(loan__identity_index=identity_index).values_list("asked_at", flat=True),
        SavingsInstruction.objects.filter(
            account__borrower__identity_index=identity_index,
            kind=SavingsInstruction.Kind.WITHDRAWAL,
            reference__startswith="ussd:",  # what a close of an account pays out later is no act of theirs
        ).values_list("instructed_at", flat=True),
    ]
    return max(moment for found in moments for moment in found)


def died_on(identity_index: str) -> date | None:
    """Return from which day the recorded death of a person counts: as it was confirmed, else as their loans say."""
    told = Case.objects.filter(
        kind=Case.Kind.DEATH, details__number__in=numbers_of(identity_index), details__has_key="died_on"
    )
    days = [date.fromisoformat(case.details["died_on"]) for case in told]
    facts = LoanEvent.objects.filter(
        loan__identity_index=identity_index, kind=LoanEvent.Kind.DEATH, reversed_by=None
    )
    days = days or [fact.business_date for fact in facts]
    return min(days, default=None)
