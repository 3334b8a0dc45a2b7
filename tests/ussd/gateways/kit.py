"""What is asked of every gateway. A new one joins by a class in wires.py and recorded payloads."""

import logging
import re
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import F
from django.test import Client
from django.utils import timezone

from lending.models import Application, Borrower, Consent, LimitRaise, OutboxMessage
from tests import factories
from tests.ussd.gateways.wires import Call, Typed, Wire
from tests.ussd.test_pin_secrecy import everything_stored, hide_what_is_random
from ussd import sessions
from ussd.models import Hop, Session, SessionEnd

PIN, WRONG = "7391", "8642"


class Handset:
    """A phone behind one gateway, whose owner takes the time that people take between screen and answer."""

    def __init__(self, client: Client, wire: Wire, msisdn: str) -> None:
        self.client, self.wire, self.msisdn = client, wire, msisdn
        self.typed = Typed("", msisdn)
        self.text, self.is_open, self.raw = "", False, b""

    def dials(self, shortcut: str = "") -> Self:
        self._reads()
        self.typed = Typed(self.wire.new_session(), self.msisdn, shortcut)
        return self._sends()

    def types(self, *inputs: str) -> Self:
        for text in inputs:
            assert self.is_open, f"the session has ended: {self.text!r}"
            self._reads()
            self.typed.inputs.append(text)
            self._sends()
        return self

    def chooses(self, *labels: str) -> Self:
        """Answer menus by what stands there, under whatever number."""
        for label in labels:
            found = re.search(rf"^(\d+) {label}", self.text, flags=re.MULTILINE)
            assert found, f"{label!r} is not offered: {self.text!r}"
            self.types(found[1])
        return self

    def repeats(self) -> Self:
        """Let the network deliver the last hop again."""
        return self._sends()

    def comes_late(self, place: int) -> Self:
        """Let the network deliver an earlier hop again, long after it was answered; nobody sees the answer."""
        self._reads()
        typed, shown = self.typed, (self.text, self.is_open, self.raw)
        self.typed = replace(typed, inputs=typed.inputs[:place])
        self._sends()
        self.typed, (self.text, self.is_open, self.raw) = typed, shown
        return self

    def _reads(self) -> None:
        ago = timedelta(seconds=10)
        Hop.objects.update(answered_at=F("answered_at") - ago)
        Session.objects.update(last_hop_at=F("last_hop_at") - ago, began_at=F("began_at") - ago)

    def _sends(self) -> Self:
        response = self.sends(self.wire.payload(self.typed))
        assert response.status_code == 200
        self.raw = response.content
        self.text, self.is_open = self.wire.screen(response)
        return self

    def sends(self, payload: dict[str, Any]) -> Any:
        """Send a hop with these fields and return the whole response."""
        return self.delivers(self.wire.call(payload, self.typed))

    def delivers(self, call: Call, secret: str | None = None) -> Any:
        known = getattr(settings, self.wire.gateway.secret_setting)
        path = f"/gateways/{self.wire.name}/{known if secret is None else secret}/{call.where}"
        return self.client.generic(call.method, path, call.body, content_type=call.content_type)

    def sees(self, *words: str) -> Self:
        for part in words:
            assert part in self.text, f"{part!r} is not on the screen: {self.text!r}"
        return self

    def ends_with(self, *words: str) -> Self:
        self.sees(*words)
        assert not self.is_open, f"the session goes on: {self.text!r}"
        return self


class Contract:
    """The tests; a class that inherits them has a fixture `wire`."""

    @pytest.fixture
    def phone(self, client: Client, wire: Wire, amina: Borrower, settings: Any) -> Handset:
        """Amina's phone."""
        settings.GENERIC_GATEWAY = wire.described()
        return Handset(client, wire, amina.msisdn)

    def to_the_pin(self, phone: Handset) -> Handset:
        return phone.dials().types("1", "500", "5", "2").sees("PIN")

    def refused_in_words(self, phone: Handset, response: Any) -> None:
        assert response.status_code == 200
        text, goes_on = phone.wire.screen(response)
        assert settings.USSD_CODE in text and "/" in text, "both languages, and what to do"
        assert not goes_on
        assert not Session.objects.exists() and not SessionEnd.objects.exists()

    # --- hops -----------------------------------------------------------------------------------------------
    def test_a_first_hop_gets_the_first_screen_and_is_kept(self, phone: Handset, amina: Borrower) -> None:
        phone.dials().sees("1 Loan")
        session = Session.objects.get()
        assert (session.gateway, session.msisdn) == (phone.wire.name, amina.msisdn)
        if phone.wire.network:
            told = phone.wire.payload(phone.typed)[phone.wire.network]
            assert session.network == str(told)
        if phone.wire.has_sessions:
            assert session.gateway_session == phone.typed.session

    def test_a_next_hop_is_read_as_an_answer(self, phone: Handset) -> None:
        phone.dials().types("1").sees("Your limit").types("500", "5").sees("You get KES 500").types("0")
        phone.sees("1 Loan")
        assert Session.objects.count() == 1 and Hop.objects.count() == 5

    def test_the_same_key_again_and_again_is_as_many_answers(
        self, client: Client, wire: Wire, phone: Handset
    ) -> None:
        stranger = Handset(client, wire, "254711000199").dials().chooses("English", "I agree", "Yes", "Yes")
        stranger.types("Njeri Kamau", "23456799", PIN, PIN).sees("1 Loan").types("5", "5").sees("Jirani lends")
        assert Borrower.objects.filter(msisdn="254711000199").exists()

    def test_a_dial_string_goes_as_far_as_what_must_be_seen(self, phone: Handset) -> None:
        phone.dials("1*500*5*2*2580").sees("You get KES 500", "2 Accept")
        assert not Application.objects.exists()
        phone.types("2").sees("PIN")

    def test_typed_stars_and_blanks_do_no_harm(self, phone: Handset) -> None:
        phone.dials().types(" 1 ").sees("Your limit").types("5*00").sees("smallest loan")
        phone.types("500#").sees("What is it for?")

    def test_an_empty_answer_asks_again(self, phone: Handset) -> None:
        phone.dials().types("").sees("1 Loan").types("1").sees("Your limit")

    # --- copies ---------------------------------------------------------------------------------------------
    def test_a_copy_gets_the_same_bytes(self, phone: Handset) -> None:
        phone.dials()
        for text in ("1", "500", "5", "2"):
            shown = phone.raw
            assert phone.repeats().repeats().raw == shown
            phone.types(text)
        shown = phone.raw
        assert phone.repeats().raw == shown
        assert Session.objects.count() == 1 and Hop.objects.count() == 5

    def test_a_copy_of_a_wrong_pin_costs_one_try_however_late_it_comes(
        self, phone: Handset, amina: Borrower
    ) -> None:
        self.to_the_pin(phone).types("9753").sees("Wrong PIN, 2 tries left")
        phone.repeats().sees("2 tries left")
        phone._reads()
        phone.repeats().sees("2 tries left")
        amina.refresh_from_db()
        assert amina.pin_failures == 1

    def test_copies_of_the_pin_hop_borrow_once_however_late_they_come(
        self, phone: Handset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "DECISION_S", 0.0)
        self.to_the_pin(phone).types("2580").ends_with("We are deciding")
        shown = phone.raw
        phone.repeats()
        phone._reads()
        assert phone.repeats().raw == shown
        assert Application.objects.count() == 1
        assert OutboxMessage.objects.filter(topic="application_submitted").count() == 1

    def test_a_late_copy_of_any_answer_moves_no_money(self, phone: Handset) -> None:
        """Taken for a new answer at worst: after each answer of the way to the PIN, it comes again."""
        for depth in range(1, 5):
            phone.dials().types(*("1", "500", "5", "2")[:depth])
            phone._reads()
            phone.repeats()
            Session.objects.update(ended_at=F("last_hop_at"))
        assert not Application.objects.exists()

    def test_a_late_copy_of_an_earlier_pin_moves_no_money(self, client: Client, wire: Wire, phone: Handset) -> None:
        """Somebody registers and goes on to the key facts of a loan, where the PIN that they chose comes again."""
        stranger = Handset(client, wire, "254711000199").dials()
        stranger.chooses("English", "I agree", "Yes", "Yes").types("Njeri Kamau", "23456799", PIN, PIN)
        place = len(stranger.typed.inputs)
        stranger.sees("1 Loan").types("1", "500", "5").sees("You get KES 500")
        stranger.comes_late(place)
        assert not Application.objects.exists()
        stranger.types("2", PIN).ends_with("We are deciding")

    def test_a_late_copy_of_any_answer_agrees_to_nothing(self, client: Client, wire: Wire, phone: Handset) -> None:
        """The answers before each question of a registration come again, and nobody has agreed to more by it."""
        stranger = Handset(client, wire, "254711000199").dials()
        for label in ("English", "I agree", "No"):
            stranger.chooses(label)
            asked = Session.objects.get(msisdn="254711000199")
            answered = len(stranger.typed.inputs)
            # Three answers that cannot be used end a session.
            for place in (answered, answered - 1)[: min(answered, 2)]:
                stranger.comes_late(place)
            now = Session.objects.get(msisdn="254711000199")
            assert (now.screen, now.answers) == (asked.screen, asked.answers), label
        stranger.chooses("No").types("Njeri Kamau", "23456799", PIN, PIN).sees("1 Loan")
        given = Consent.objects.filter(borrower__msisdn="254711000199", purpose__in=["wallet", "marketing"])
        assert {one.purpose: one.granted for one in given} == {"wallet": False, "marketing": False}

    def test_an_agreement_has_the_first_numbers_where_copies_are_told_apart(
        self, client: Client, wire: Wire, phone: Handset
    ) -> None:
        stranger = Handset(client, wire, "254711000199").dials().types("1")
        stranger.sees("1 I agree" if wire.tells_hops else "2 I agree")

    def test_the_first_screen_takes_an_amount_where_copies_are_told_apart(
        self, client: Client, wire: Wire, phone: Handset
    ) -> None:
        phone.dials().types("500").sees("What is it for?" if wire.tells_hops else "Not an option.")

    def test_a_late_copy_raises_no_limit(self, phone: Handset, amina: Borrower, fixed_scorer: object) -> None:
        taken_at = timezone.now() - timedelta(days=20)
        loan = factories.live_loan(amina, at=taken_at)
        factories.pay(loan.reference, loan.total_cents, at=taken_at + timedelta(days=10))
        LimitRaise.objects.all().delete()
        offered = LimitRaise.objects.create(
            borrower=amina, earned_by=loan, rung=1, limit_cents=200_000, offered_at=timezone.now()
        )
        phone.dials().types("1").sees("Do you want a limit of KES 2,000").comes_late(1)
        offered.refresh_from_db()
        assert offered.state == "offered"
        phone.chooses("Yes, raise it")
        offered.refresh_from_db()
        assert offered.state == "accepted"

    # --- numbers --------------------------------------------------------------------------------------------
    @pytest.mark.parametrize("spelled", ["+254711000101", "254711000101", "00254711000101", "+254 711 000-101"])
    def test_a_number_is_known_however_it_is_spelled(self, phone: Handset, spelled: str) -> None:
        payload = phone.wire.payload(Typed(phone.wire.new_session(), spelled)) | {phone.wire.number: spelled}
        text, _ = phone.wire.screen(phone.delivers(phone.wire.call(payload, Typed("s1", spelled))))
        assert "Your limit" in text or "your limit" in text
        assert Session.objects.get().msisdn == "254711000101"

    def test_a_number_of_the_gateways_country_needs_no_country_code(self, phone: Handset) -> None:
        local, msisdn = {"GH": ("024 400 0101", "233244000101")}.get(
            phone.wire.gateway.country, ("0711000101", "254711000101")
        )
        payload = phone.wire.payload(Typed("s1", local)) | {phone.wire.number: local}
        assert phone.delivers(phone.wire.call(payload, Typed("s1", local))).status_code == 200
        assert Session.objects.get().msisdn == msisdn

    @pytest.mark.parametrize(
        "number", ["", "+", "12", "+٢٥٤٧١١٠٠٠١٠١", "'; DROP TABLE x; --", "9" * 40, "+25471100010x"]
    )
    def test_what_can_be_no_number_is_told_so(
        self, phone: Handset, number: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        payload = phone.wire.payload(Typed("s1", "254711000101")) | {phone.wire.number: number}
        response = phone.delivers(phone.wire.call(payload, Typed("s1", number)))
        self.refused_in_words(phone, response)
        assert "did not tell us your number" in phone.wire.screen(response)[0]
        assert not number or number not in caplog.text

    # --- what does not fit ----------------------------------------------------------------------------------
    def test_a_network_that_nobody_has_heard_of_is_kept_and_answered(self, phone: Handset) -> None:
        if phone.wire.network:
            typed = Typed("s1", phone.msisdn)
            payload = phone.wire.payload(typed) | {phone.wire.network: "Zamtel ünheard of, and long"}
            text, goes_on = phone.wire.screen(phone.delivers(phone.wire.call(payload, typed)))
            assert goes_on and "1 Loan" in text
            assert Session.objects.get().network == "Zamtel ünheard of, and long"[:20]

    def test_fields_that_nobody_has_heard_of_are_passed_over(self, phone: Handset) -> None:
        typed = Typed("s1", phone.msisdn)
        payload = phone.wire.payload(typed) | {"brandNew": "x", "<script>": "y"}
        assert phone.wire.screen(phone.delivers(phone.wire.call(payload, typed)))[1]

    def test_what_lacks_its_essentials_is_told_so(self, phone: Handset) -> None:
        typed = Typed("s1", phone.msisdn)
        for name in phone.wire.needs:
            payload = phone.wire.payload(typed)
            del payload[name]
            self.refused_in_words(phone, phone.delivers(phone.wire.call(payload, typed)))

    def test_another_code_is_not_served(self, phone: Handset, settings: Any) -> None:
        settings.USSD_CODE = "*384*78#"
        other = phone.wire.payload(Typed("s1", phone.msisdn))
        settings.USSD_CODE = "*384*77#"
        dialled = {name: str(v).replace("384*77", "384*78") for name, v in other.items() if "384*7" in str(v)}
        if dialled:
            self.refused_in_words(
                phone, phone.delivers(phone.wire.call(other | dialled, Typed("s1", phone.msisdn)))
            )

    def test_by_another_method_nothing_is_taken(self, phone: Handset) -> None:
        call = phone.wire.call(phone.wire.payload(Typed("s1", phone.msisdn)), Typed("s1", phone.msisdn))
        call.method = "POST" if call.method == "GET" else "GET"
        response = phone.delivers(call)
        assert response.status_code == 405 and response["Allow"]
        assert not Session.objects.exists()

    @pytest.mark.parametrize("secret", ["wrong", "", "x" * 3000, "%00", "é"])
    def test_who_does_not_know_the_secret_finds_nothing(self, phone: Handset, secret: str) -> None:
        call = phone.wire.call(phone.wire.payload(Typed("s1", phone.msisdn)), Typed("s1", phone.msisdn))
        assert phone.delivers(call, secret=secret).status_code == 404
        assert not Session.objects.exists()

    def test_without_a_secret_of_its_own_a_gateway_is_not_served(self, phone: Handset, settings: Any) -> None:
        setattr(settings, phone.wire.gateway.secret_setting, "")
        call = phone.wire.call(phone.wire.payload(Typed("s1", phone.msisdn)), Typed("s1", phone.msisdn))
        assert phone.delivers(call, secret="").status_code == 404
        assert phone.delivers(call, secret="x").status_code == 404

    @pytest.mark.parametrize(
        "body",
        [b"\xff\xfe\x00{", b"", b"[1]", b"null", b'{"a": ' * 5000, b'"text"', b"x" * 40_000, b"9" * 5000],
        ids=["not UTF-8", "empty", "a list", "null", "deep", "a text", "too large", "a huge number"],
    )
    def test_a_body_that_cannot_be_read_is_answered_in_words(self, phone: Handset, body: bytes) -> None:
        call = phone.wire.call(phone.wire.payload(Typed("s1", phone.msisdn)), Typed("s1", phone.msisdn))
        if call.method == "POST":
            self.refused_in_words(phone, phone.delivers(Call("POST", call.where, body, call.content_type)))

    @pytest.mark.parametrize("value", [None, True, [], {}, 1.5, ["1"], {"a": 1}, "\ud800", "a\x00b", "x" * 3000])
    def test_fields_of_any_kind_are_answered(self, phone: Handset, value: Any) -> None:
        typed = Typed("s1", phone.msisdn, inputs=["1"])
        payload = phone.wire.payload(typed)
        for name in payload:
            if isinstance(value, str) and "\ud800" in value and phone.wire.call(payload, typed).content_type == "":
                continue
            try:
                call = phone.wire.call(payload | {name: value}, typed)
            except UnicodeEncodeError:
                continue  # a form cannot carry it
            response = phone.delivers(call)
            assert response.status_code == 200
            phone.wire.screen(response)

    # --- forged ---------------------------------------------------------------------------------------------
    def test_a_session_of_one_number_is_none_of_anothers(self, phone: Handset, brian: Borrower) -> None:
        self.to_the_pin(phone)
        phone.typed.msisdn = brian.msisdn
        phone.typed.inputs.append("2580")
        phone._sends()
        assert "PIN" not in phone.text and not Application.objects.exists()
        if phone.wire.has_sessions:
            phone.ends_with("Sorry")

    def test_an_answer_out_of_the_blue_answers_nothing(self, phone: Handset) -> None:
        phone.typed = Typed(phone.wire.new_session(), phone.msisdn, inputs=["1", "500", "5", "2", "2580"])
        phone._sends()
        assert not Application.objects.exists()

    def test_what_came_again_after_the_end_is_told_that_it_is_over(self, phone: Handset) -> None:
        phone.dials().types("x", "y", "z").ends_with("Let us stop here")
        phone._reads()
        phone.typed.inputs.append("5")
        phone._sends()
        phone.ends_with("This session is over")

    # --- the end --------------------------------------------------------------------------------------------
    def test_a_report_on_the_end_is_kept_once_and_joined_to_its_session(self, phone: Handset) -> None:
        if not phone.wire.reports_ends:
            return
        phone.dials().types("1")
        for _ in range(3):
            call = phone.wire.end_call(phone.wire.end(phone.typed), phone.typed)
            assert phone.delivers(call).status_code == 200
        end = SessionEnd.objects.get()
        assert (end.session, end.gateway, end.times_received) == (Session.objects.get(), phone.wire.name, 3)
        assert end.status

    def test_a_report_on_a_session_that_we_never_saw_is_kept(self, phone: Handset) -> None:
        if phone.wire.reports_ends:
            phone.typed = Typed("never-seen", phone.msisdn)
            phone.delivers(phone.wire.end_call(phone.wire.end(phone.typed), phone.typed))
            assert SessionEnd.objects.get().session is None

    # --- secrets --------------------------------------------------------------------------------------------
    def test_no_pin_is_stored_or_logged(
        self, phone: Handset, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        caplog.set_level(logging.DEBUG)
        monkeypatch.setattr(sessions, "DECISION_S", 0.0)
        stranger = Handset(phone.client, phone.wire, "254711000199").dials()
        stranger.chooses("English", "I agree", "Yes", "Yes")
        stranger.types("Njeri Kamau", "23456799", PIN, PIN).sees("1 Loan")
        stranger.dials(f"1*500*5*2*{PIN}").types("2", WRONG).sees("Wrong PIN")
        stranger.types(PIN).ends_with("We are deciding")
        if phone.wire.reports_ends:
            phone.delivers(phone.wire.end_call(phone.wire.end(stranger.typed), stranger.typed))
        assert Application.objects.count() == 1
        stored = hide_what_is_random(everything_stored())
        stored = stored.replace(stranger.typed.session, "")
        for pin in (PIN, WRONG):
            assert pin not in stored, [line for line in stored.splitlines() if pin in line]
            assert pin not in caplog.text

    def test_the_secret_is_in_no_log(self, phone: Handset, caplog: pytest.LogCaptureFixture) -> None:
        secret = getattr(settings, phone.wire.gateway.secret_setting)
        call = phone.wire.call(phone.wire.payload(Typed("s1", phone.msisdn)), Typed("s1", phone.msisdn))
        phone.delivers(Call("DELETE", call.where, b"", ""))
        phone.delivers(Call("POST", "nowhere", b"", ""))
        assert secret not in caplog.text


@pytest.mark.django_db(transaction=True)
class ContractAtTheSameTime:
    """Copies that come together; the test commits, so it stands apart."""

    @pytest.fixture
    def phone(self, client: Client, wire: Wire, amina: Borrower, settings: Any) -> Handset:
        settings.GENERIC_GATEWAY = wire.described()
        return Handset(client, wire, amina.msisdn)

    def together(self, phone: Handset, copies: int = 4) -> list[bytes]:
        answers: list[bytes] = []
        ready = threading.Barrier(copies)
        call = phone.wire.call(phone.wire.payload(phone.typed), phone.typed)

        def deliver() -> None:
            ready.wait()
            answers.append(phone.delivers(call).content)
            connection.close()

        threads = [threading.Thread(target=deliver) for _ in range(copies)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def test_copies_of_the_pin_hop_borrow_once_and_show_the_same(
        self, phone: Handset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "DECISION_S", 0.2)
        phone.dials().types("1", "500", "5", "2").sees("PIN")
        phone._reads()
        phone.typed.inputs.append("2580")
        answers = self.together(phone)
        assert len(answers) == 4 and len(set(answers)) == 1 and b"We are deciding" in answers[0]
        assert Application.objects.count() == 1

    def test_copies_of_an_ordinary_hop_are_one_answer(self, phone: Handset) -> None:
        phone.dials()
        phone._reads()
        phone.typed.inputs.append("1")
        answers = self.together(phone)
        assert len(set(answers)) == 1 and b"Your limit" in answers[0]
        assert Hop.objects.count() == 2
