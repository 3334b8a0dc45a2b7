"""SMS out through the SDK to a server that answers as the aggregator does, and SMS in."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from lending import outbox
from lending.models import Borrower, Case, Loan, NextOfKin, PaymentIntent
from lending.selectors.preferences import stopped
from lending.services import next_of_kin
from tests import factories
from ussd import sms
from ussd.gateways import africastalking
from ussd.gateways.africastalking import NotSent, Rejected, Sent, SmsGateway, Unknown
from ussd.models import IncomingSms, Sms

MSISDN = "254711000101"


def accepted(message_id: str = "ATXid_1", code: int = 101) -> dict[str, Any]:
    line = {"statusCode": code, "number": f"+{MSISDN}", "status": "Success", "cost": "KES 0.8000"}
    return {"SMSMessageData": {"Message": "Sent to 1/1", "Recipients": [line | {"messageId": message_id}]}}


class Aggregator:
    """A real HTTP server with the aggregator's manners."""

    def __init__(self) -> None:
        self.status, self.content_type, self.delay = 201, "application/json", threading.Event()
        self.body: bytes = json.dumps(accepted()).encode()
        self.hangs = False
        self.received: list[dict[str, list[str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.received.append(parse_qs(form))
                if outer.hangs:
                    outer.delay.wait(5)
                self.send_response(outer.status)
                self.send_header("Content-Type", outer.content_type)
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def says(self, answer: Any, status: int = 201, content_type: str = "application/json") -> None:
        self.body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.status, self.content_type = status, content_type

    def close(self) -> None:
        self.delay.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def aggregator(settings: Any) -> Iterator[Aggregator]:
    server = Aggregator()
    settings.AFRICASTALKING_BASE_URL = server.url
    yield server
    server.close()


class TestTheGateway:
    def test_sends_from_our_short_code(self, aggregator: Aggregator) -> None:
        assert SmsGateway().send(MSISDN, "Habari") == Sent("ATXid_1", "KES 0.8000")
        (form,) = aggregator.received
        assert (form["to"], form["message"], form["from"]) == ([f"+{MSISDN}"], ["Habari"], ["20384"])

    @pytest.mark.parametrize(
        ("answer", "status", "content_type", "outcome"),
        [
            (accepted(), 201, "application/json; charset=utf-8", Sent),  # the SDK hands this over as text
            (accepted(code=102), 201, "application/json", Sent),
            (accepted(code=406), 201, "application/json", Rejected),
            (accepted(code=405), 201, "application/json", Rejected),
            (accepted(code=500), 201, "application/json", Unknown),
            (
                {"SMSMessageData": {"Message": "InvalidSenderId", "Recipients": []}},
                201,
                "application/json",
                Rejected,
            ),
            (b"The supplied authentication is invalid", 401, "text/plain", Rejected),
            (b"", 500, "text/plain", Unknown),
            (b"<html>Bad gateway</html>", 502, "text/html", Unknown),
            (b'{"SMSMess', 201, "application/json", Unknown),
            (b"fine", 201, "text/plain", Unknown),
            ([], 201, "application/json", Unknown),
            ({"SMSMessageData": {"Recipients": [None]}}, 201, "application/json", Rejected),
        ],
    )
    def test_reads_every_kind_of_answer(
        self, aggregator: Aggregator, answer: Any, status: int, content_type: str, outcome: type
    ) -> None:
        aggregator.says(answer, status, content_type)
        assert isinstance(SmsGateway().send(MSISDN, "Habari"), outcome)

    def test_that_does_not_answer_has_perhaps_sent(
        self, aggregator: Aggregator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(africastalking, "TIMEOUT_S", (1, 0.2))
        aggregator.hangs = True
        assert SmsGateway().send(MSISDN, "Habari") == Unknown("ReadTimeout")

    def test_that_nobody_reaches_has_not_sent(self, settings: Any) -> None:
        settings.AFRICASTALKING_BASE_URL = "http://127.0.0.1:9"
        assert isinstance(SmsGateway().send(MSISDN, "Habari"), NotSent)

    def test_never_raises_on_a_bad_number(self) -> None:
        assert isinstance(SmsGateway().send("12", "Habari"), Rejected | Unknown | NotSent)


def message(text: str = "Habari", reference: str = "test:1") -> Sms:
    return sms.write(reference=reference, kind="test", msisdn=MSISDN, text=text, language="en", at=timezone.now())


class TestSending:
    def test_the_same_reference_is_one_message(self, db: None) -> None:
        assert message().id == message("other words").id

    def test_text_is_gsm7_and_one_part(self, db: None) -> None:
        written = message("O’Brien " + "x" * 300)
        assert written.text.startswith("O'Brien") and written.segments == 1

    def test_sends_once(self, db: None, aggregator: Aggregator) -> None:
        written = message()
        sms.send(written, timezone.now())
        sms.send(written, timezone.now())
        written.refresh_from_db()
        assert (written.state, written.provider_message_id, written.cost) == ("sent", "ATXid_1", "KES 0.8000")
        assert len(aggregator.received) == 1

    def test_what_perhaps_went_out_is_never_sent_again(
        self, db: None, aggregator: Aggregator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(africastalking, "TIMEOUT_S", (1, 0.2))
        aggregator.hangs = True
        written = message()
        for _ in range(2):
            sms.send(written, timezone.now())
        written.refresh_from_db()
        assert written.state == "unknown" and len(aggregator.received) == 1

    def test_a_crash_in_the_middle_leaves_it_perhaps_sent(self, db: None, aggregator: Aggregator) -> None:
        written = message()
        Sms.objects.update(state="sending")
        sms.send(written, timezone.now())
        written.refresh_from_db()
        assert written.state == "unknown" and not aggregator.received

    def test_what_never_left_is_due_again(self, db: None, aggregator: Aggregator, settings: Any) -> None:
        written = message()
        settings.AFRICASTALKING_BASE_URL = "http://127.0.0.1:9"
        with pytest.raises(sms.NotSentYet):
            sms.send(written, timezone.now())
        settings.AFRICASTALKING_BASE_URL = aggregator.url
        sms.send(written, timezone.now())
        written.refresh_from_db()
        assert written.state == "sent"


def post(client: Client, where: str, **form: Any) -> Any:
    return client.post(f"/gateways/africastalking/{settings.AFRICASTALKING_SECRET}/{where}", form)


class TestDeliveryReports:
    def report(self, client: Client, status: str, **more: str) -> None:
        form = {"id": "ATXid_1", "status": status, "phoneNumber": f"+{MSISDN}", "networkCode": "63902"} | more
        assert post(client, "sms-reports", **form).status_code == 200

    def test_a_final_word_stands_against_what_comes_late(
        self, client: Client, db: None, aggregator: Aggregator
    ) -> None:
        sms.send(message(), timezone.now())
        for status in ("Sent", "Success", "Buffered", "Success", "Failed"):
            self.report(client, status)
        sent = Sms.objects.get()
        assert sent.state == "delivered" and sent.delivered_at is not None and sent.provider_status == "Success"

    def test_a_failure_keeps_its_reason(self, client: Client, db: None, aggregator: Aggregator) -> None:
        sms.send(message(), timezone.now())
        self.report(client, "Failed", failureReason="UserDoesNotExist")
        assert (Sms.objects.get().state, Sms.objects.get().provider_status) == ("failed", "Failed UserDoesNotExist")

    def test_a_report_may_be_faster_than_our_own_record(
        self, client: Client, db: None, aggregator: Aggregator
    ) -> None:
        self.report(client, "Success")
        sms.send(message(), timezone.now())
        assert Sms.objects.get().state == "delivered"

    def test_an_unknown_status_is_kept(self, client: Client, db: None, aggregator: Aggregator) -> None:
        sms.send(message(), timezone.now())
        self.report(client, "Levitating")
        assert (Sms.objects.get().state, Sms.objects.get().provider_status) == ("sent", "Levitating")

    def test_a_report_without_an_id_is_refused(self, client: Client, db: None) -> None:
        assert post(client, "sms-reports", status="Success").status_code == 400


class TestIncoming:
    def texts(self, client: Client, text: str, message_id: str = "m1", **more: str) -> Any:
        form = {"id": message_id, "from": f"+{MSISDN}", "to": "20384", "text": text} | more
        return post(client, "sms", **form)

    def answer(self) -> str:
        return Sms.objects.get(kind__startswith="answer_").text

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("BAL", "You have no loan. Your limit is KES 1,000."),
            ("salio?", "You have no loan."),
            ("help me please", "An officer reads your message and calls you"),
            (" Msaada", "An officer reads your message and calls you"),
            ("mkopo", "How much do you want, from KES 200 to KES 1,000?"),
            ("what is this", "Jirani: dial *384*77#"),
            ("", "Jirani: dial *384*77#"),
            ("🙂٥٠٠{0}%s", "Jirani: dial *384*77#"),
        ],
    )
    def test_a_keyword_is_answered_in_the_customers_language(
        self, client: Client, amina: Borrower, text: str, said: str
    ) -> None:
        assert self.texts(client, text).status_code == 200
        assert said in self.answer()

    @pytest.mark.parametrize(("text", "said"), [("SALIO", "Kukopa, piga"), ("BAL", "To borrow, dial")])
    def test_a_stranger_is_answered_in_the_language_of_the_word(
        self, client: Client, law: None, text: str, said: str
    ) -> None:
        self.texts(client, text)
        assert said in self.answer()

    def test_balance_tells_what_is_owed(self, client: Client, aminas_loan: Loan, amina: Borrower) -> None:
        self.texts(client, "BAL")
        assert f"You owe KES 530; it was due 1 Apr, ref {aminas_loan.reference}" in self.answer()

    def test_a_message_that_comes_again_is_answered_once(
        self, client: Client, amina: Borrower, aggregator: Aggregator
    ) -> None:
        for _ in range(3):
            self.texts(client, "BAL")
        for _ in range(2):
            outbox.drain(timezone.now(), queue="messages")
        assert IncomingSms.objects.get().times_received == 3
        assert len(aggregator.received) == 1

    def test_stop_and_start_are_obeyed(self, client: Client, amina: Borrower) -> None:
        self.texts(client, "ACHA", "m1")
        assert stopped(MSISDN) == ["reminders", "offers", "tips"]
        assert "No more reminders, offers, tips" in self.answer() and "receipts" in self.answer()
        self.texts(client, "START", "m2")
        assert stopped(MSISDN) == []
        assert "You get reminders, offers, tips again" in Sms.objects.get(kind="answer_start").text

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("STOP offers", ["offers"]),
            ("stop offers, tips", ["offers", "tips"]),
            ("Acha vikumbusho", ["reminders"]),
            ("STOP it", ["reminders", "offers", "tips"]),
        ],
    )
    def test_stop_ends_what_it_names(self, client: Client, amina: Borrower, text: str, left: list[str]) -> None:
        self.texts(client, text)
        assert stopped(MSISDN) == left

    def test_a_stop_of_a_stranger_is_kept(self, client: Client, law: None) -> None:
        self.texts(client, "STOP")
        assert stopped(MSISDN) == ["reminders", "offers", "tips"]

    def test_help_reaches_officers_once_with_the_number_and_what_was_said(
        self, client: Client, amina: Borrower
    ) -> None:
        for number, text in enumerate(("HELP pin 2580 id 23456781", "help 2 5 8 0")):
            self.texts(client, text, f"m{number}")
        case = Case.objects.get()
        assert (case.kind, case.msisdn, case.borrower) == ("help", MSISDN, amina)
        assert case.note == "HELP pin **** id ********\nhelp * * * *"
        assert case.reference in Sms.objects.filter(kind="answer_help").latest("id").text

    def test_what_nobody_understands_twice_is_read_by_a_person(self, client: Client, law: None) -> None:
        self.texts(client, "my cow is sick", "m1")
        assert not Case.objects.exists() and "HELP for a person" in self.answer()
        self.texts(client, "cow very sick", "m2")
        self.texts(client, "COW", "m3")
        assert Case.objects.get().note == "cow very sick\nCOW" and Case.objects.get().borrower is None

    def test_what_nobody_understood_the_week_before_is_forgotten(self, client: Client, law: None) -> None:
        self.texts(client, "my cow is sick", "m1")
        IncomingSms.objects.update(received_at=timezone.now() - timedelta(days=2))
        self.texts(client, "cow very sick", "m2")
        assert not Case.objects.exists()

    @pytest.mark.parametrize(
        ("text", "kind", "said"),
        [
            ("CALL", "call_back", "An officer calls you, ref"),
            ("complaint: too dear", "complaint", "We have your complaint, ref"),
            ("MALALAMIKO", "complaint", "We have your complaint, ref"),
        ],
    )
    def test_a_word_opens_what_an_officer_settles(
        self, client: Client, amina: Borrower, text: str, kind: str, said: str
    ) -> None:
        self.texts(client, text)
        assert Case.objects.get().kind == kind and said in self.answer()

    def test_review_puts_the_last_refusal_before_a_person(
        self, client: Client, amina: Borrower, fixed_scorer: Any
    ) -> None:
        now = timezone.now()
        application = factories.apply(amina, at=now)
        self.texts(client, "REVIEW", "m1")
        assert "no refusal" in self.answer()
        factories.decide(application, "decline", at=now)
        IncomingSms.objects.update(received_at=now - timedelta(minutes=1))
        self.texts(client, "REVIEW", "m2")
        application.refresh_from_db()
        assert application.state == "referred"
        assert application.reference in Sms.objects.latest("id").text

    @pytest.mark.parametrize(("text", "agreed"), [("YES", True), ("ndiyo", True), ("NO", False)])
    def test_a_next_of_kin_answers_from_their_own_phone(
        self, client: Client, brian: Borrower, text: str, agreed: bool
    ) -> None:
        next_of_kin.name_kin(borrower_id=brian.id, name="Amina", number=MSISDN, at=timezone.now())
        self.texts(client, text)
        kin = NextOfKin.objects.get()
        assert (kin.agreed_at is not None, kin.ended_at is None) == (agreed, agreed)

    def test_a_yes_to_nothing_is_helped_on(self, client: Client, amina: Borrower) -> None:
        self.texts(client, "YES")
        assert "HELP for a person" in self.answer()

    def test_an_opt_out_at_the_aggregator_is_obeyed(self, client: Client, amina: Borrower) -> None:
        assert post(client, "sms-optouts", senderId="20384", phoneNumber=f"+{MSISDN}").status_code == 200
        assert stopped(MSISDN) == ["reminders", "offers", "tips"]

    def test_no_word_moves_money(self, client: Client, aminas_loan: Loan) -> None:
        before = PaymentIntent.objects.count()
        for number, text in enumerate(("LOAN 500 2580", "PAY 530", "LIPA", "1*500*2")):
            self.texts(client, text, f"m{number}")
        assert PaymentIntent.objects.count() == before

    def test_a_pin_in_a_message_is_masked(self, client: Client, amina: Borrower) -> None:
        self.texts(client, "LOAN 500 2580")
        assert IncomingSms.objects.get().text == "LOAN 500 ****"

    @pytest.mark.parametrize("more", [{"from": "x"}, {"id": ""}])
    def test_what_cannot_be_answered_is_refused(self, client: Client, db: None, more: dict[str, str]) -> None:
        form = {"id": "m1", "from": f"+{MSISDN}", "to": "20384", "text": "BAL"} | more
        assert post(client, "sms", **form).status_code == 400
