"""Which messages that nobody asked for a number still wants."""

from datetime import datetime

from lending.fields import blind_index
from lending.models import Borrower, Consent, Preference
from lending.selectors.savings import consented

# Offers are advertising: silence is no consent.
NEED_CONSENT = {Preference.Purpose.OFFERS: Consent.Purpose.MARKETING}


def number_index(msisdn: str) -> str:
    """Return the blind index under which a number's own words are kept."""
    return blind_index("msisdn", msisdn)


def stopped(msisdn: str) -> list[str]:
    """Return the purposes for which a number wants nothing, in the order of the menus."""
    said = Preference.objects.filter(number_index=number_index(msisdn), stopped_at__isnull=False)
    named = set(said.values_list("purpose", flat=True))
    return [purpose for purpose in Preference.Purpose.values if purpose in named]


def may_send(borrower: Borrower, purpose: str, at: datetime) -> bool:
    """Say whether a borrower may be sent something for a purpose without having asked for it."""
    if Preference.objects.filter(
        number_index=number_index(borrower.msisdn), purpose=purpose, stopped_at__isnull=False
    ).exists():
        return False
    needed = NEED_CONSENT.get(Preference.Purpose(purpose))
    return needed is None or consented(borrower.id, needed, at)
