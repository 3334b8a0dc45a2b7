"""Abuse of each kind: refused in words, counted, shown to officers; and an honest customer is served meanwhile."""

import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from lending.models import Application, Borrower, Case, OutboxMessage
from lending.selectors.preferences import stopped
from tests import factories
from tests.phone import Phone
from ussd import guard, sessions
from ussd.models import AbuseSign, Hop, IncomingSms, Session, Sms

Kind = AbuseSign.Kind


@pytest.fixture
def floods_are_refused(settings: Any, nobody_was_counted_before: None) -> None:
    settings.REFUSE_FLOODS = True


@pytest.fixture
def aminas_phone(client: Client, amina: Borrower) -> Phone:
    return Phone(client, amina.msisdn)


def signs(kind: str) -> list[AbuseSign]:
    return list(AbuseSign.objects.filter(kind=kind))


def honest(client: Client, brian: Borrower) -> None:
    """Brian, in the same minute, through the same gateway, is asked for his PIN and believed."""
    Phone(client, brian.msisdn).dials("*384*77#").sees("1 Loan").types("1", "500", "5", "2").sees("PIN")


def post(client: Client, secret: str, body: bytes = b"", where: str = "ussd") -> Any:
    path = f"/gateways/africastalking/{secret}/{where}"
    return client.generic("POST", path, body, content_type="application/x-www-form-urlencoded")


@pytest.mark.usefixtures("floods_are_refused")
class TestAFloodOfOneNumber:
    def test_is_told_to_wait_while_others_are_served(self, aminas_phone: Phone, brian: Borrower) -> None:
        most = guard.LIMITS[Kind.FLOOD_NUMBER].most
        aminas_phone.dials("*384*77#")
        for _ in range(most + 5):
            aminas_phone.repeats()
        aminas_phone.ends_with("Wait a minute, then dial *384*77#", "Subiri")
        (sign,) = signs(Kind.FLOOD_NUMBER)
        assert sign.msisdn == aminas_phone.msisdn and sign.times == 4
        honest(aminas_phone.client, brian)

    def test_ends_with_its_minute(self, amina: Borrower) -> None:
        at = timezone.now().replace(second=0)
        served = [
            guard.admit(gateway="nalo", msisdn=amina.msisdn, begins=False, at=at)
            for _ in range(guard.LIMITS[Kind.FLOOD_NUMBER].most + 1)
        ]
        assert served.count(False) == 1 and served[-1] is False
        assert guard.admit(gateway="nalo", msisdn=amina.msisdn, begins=False, at=at + timedelta(minutes=1))


@pytest.mark.usefixtures("floods_are_refused")
class TestAFloodThroughAGateway:
    def test_puts_off_those_who_begin_and_serves_those_who_are_in(
        self, aminas_phone: Phone, brian: Borrower, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        few = guard.Limit(3, timedelta(minutes=1), "test")
        monkeypatch.setitem(guard.LIMITS, Kind.FLOOD_GATEWAY, few)
        aminas_phone.dials("*384*77#").types("1", "500", "5", "2").sees("PIN")
        Phone(aminas_phone.client, brian.msisdn).dials("*384*77#").ends_with("Wait a minute")
        assert signs(Kind.FLOOD_GATEWAY)[0].msisdn == ""
        aminas_phone.types("9753").sees("Wrong PIN")


SMS_NUMBER = "254711000101"


def texts(client: Client, message_id: str, text: str = "BAL", msisdn: str = SMS_NUMBER, **fields: str) -> Any:
    """Deliver one SMS as Africa's Talking does."""
    form = {"id": message_id, "from": f"+{msisdn}", "to": settings.SMS_SHORT_CODE, "text": text} | fields
    return client.post(f"/gateways/africastalking/{settings.AFRICASTALKING_SECRET}/sms", form)


@pytest.mark.usefixtures("floods_are_refused")
class TestAFloodOfSms:
    @pytest.fixture
    def few(self, monkeypatch: pytest.MonkeyPatch) -> int:
        monkeypatch.setitem(guard.LIMITS, Kind.FLOOD_SMS, guard.Limit(3, timedelta(hours=1), "test"))
        return 3

    def test_of_one_number_is_told_once_and_then_costs_nothing(
        self, client: Client, amina: Borrower, brian: Borrower, few: int
    ) -> None:
        for number in range(few + 6):
            assert texts(client, f"m{number}", f"BAL {number}").status_code == 200
        assert Sms.objects.filter(kind="answer_balance").count() == few
        (told,) = Sms.objects.filter(kind="answer_too_much")
        assert "Send it again in 10 minutes, or dial *384*77#" in told.text
        assert OutboxMessage.objects.filter(topic="sms_due").count() == few + 1
        (sign,) = signs(Kind.FLOOD_SMS)
        assert sign.msisdn == amina.msisdn and sign.times >= 4
        assert IncomingSms.objects.count() == few, "what is not answered fills no table"

        texts(client, "b1", msisdn=brian.msisdn)
        assert Sms.objects.filter(msisdn=brian.msisdn, kind="answer_balance").exists()
        Phone(client, amina.msisdn).dials("*384*77#").sees("1 Loan")

    def test_does_not_count_copies(self, client: Client, amina: Borrower, few: int) -> None:
        for _ in range(few + 6):
            texts(client, "m1")
        texts(client, "m2", "LIMIT")
        assert Sms.objects.filter(kind="answer_limit").exists() and not signs(Kind.FLOOD_SMS)

    def test_is_over_with_its_time(self, amina: Borrower) -> None:
        at = timezone.now().replace(minute=0, second=0)
        limit = guard.LIMITS[Kind.FLOOD_SMS]

        def admitted(number: int, at: datetime) -> guard.Answer:
            return guard.admit_text(gateway="at", msisdn=amina.msisdn, message_id=f"m{number}", at=at)

        got = [admitted(number, at) for number in range(limit.most + 3)]
        assert got == [guard.Answer.ITS_OWN] * limit.most + [guard.Answer.TOO_MUCH] + [guard.Answer.NONE] * 2
        assert admitted(99, at + limit.window) is guard.Answer.ITS_OWN

    def test_still_hears_stop(self, client: Client, amina: Borrower, few: int) -> None:
        for number in range(few + 2):
            texts(client, f"m{number}", f"BAL {number}")
        texts(client, "stop", "STOP offers")
        assert stopped(amina.msisdn) == ["offers"] and not Sms.objects.filter(kind="answer_stop").exists()

    def test_through_a_gateway_comes_again_and_loses_nothing(
        self, client: Client, amina: Borrower, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(guard.LIMITS, Kind.FLOOD_SMS_GATEWAY, guard.Limit(1, timedelta(minutes=1), "test"))
        assert texts(client, "m1").status_code == 200
        assert texts(client, "m2", "LIMIT").status_code == 503
        assert signs(Kind.FLOOD_SMS_GATEWAY)[0].msisdn == ""
        monkeypatch.setitem(guard.LIMITS, Kind.FLOOD_SMS_GATEWAY, guard.Limit(9, timedelta(minutes=1), "test"))
        assert texts(client, "m2", "LIMIT").status_code == 200
        assert Sms.objects.filter(kind="answer_limit").exists()


class TestOddSms:
    def test_other_words_under_a_known_id_do_nothing_and_are_counted(self, client: Client, amina: Borrower) -> None:
        texts(client, "m1", "BAL")
        texts(client, "m1", "STOP")
        texts(client, "m1", "BAL", msisdn="254711000102")
        assert Sms.objects.count() == 1 and not stopped(amina.msisdn)
        assert {sign.msisdn for sign in signs(Kind.SMS_ODD)} == {amina.msisdn, "254711000102"}

    def test_a_copy_is_nothing_odd(self, client: Client, amina: Borrower) -> None:
        texts(client, "m1", "BAL")
        texts(client, "m1", " BAL ")
        assert not AbuseSign.objects.exists()

    def test_an_old_one_that_comes_again_is_a_replay(self, client: Client, amina: Borrower) -> None:
        texts(client, "m1")
        IncomingSms.objects.update(received_at=timezone.now() - guard.REPLAY_AFTER - timedelta(seconds=1))
        for _ in range(guard.LIMITS[Kind.REPLAYED].most + 1):
            texts(client, "m1")
        assert signs(Kind.REPLAYED)[0].msisdn == amina.msisdn and Sms.objects.count() == 1

    def test_one_to_another_number_is_answered_and_counted(self, client: Client, amina: Borrower) -> None:
        texts(client, "m1", to="20999")
        assert signs(Kind.SMS_ODD) and Sms.objects.filter(kind="answer_balance").exists()

    def test_one_that_cannot_be_read_is_refused_and_counted(self, client: Client, law: None) -> None:
        for number in range(guard.LIMITS[Kind.UNREADABLE].most + 1):
            assert texts(client, f"m{number}", **{"from": "M-PESA"}).status_code == 400
        assert signs(Kind.UNREADABLE)
        assert texts(client, "m", "x" * 40_000).status_code == 400
        assert signs(Kind.OVERSIZE)


class TestForgedCalls:
    def test_find_nothing_and_are_counted(self, client: Client, amina: Borrower, brian: Borrower) -> None:
        for _ in range(guard.LIMITS[Kind.FORGED].most):
            assert post(client, "guess").status_code == 404
        assert not signs(Kind.FORGED)
        for _ in range(5):
            assert post(client, "guess").status_code == 404
        (sign,) = signs(Kind.FORGED)
        assert (sign.gateway, sign.msisdn) == ("africastalking", "")
        assert guard.LIMITS[Kind.FORGED].most < sign.times <= 10
        honest(client, brian)

    def test_of_every_door_count(self, client: Client, amina: Borrower) -> None:
        for where in ("ussd", "ussd-events", "sms", "sms-reports", "sms-optouts", "ussd"):
            assert post(client, "guess", where=where).status_code == 404
        assert signs(Kind.FORGED)


class TestCallsThatCannotBeRead:
    def test_that_are_too_large_are_refused_in_words_and_counted(self, client: Client, brian: Borrower) -> None:
        response = post(client, settings.AFRICASTALKING_SECRET, b"text=" + b"1" * 40_000)
        assert response.status_code == 200 and response.content.startswith(b"END Sorry")
        assert signs(Kind.OVERSIZE)
        honest(client, brian)

    def test_that_make_no_sense_are_counted_when_they_are_many(self, client: Client, brian: Borrower) -> None:
        for _ in range(guard.LIMITS[Kind.UNREADABLE].most + 1):
            assert post(client, settings.AFRICASTALKING_SECRET, b"\xff").content.startswith(b"END ")
        assert signs(Kind.UNREADABLE)
        honest(client, brian)


def test_a_session_of_one_number_used_by_another_is_counted(aminas_phone: Phone, brian: Borrower) -> None:
    aminas_phone.dials("*384*77#").types("1", "500", "5", "2").sees("PIN")
    aminas_number, aminas_phone.msisdn = aminas_phone.msisdn, brian.msisdn
    aminas_phone.repeats().ends_with("Sorry")
    (sign,) = signs(Kind.OTHERS_SESSION)
    assert sign.msisdn == brian.msisdn
    aminas_phone.msisdn = aminas_number
    aminas_phone.repeats().sees("PIN")
    honest(aminas_phone.client, brian)


def test_a_call_of_long_ago_gets_its_answer_changes_nothing_and_is_counted(
    aminas_phone: Phone, brian: Borrower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "DECISION_S", 0.0)
    aminas_phone.dials("*384*77#").types("1", "500", "5", "2", "2580").ends_with("We are deciding")
    shown = aminas_phone.raw
    Hop.objects.update(answered_at=timezone.now() - guard.REPLAY_AFTER - timedelta(seconds=1))
    for _ in range(guard.LIMITS[Kind.REPLAYED].most + 1):
        assert aminas_phone.repeats().raw == shown
    assert signs(Kind.REPLAYED) and Application.objects.count() == 1
    honest(aminas_phone.client, brian)


@pytest.mark.parametrize("behind", ["1*500*5*2", "500"])
def test_a_pin_in_a_dial_string_is_not_taken_and_is_counted(aminas_phone: Phone, behind: str) -> None:
    aminas_phone.dials(f"*384*77*{behind}*2580#").sees("KES 500" if "5*2" in behind else "What is it for?")
    (sign,) = signs(Kind.PIN_DIALLED)
    assert "2580" not in str(AbuseSign.objects.values().get())
    assert sign.msisdn == aminas_phone.msisdn and not Application.objects.exists()


@pytest.mark.parametrize("behind", ["1*1000", "1000", "1*5*1000"])
def test_an_amount_in_a_dial_string_is_no_pin(aminas_phone: Phone, behind: str) -> None:
    aminas_phone.dials(f"*384*77*{behind}#")
    assert not signs(Kind.PIN_DIALLED)


def test_an_amount_that_is_dialled_leads_to_what_it_costs(aminas_phone: Phone) -> None:
    aminas_phone.dials("*384*77*1*1000#").sees("What is it for?").types("5").sees("You get KES 1,000")
    assert not signs(Kind.PIN_DIALLED)


def test_very_many_unknown_numbers_are_told_to_officers_and_served(
    client: Client, law: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(guard.LIMITS, Kind.STRANGERS, guard.Limit(2, timedelta(hours=1), "test"))
    for number in range(5):
        Phone(client, f"25471100020{number}").dials("*384*77#").sees("English")
    for _ in range(5):
        Phone(client, "254711000200").dials("*384*77#").sees("English")
    (sign,) = signs(Kind.STRANGERS)
    assert sign.msisdn == ""


class TestNamesAndIds:
    def tries(self, phone: Phone, national_id: str) -> Phone:
        Session.objects.update(ended_at=timezone.now())
        return phone.dials("*384*77#").types("1", "1", "1", "1", "Njeri Kamau", national_id, "7391", "7391")

    def test_that_do_not_belong_together_are_looked_at_three_times(
        self, client: Client, law: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []

        def registry(*, national_id: str, full_name: str, msisdn: str) -> bool:
            asked.append(national_id)
            return msisdn != "254711000177"

        monkeypatch.setattr("lending.services.people.accept_well_formed_identity", registry)
        phone = Phone(client, "254711000177")
        said = {self.tries(phone, f"2345670{number}").ends_with("officer").text for number in range(5)}
        assert len(said) == 1 and len(asked) == 3
        (sign,) = signs(Kind.IDENTITIES)
        assert sign.msisdn == phone.msisdn and not Borrower.objects.exists()
        self.tries(Phone(client, "254711000178"), "23456799").sees("1 Loan")


class TestGuessingOneNumbersPin:
    def test_over_many_sessions_locks_and_says_until_when(self, aminas_phone: Phone, amina: Borrower) -> None:
        for pin in ("9753", "8642", "7391"):
            Session.objects.update(ended_at=timezone.now())
            aminas_phone.dials("*384*77#").types("1", "500", "5", "2", pin)
        aminas_phone.sees("Your PIN is locked", "It opens by itself on")
        amina.refresh_from_db()
        assert amina.pin_opens_at is not None and amina.pin_locked_at is not None
        assert amina.pin_opens_at - amina.pin_locked_at == timedelta(minutes=15)
        assert signs(Kind.PIN_LOCKED)[0].msisdn == amina.msisdn

    def test_is_over_when_the_wait_is(self, aminas_phone: Phone, amina: Borrower) -> None:
        ago = timezone.now() - timedelta(minutes=15, seconds=1)
        Borrower.objects.filter(id=amina.id).update(pin_failures=3, pin_locks=1, pin_locked_at=ago)
        aminas_phone.dials("*384*77#").types("1", "500", "5", "2").sees("PIN").types("9753").sees("2 tries left")


class TestGuessingOverManyNumbers:
    @pytest.fixture
    def brake(self, monkeypatch: pytest.MonkeyPatch) -> guard.Brake:
        small = guard.Brake(wrong=3, numbers=3)
        monkeypatch.setattr(guard, "BRAKE", small)
        return small

    def at_the_pin(self, client: Client, msisdn: str) -> Phone:
        Session.objects.filter(msisdn=msisdn).update(ended_at=timezone.now())
        return Phone(client, msisdn).dials("*384*77#").types("1", "500", "5", "2").sees("PIN")

    def guessed(self, client: Client) -> list[str]:
        numbers = [f"25471100030{number}" for number in range(4)]
        for number, msisdn in enumerate(numbers):
            factories.register(f"Victim {'abcd'[number]}", msisdn, f"2345680{number}")
            self.at_the_pin(client, msisdn).types("9753")
        return numbers

    def test_pulls_the_brake_and_alarms(
        self, client: Client, brake: guard.Brake, brian: Borrower, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.ERROR)
        numbers = self.guessed(client)
        assert signs(Kind.PIN_BRAKE)[0].gateway == "africastalking"
        assert "the brake is on" in caplog.text
        self.at_the_pin(client, numbers[0]).types("8642").ends_with("we go slowly", "5 minutes")
        assert Borrower.objects.get(msisdn=numbers[0]).pin_failures == 1, "the try was not counted"

    def test_leaves_alone_who_types_the_right_pin(
        self, client: Client, brake: guard.Brake, amina: Borrower, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "DECISION_S", 0.0)
        self.guessed(client)
        self.at_the_pin(client, amina.msisdn).types("2580").ends_with("We are deciding")

    def test_lets_the_mistaken_in_again_after_the_wait(self, client: Client, law: None, brake: guard.Brake) -> None:
        numbers = self.guessed(client)
        client_of_redis = redis.Redis.from_url(settings.REDIS_URL)
        key = f"{guard.PREFIX}wrong:{numbers[0]}"
        assert 0 < client_of_redis.ttl(key) <= brake.wait.total_seconds()
        client_of_redis.delete(key)  # as its time does
        self.at_the_pin(client, numbers[0]).types("8642").sees("1 try left")

    def test_is_no_guessing_when_most_pins_are_right(self, amina: Borrower, brake: guard.Brake) -> None:
        at = timezone.now()
        for number in range(20):
            guard.pin_was(right=True, gateway="nalo", msisdn=f"2547110001{number:02}", at=at)
        for number in range(5):
            guard.pin_was(right=False, gateway="nalo", msisdn=f"2547110002{number:02}", at=at)
        assert not guard.pin_must_wait(gateway="nalo", msisdn="254711000200")
        assert not AbuseSign.objects.exists()

    def test_of_one_number_alone_is_its_locks_business(self, amina: Borrower, brake: guard.Brake) -> None:
        for _ in range(20):
            guard.pin_was(right=False, gateway="nalo", msisdn=amina.msisdn, at=timezone.now())
        assert not guard.pin_must_wait(gateway="nalo", msisdn=amina.msisdn)


class TestWithoutRedis:
    @pytest.fixture(autouse=True)
    def dead(self, settings: Any, monkeypatch: pytest.MonkeyPatch, nobody_was_counted_before: None) -> None:
        settings.REDIS_URL, settings.REFUSE_FLOODS = "redis://127.0.0.1:1/0", True
        monkeypatch.setattr(guard, "_client", None)
        monkeypatch.setattr(guard, "_paused_until", 0.0)

    def test_everybody_is_served_and_money_is_as_safe(
        self, aminas_phone: Phone, amina: Borrower, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "DECISION_S", 0.0)
        monkeypatch.setitem(guard.LIMITS, Kind.FLOOD_NUMBER, guard.Limit(0, timedelta(minutes=1), "test"))
        aminas_phone.dials("*384*77#").types("1", "500", "5", "2", "9753", "8642", "7391").sees("locked")
        assert Case.objects.filter(kind="pin_locked").count() == 1
        assert post(aminas_phone.client, "guess").status_code == 404

    def test_nobody_waits_for_it_twice(self, amina: Borrower, caplog: pytest.LogCaptureFixture) -> None:
        for _ in range(5):
            assert guard.admit(gateway="nalo", msisdn=amina.msisdn, begins=True, at=timezone.now())
        assert caplog.text.count("abuse is not counted") == 1


class TestWhatOfficersSee:
    def test_is_one_row_an_hour_written_a_few_times(self, db: None, django_assert_max_num_queries: Any) -> None:
        at = timezone.now()
        with django_assert_max_num_queries(60):
            for _ in range(1000):
                guard.notice(Kind.OTHERS_SESSION, gateway="nalo", msisdn="254711000101", at=at)
        (sign,) = signs(Kind.OTHERS_SESSION)
        assert sign.times == 512 and sign.first_at == sign.last_at == at
        guard.notice(Kind.OTHERS_SESSION, gateway="nalo", msisdn="254711000101", at=at + timedelta(hours=1))
        assert len(signs(Kind.OTHERS_SESSION)) == 2

    def test_can_be_looked_at_and_not_changed(self, client: Client, db: None) -> None:
        guard.notice(Kind.OTHERS_SESSION, gateway="nalo", msisdn="254711000101", at=timezone.now())
        client.force_login(get_user_model().objects.create_superuser("wambui", password="x" * 12))
        listed = client.get("/admin/ussd/abusesign/").content.decode()
        assert "One number used another" in listed and "254711000101" not in listed
        page = f"/admin/ussd/abusesign/{AbuseSign.objects.get().id}/change/"
        assert client.get(page).status_code == 200
        assert client.post(page, {"times": 1}).status_code == 403
        assert client.get("/admin/ussd/abusesign/add/").status_code == 403

    def test_is_counted_for_prometheus(self, client: Client, law: None) -> None:
        guard.notice(Kind.OTHERS_SESSION, gateway="nalo", at=timezone.now())
        text = client.get("/metrics").content.decode()
        assert "jirani_abuse_signs 1.0" in text
        assert 'jirani_abuse_total{kind="others_session"}' in text
