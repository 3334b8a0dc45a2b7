"""Registering, and the PIN."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import close_old_connections, connection

from lending.fields import EncryptedField, WrongFieldKey
from lending.models import Borrower, Case, Consent
from lending.rules import identity, pin_waits
from lending.services import people
from tests import factories
from tests.factories import NOON, PIN


class TestRegisterBorrower:
    def test_keeps_one_consent_row_for_each_purpose(self, amina: Borrower) -> None:
        assert dict(Consent.objects.values_list("purpose", "granted")) == factories.CONSENTS

    def test_starts_on_the_first_rung(self, amina: Borrower) -> None:
        assert (amina.rung, amina.limit_cents) == (0, 100_000)

    def test_returns_the_borrower_on_record_when_the_hop_repeats(self, amina: Borrower) -> None:
        assert factories.register().id == amina.id
        assert Consent.objects.count() == len(factories.CONSENTS)

    def test_refuses_a_number_that_belongs_to_another_identity(self, amina: Borrower) -> None:
        with pytest.raises(people.AlreadyRegistered):
            factories.register(national_id="11112222")

    def test_stores_the_national_id_only_sealed(self, amina: Borrower) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT national_id, identity_index FROM lending_borrower")
            sealed, index = cursor.fetchone()
        assert "23456781" not in sealed + index
        assert amina.national_id == "23456781"

    def test_a_wrong_field_key_raises_instead_of_handing_back_rubbish(self, amina: Borrower, settings) -> None:  # type: ignore[no-untyped-def]
        settings.FIELD_KEY = "another key"
        with pytest.raises(WrongFieldKey):
            Borrower.objects.get(id=amina.id)

    def test_a_value_moved_to_another_column_does_not_open(self, amina: Borrower) -> None:
        sealed = Borrower._meta.get_field("national_id").get_prep_value("23456781")
        other = EncryptedField()
        other.model, other.column = Borrower, "full_name"
        with pytest.raises(WrongFieldKey):
            other.from_db_value(sealed, None, None)

    @pytest.mark.parametrize("typed", ["", "7", "  ", "{0}%s", "🙂🙂", "12345", "A" * 61])
    def test_refuses_what_is_no_name(self, law: None, typed: str) -> None:
        with pytest.raises(identity.InvalidName):
            factories.register(name=typed)

    @pytest.mark.parametrize("typed", ["", "12", "1234567890", "12A45678", "٢٣٤٥٦٧٨١", "'; --"])
    def test_refuses_what_is_no_national_id(self, law: None, typed: str) -> None:
        with pytest.raises(identity.InvalidNationalId):
            factories.register(national_id=typed)


@pytest.mark.parametrize(
    "pin",
    [
        "",
        "123",
        "12345",
        "12a4",
        "٢٥٨٠",
        "1234",
        "4321",
        "1111",
        "0000",
        "1990",
        "2004",
        "2547",
        "0101",
        "6781",
        "3456",
    ],
)
def test_refuses_a_pin_that_a_thief_tries_first(pin: str) -> None:
    with pytest.raises(identity.WeakPin):
        identity.refuse_weak_pin(pin, ("254711000101", "23456781"))


class TestCheckPin:
    def test_forgets_failures_after_the_right_pin(self, amina: Borrower) -> None:
        with pytest.raises(people.WrongPin) as wrong:
            people.check_pin(borrower_id=amina.id, pin="9753", at=NOON)
        assert wrong.value.tries_left == 2
        people.check_pin(borrower_id=amina.id, pin=PIN, at=NOON)
        amina.refresh_from_db()
        assert amina.pin_failures == 0

    def test_locks_at_the_third_wrong_pin_and_asks_an_officer(self, amina: Borrower) -> None:
        for _ in range(2):
            with pytest.raises(people.WrongPin):
                people.check_pin(borrower_id=amina.id, pin="9753", at=NOON)
        with pytest.raises(people.PinLocked):
            people.check_pin(borrower_id=amina.id, pin="9753", at=NOON)
        with pytest.raises(people.PinLocked):
            people.check_pin(borrower_id=amina.id, pin=PIN, at=NOON)
        assert Case.objects.get().kind == "pin_locked"

    def lock(self, borrower: Borrower, at: datetime) -> datetime:
        """Type three wrong PINs; return when the lock opens."""
        for _ in range(3):
            with pytest.raises((people.WrongPin, people.PinLocked)):
                people.check_pin(borrower_id=borrower.id, pin="9753", at=at)
        borrower.refresh_from_db()
        assert borrower.pin_is_locked_at(at) and borrower.pin_opens_at is not None
        return borrower.pin_opens_at

    def test_opens_by_itself_later_each_time(self, amina: Borrower) -> None:
        at, waits = NOON, []
        for _ in range(8):
            opens_at = self.lock(amina, at)
            with pytest.raises(people.PinLocked):
                people.check_pin(borrower_id=amina.id, pin=PIN, at=opens_at - timedelta(seconds=1))
            waits.append(opens_at - at)
            at = opens_at
        assert waits == [*pin_waits.WAITS, pin_waits.WAITS[-1], pin_waits.WAITS[-1]]
        assert Case.objects.count() == 1

    def test_begins_anew_after_the_right_pin_and_closes_the_case(self, amina: Borrower) -> None:
        opens_at = self.lock(amina, NOON)
        people.check_pin(borrower_id=amina.id, pin=PIN, at=opens_at)
        amina.refresh_from_db()
        assert (amina.pin_failures, amina.pin_locks, amina.pin_locked_at) == (0, 0, None)
        assert Case.objects.get().resolution == "The customer typed the right PIN."
        assert self.lock(amina, opens_at) - opens_at == pin_waits.WAITS[0]

    def test_a_guess_after_the_wait_counts_as_the_first(self, amina: Borrower) -> None:
        opens_at = self.lock(amina, NOON)
        with pytest.raises(people.WrongPin) as wrong:
            people.check_pin(borrower_id=amina.id, pin="9753", at=opens_at)
        assert wrong.value.tries_left == 2

    def test_comes_back_through_an_officer_and_the_national_id(self, amina: Borrower) -> None:
        Borrower.objects.filter(id=amina.id).update(pin_failures=3, pin_locked_at=NOON)
        officer = get_user_model().objects.create_user("wambui")
        people.reset_pin(borrower_id=amina.id, officer=officer, reason="Came to the office with her ID", at=NOON)
        with pytest.raises(people.WrongIdentity):
            people.choose_pin_after_reset(borrower_id=amina.id, national_id="99999999", new_pin="8264", at=NOON)
        people.choose_pin_after_reset(borrower_id=amina.id, national_id="23456781", new_pin="8264", at=NOON)
        people.check_pin(borrower_id=amina.id, pin="8264", at=NOON)

    def test_a_reset_that_nobody_asked_for_is_refused(self, amina: Borrower) -> None:
        with pytest.raises(people.AlreadyRegistered):
            people.choose_pin_after_reset(borrower_id=amina.id, national_id="23456781", new_pin="8264", at=NOON)


@pytest.mark.django_db(transaction=True)
def test_fifty_parallel_guesses_count_as_three(law: None) -> None:
    amina = factories.register()

    def guess(number: int) -> str:
        close_old_connections()
        try:
            people.check_pin(borrower_id=amina.id, pin=f"{9000 + number}", at=NOON)
            return "right"
        except people.WrongPin:
            return "wrong"
        except people.PinLocked:
            return "locked"
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(50)))
    assert answers.count("wrong") <= 2 and "right" not in answers
    amina.refresh_from_db()
    assert amina.pin_failures == 3 and amina.pin_is_locked
