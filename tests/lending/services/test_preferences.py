"""STOP and START by purpose, also from numbers that nobody registered."""

from datetime import timedelta

import pytest

from lending.models import Borrower, Preference
from lending.selectors.preferences import may_send, stopped
from lending.services import consents, preferences
from tests import factories
from tests.factories import NOON

STRANGER = "254722000999"


def test_nothing_said_means_reminders_and_tips_but_no_offers(amina: Borrower) -> None:
    wanted = [purpose for purpose in Preference.Purpose.values if may_send(amina, purpose, NOON)]
    assert wanted == ["reminders", "tips"]  # she did not agree to offers


def test_offers_need_an_agreement_and_no_stop(amina: Borrower) -> None:
    said = {"text_version": "1", "language": "en", "at": NOON}
    consents.answer(borrower_id=amina.id, purpose="marketing", granted=True, **said)
    assert may_send(amina, "offers", NOON)
    preferences.stop(msisdn=amina.msisdn, at=NOON, purposes=["offers"])
    assert not may_send(amina, "offers", NOON) and may_send(amina, "reminders", NOON)
    preferences.start(msisdn=amina.msisdn, at=NOON, purposes=["offers"])
    assert may_send(amina, "offers", NOON)
    consents.answer(borrower_id=amina.id, purpose="marketing", granted=False, **said | {"at": NOON + timedelta(1)})
    assert not may_send(amina, "offers", NOON + timedelta(days=2))


def test_a_stop_of_a_stranger_holds_when_they_register(law: None) -> None:
    preferences.stop(msisdn=STRANGER, at=NOON)
    someone = factories.register("Cheptoo Koech", STRANGER, "23456783", consents={"marketing": True})
    assert not any(may_send(someone, purpose, NOON) for purpose in Preference.Purpose.values)


def test_stopping_again_keeps_the_first_day_and_starting_again_changes_nothing(db: None) -> None:
    preferences.start(msisdn=STRANGER, at=NOON)
    assert not Preference.objects.exists()
    for day in range(2):
        preferences.stop(msisdn=STRANGER, at=NOON + timedelta(days=day))
    assert set(Preference.objects.values_list("stopped_at", flat=True)) == {NOON}
    preferences.start(msisdn=STRANGER, at=NOON)
    assert stopped(STRANGER) == []


def test_no_row_holds_the_number_itself(db: None) -> None:
    preferences.stop(msisdn=STRANGER, at=NOON)
    assert all(STRANGER not in str(row) for row in Preference.objects.values())


def test_there_is_no_other_purpose(db: None) -> None:
    with pytest.raises(ValueError, match="gossip"):
        preferences.stop(msisdn=STRANGER, at=NOON, purposes=["gossip"])
