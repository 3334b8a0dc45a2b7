"""Registering people, and the PIN by which they prove that it is them.

A PIN has 10,000 values, so no hash alone protects it: the pepper lives outside the database, common PINs are
refused, and three wrong guesses lock, longer each time. The count goes up, committed, before the guess is looked
at, so parallel guesses cannot outrun it. Source: docs/domain/pins.md.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from lending import outbox
from lending.fields import blind_index
from lending.models import Borrower, Case
from lending.ports import identity_check
from lending.right_of_way import go_first
from lending.rules import calendar, identity, limits
from lending.selectors import products
from lending.services import audit, cases
from lending.services.consents import record as record_consent

# OWASP's minimum for Argon2id; Django's default would cost half a second and 100 MiB a guess.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
MAX_PIN_FAILURES = 3


class AlreadyRegistered(Exception):
    """The number belongs to a borrower with another identity."""


class IdentityRefused(Exception):
    """The identity check does not accept this national ID with this name."""


class WrongPin(Exception):
    """The PIN is wrong and the borrower may try again."""

    def __init__(self, tries_left: int) -> None:
        super().__init__(f"wrong PIN, {tries_left} tries left")
        self.tries_left = tries_left


class WrongIdentity(WrongPin):
    """The national ID is not the one on record; it counts like a wrong PIN."""


class PinLocked(Exception):
    """Too many wrong guesses, or the number stands still; time opens the way again, or an officer."""


class ReasonMissing(ValueError):
    """An officer's act needs a reason in words."""


def accept_well_formed_identity(*, national_id: str, full_name: str, msisdn: str) -> bool:
    """Accept any well-formed ID: the check of a lender who has no registry to ask yet."""
    return True


def identity_index(national_id: str) -> str:
    """Return the blind index by which one person is one person on any SIM."""
    return blind_index("national_id", national_id)


def lock_borrower(borrower_id: int) -> Borrower:
    """Lock one number, and return it as it is now."""
    return go_first(
        lambda nowait: Borrower.objects.select_for_update(no_key=True, nowait=nowait).get(id=borrower_id)
    )


def lock_person(borrower: Borrower) -> None:
    """Lock every number of one person, in a fixed order: their loan may be on any of them.

    Others may write rows that point to them meanwhile (`no_key`): close of business, which holds the loan and
    books on its borrower, would wait here for a payment that waits there for the loan.
    """
    numbers = Borrower.objects.filter(identity_index=borrower.identity_index).order_by("id")
    go_first(
        lambda nowait: list(numbers.select_for_update(no_key=True, nowait=nowait).values_list("id", flat=True))
    )


@transaction.atomic
def register_borrower(
    *,
    msisdn: str,
    full_name: str,
    national_id: str,
    pin: str,
    language: str,
    consents: Mapping[str, bool],
    text_version: str,
    origin: str,
    at: datetime,
) -> Borrower:
    """Register a person with their consents, one row per purpose, on the first rung of the ladder.

    Repeats safely: the same number with the same national ID returns the borrower on record.

    Raises:
        InvalidName, InvalidNationalId, WeakPin: what was typed cannot be taken.
        IdentityRefused: the registry says no.
        AlreadyRegistered: the number is registered to another identity.
    """
    on = calendar.business_date(at, settings.TIME_ZONE)
    country = products.country_rules(settings.COUNTRY, on)
    name = identity.clean_name(full_name)
    known_id = identity.clean_national_id(national_id, country.national_id.pattern)
    identity.refuse_weak_pin(pin, (msisdn, known_id))
    if known := Borrower.objects.filter(msisdn=msisdn).first():
        if known.identity_index != identity_index(known_id):
            raise AlreadyRegistered(f"number of borrower {known.id}")
        return known
    if not identity_check()(national_id=known_id, full_name=name, msisdn=msisdn):
        raise IdentityRefused
    ladder = products.product_in_force(settings.COUNTRY, on).ladder_cents
    try:
        with transaction.atomic():
            borrower = Borrower.objects.create(
                msisdn=msisdn,
                msisdn_sha256=hashlib.sha256(msisdn.encode()).hexdigest(),
                full_name=name,
                national_id=known_id,
                identity_index=identity_index(known_id),
                language=language,
                limit_cents=limits.limit_at(0, ladder),
                registered_at=at,
            )
    except IntegrityError:
        return _registered_meanwhile(msisdn, known_id)
    Borrower.objects.filter(id=borrower.id).update(pin_hash=_hash(borrower.id, pin))
    for purpose, granted in consents.items():
        record_consent(borrower, purpose, granted, text_version, language, at)
    audit.record("registered", subject=f"borrower:{borrower.id}", borrower=borrower, at=at, origin=origin)
    borrower.refresh_from_db()
    return borrower


def _registered_meanwhile(msisdn: str, national_id: str) -> Borrower:
    known = Borrower.objects.get(msisdn=msisdn)
    if known.identity_index != identity_index(national_id):
        raise AlreadyRegistered(f"number of borrower {known.id}")
    return known


def _peppered(borrower_id: int, pin: str) -> bytes:
    return hmac.new(settings.PIN_PEPPER.encode(), f"{borrower_id}:{pin}".encode(), hashlib.sha256).digest()


def _hash(borrower_id: int, pin: str) -> str:
    return _hasher.hash(_peppered(borrower_id, pin))


def _matches(borrower: Borrower, pin: str) -> bool:
    if not borrower.pin_hash:
        return False
    try:
        return _hasher.verify(borrower.pin_hash, _peppered(borrower.id, pin))
    except VerifyMismatchError:
        return False


def check_pin(*, borrower_id: int, pin: str, at: datetime) -> None:
    """Return if the PIN is right, and forget earlier failures.

    Inside a caller's transaction the count is kept as long as the caller commits.

    Raises:
        WrongPin: with the tries left.
        PinLocked: it was locked before, or this was the last try.
    """
    borrower = _count_attempt(borrower_id, at)
    if _matches(borrower, pin):
        _forget_failures(borrower, at)
        return
    _refuse(borrower, at, WrongPin)


@transaction.atomic
def _count_attempt(borrower_id: int, at: datetime) -> Borrower:
    """Count the guess before looking at it, in one statement: k parallel guesses count k."""
    may_try = Borrower.objects.filter(
        id=borrower_id, pin_locked_at__isnull=True, pin_failures__lt=MAX_PIN_FAILURES, hold=""
    )
    one_more = {"pin_failures": F("pin_failures") + 1}
    if not may_try.update(**one_more) and not (_reopen(borrower_id, at) and may_try.update(**one_more)):
        raise PinLocked
    return Borrower.objects.get(id=borrower_id)


def _reopen(borrower_id: int, at: datetime) -> bool:
    """Take off a lock whose wait is over, and say so; of many guesses at once, one does it."""
    borrower = Borrower.objects.get(id=borrower_id)
    if not borrower.pin_is_locked or borrower.pin_is_locked_at(at):
        return False
    mine = Borrower.objects.filter(id=borrower_id, pin_locked_at=borrower.pin_locked_at)
    return bool(mine.update(pin_locked_at=None, pin_failures=0))


def _forget_failures(borrower: Borrower, at: datetime) -> None:
    """Begin anew after a right PIN; what an officer was asked to do about a lock is done."""
    Borrower.objects.filter(id=borrower.id, pin_locked_at__isnull=True).update(pin_failures=0, pin_locks=0)
    if borrower.pin_locks:
        _close_cases([Case.Kind.PIN_LOCKED], borrower.id, at=at, resolution="The customer typed the right PIN.")


def _close_cases(
    kinds: Sequence[str], borrower_id: int, *, at: datetime, resolution: str, officer: Any = None
) -> None:
    mine = Case.objects.filter(kind__in=kinds, subject_key=f"borrower:{borrower_id}", closed_at__isnull=True)
    mine.update(closed_at=at, closed_by=officer, resolution=resolution[:300])


@transaction.atomic
def _lock_pin(borrower: Borrower, at: datetime) -> None:
    Borrower.objects.filter(id=borrower.id).update(pin_locked_at=at, pin_locks=F("pin_locks") + 1)
    cases.open_case(
        kind=Case.Kind.PIN_LOCKED,
        subject_key=f"borrower:{borrower.id}",
        note="Three wrong PINs. The lock opens by itself; a customer who forgot the PIN needs a reset: speak with "
        "them and check who they are first.",
        borrower=borrower,
        at=at,
    )
    outbox.write(
        "pin_locked", reference=f"pin_locked:{borrower.id}:{at.isoformat()}", borrower_id=borrower.id, at=at
    )


def _refuse(borrower: Borrower, at: datetime, refusal: type[WrongPin]) -> None:
    if borrower.pin_failures >= MAX_PIN_FAILURES:
        _lock_pin(borrower, at)
        raise PinLocked
    raise refusal(MAX_PIN_FAILURES - borrower.pin_failures)


def replace_pin(*, borrower_id: int, new_pin: str, at: datetime) -> None:
    """Set a new PIN for a customer whose old one `check_pin` accepted earlier in the same dialogue.

    One hop carries one PIN, and none is kept between hops, so a dialogue cannot hand over both at once.

    Raises:
        WeakPin: the new one is easy to guess.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    identity.refuse_weak_pin(new_pin, (borrower.msisdn, borrower.national_id))
    _set_pin(borrower, new_pin, "pin_changed", at)


@transaction.atomic
def _set_pin(borrower: Borrower, pin: str, action: str, at: datetime) -> None:
    Borrower.objects.filter(id=borrower.id).update(
        pin_hash=_hash(borrower.id, pin), pin_failures=0, pin_locked_at=None, pin_locks=0
    )
    audit.record(action, subject=f"borrower:{borrower.id}", borrower=borrower, at=at)


@transaction.atomic
def reset_pin(*, borrower_id: int, officer: Any, reason: str, at: datetime) -> None:
    """Open the way back for a locked-out customer: the officer never sees or chooses a PIN.

    At the next dial the customer gives the national ID and chooses a new PIN.

    Raises:
        ReasonMissing: no reason was given.
    """
    if not reason.strip():
        raise ReasonMissing("a PIN reset needs a reason")
    borrower = lock_borrower(borrower_id)
    Borrower.objects.filter(id=borrower_id).update(pin_hash="", pin_failures=0, pin_locked_at=None, pin_locks=0)
    kinds = (Case.Kind.PIN_LOCKED, Case.Kind.NEW_PIN)
    _close_cases(kinds, borrower_id, at=at, resolution=f"PIN reset: {reason}", officer=officer)
    audit.record(
        "pin_reset", subject=f"borrower:{borrower_id}", borrower=borrower, actor=officer, reason=reason, at=at
    )
    outbox.write("pin_reset", reference=f"pin_reset:{borrower_id}:{at.isoformat()}", borrower_id=borrower_id, at=at)


def choose_pin_after_reset(*, borrower_id: int, national_id: str, new_pin: str, at: datetime) -> None:
    """Set a new PIN after an officer's reset, on proof of the national ID.

    Raises:
        WrongIdentity, PinLocked: the ID is not the one on record.
        WeakPin: the PIN is easy to guess.
        AlreadyRegistered: no reset is waiting.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    if borrower.pin_hash:
        raise AlreadyRegistered("no PIN reset is waiting")
    identity.refuse_weak_pin(new_pin, (borrower.msisdn, borrower.national_id))
    counted = _count_attempt(borrower_id, at)
    typed = "".join(national_id.split()).replace("-", "").upper()
    if not hmac.compare_digest(identity_index(typed), counted.identity_index):
        _refuse(counted, at, WrongIdentity)
    _set_pin(borrower, new_pin, "pin_chosen_after_reset", at)


@transaction.atomic
def set_language(*, borrower_id: int, language: str, at: datetime) -> None:
    """Change the language of every screen and message from now on."""
    Borrower.objects.filter(id=borrower_id).update(language=Borrower.Language(language))
