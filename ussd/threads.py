"""What an SMS conversation remembers between two texts: what was asked back, and a code that is to be answered.

One thread a number, for a quarter of an hour. A code is kept as a keyed fingerprint; three wrong answers end it.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from django.conf import settings

from ussd.models import SmsThread

LASTS = timedelta(minutes=15)
MOST_TRIES = 3
CODE_DIGITS = 4


def current(msisdn: str, at: datetime) -> SmsThread | None:
    """Return what a number was asked and has not answered."""
    return SmsThread.objects.filter(msisdn=msisdn, until__gt=at).first()


def ask(msisdn: str, awaiting: str, at: datetime, *, amount_cents: int | None = None, code: str = "") -> None:
    """Remember that a number was asked something; what it was asked before is forgotten."""
    SmsThread.objects.update_or_create(
        msisdn=msisdn,
        defaults={
            "awaiting": awaiting,
            "amount_cents": amount_cents,
            "code_mac": _fingerprint(msisdn, code) if code else "",
            "tries": 0,
            "until": at + LASTS,
        },
    )


def new_code() -> str:
    """Return a code that nobody can foresee."""
    return "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS))


def answers_code(thread: SmsThread, typed: str) -> bool:
    """Say whether a text is the code that was sent; a wrong one counts, and the third ends the thread."""
    if hmac.compare_digest(thread.code_mac, _fingerprint(thread.msisdn, typed)):
        return True
    thread.tries += 1
    if thread.tries >= MOST_TRIES:
        end(thread.msisdn)
    else:
        thread.save(update_fields=["tries"])
    return False


def end(msisdn: str) -> None:
    """Forget what a number was asked."""
    SmsThread.objects.filter(msisdn=msisdn).delete()


def _fingerprint(msisdn: str, code: str) -> str:
    return hmac.new(settings.PIN_PEPPER.encode(), f"sms:{msisdn}:{code}".encode(), hashlib.sha256).hexdigest()
