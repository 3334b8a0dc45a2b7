"""The client against the operator's own process over HTTP: each answer and what it means."""

import itertools
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.core.management import CommandError, call_command

from lending.payments.providers import daraja
from lending.payments.providers.daraja import B2C_PATH, STATUS_PATH, STK_PATH, TOKEN_PATH, Account, Daraja
from lending.payments.tokens import attempt_named_by
from lending.ports import Accepted, Failed, NotFound, NotSent, PaymentOrder, Succeeded, Unknown
from sandbox.process import SandboxProcess, free_port

AMINA = "254711000101"
NOW = datetime(2026, 3, 2, 9, 0, 0, tzinfo=UTC)
keys = itertools.count(1)


@pytest.fixture(scope="module")
def world() -> Iterator[SandboxProcess]:
    with SandboxProcess(f"http://127.0.0.1:{free_port()}", latency_ms=20) as process:
        process.shortcode("600100", name="JIRANI", utility_cents=1_000_000_00)
        process.shortcode("600200", name="JIRANI", utility_cents=0)
        process.phone(AMINA, name="Amina", wallet_pin="4321", balance_cents=100_000, answer="right_pin")
        yield process


@pytest.fixture
def sandbox(world) -> Iterator[SandboxProcess]:
    yield world
    world.clear_faults()
    world.flush()


class DeadCache(BaseCache):
    """Redis that does not answer."""

    def __init__(self) -> None:
        super().__init__({})

    def get(self, *args, **kwargs):
        raise ConnectionError

    add = set = delete = get


def client(base_url: str, *, token_cache=cache, read_s: float = 5, key: str = "") -> Daraja:
    account = Account(
        base_url, key or f"key-{next(keys)}", "secret", "pass", "jirani", "credential", "600100", "600200"
    )
    http = httpx.Client(timeout=httpx.Timeout(read_s, connect=1), limits=daraja.LIMITS, trust_env=False)
    return Daraja(account, http, lambda: NOW, token_cache)


def order(**changes) -> PaymentOrder:
    facts = {
        "provider_ref": str(uuid.uuid4()),
        "request_id": "",
        "purpose": "disburse",
        "msisdn": AMINA,
        "amount_cents": 50_000,
        "currency": "KES",
        "account_reference": "7KQ2AB",
        "submitted_at": NOW,
    }
    return PaymentOrder(**(facts | changes))


def seen(sandbox: SandboxProcess, asked: PaymentOrder) -> list[dict]:
    """Return the payout requests that arrived for one order."""
    return [r for r in sandbox.requests(B2C_PATH) if r["body"]["OriginatorConversationID"] == asked.provider_ref]


class TestDisburse:
    def test_is_accepted_under_our_own_id(self, sandbox):
        asked = order()
        answer = client(sandbox.url).disburse(asked)

        assert isinstance(answer, Accepted) and answer.request_id.startswith("AG_")
        [request] = seen(sandbox, asked)
        body = request["body"]
        assert (body["Amount"], body["PartyA"], body["PartyB"]) == (500, "600100", AMINA)
        for field, end in (("ResultURL", "result"), ("QueueTimeOutURL", "timeout")):
            token = body[field].removesuffix(f"/{end}").rsplit("/", 1)[1]
            assert attempt_named_by("b2c", token) == uuid.UUID(asked.provider_ref)

    def test_the_same_id_again_is_taken_for_already_there(self, sandbox):
        rail, asked = client(sandbox.url), order()

        assert isinstance(rail.disburse(asked), Accepted)
        assert rail.disburse(asked) == Accepted("")

    @pytest.mark.parametrize(
        ("ack", "kind"),
        [
            ({"mode": "lost_before_accept"}, Unknown),
            ({"mode": "lost_after_accept"}, Unknown),
            ({"mode": "reset"}, Unknown),
            ({"mode": "html"}, Unknown),
            ({"mode": "truncated"}, Unknown),
            ({"mode": "http", "status": 500, "body": ""}, Unknown),
            ({"mode": "http", "status": 502, "body": "<html>bad gateway</html>"}, Unknown),
            ({"mode": "http", "status": 200, "body": "[]"}, Unknown),
            ({"mode": "http", "status": 200, "body": {}}, Unknown),
            ({"mode": "http", "status": 200, "body": {"ResponseCode": "1", "ConversationID": "AG_1"}}, Unknown),
            ({"mode": "http", "status": 200, "body": {"errorCode": "500.001.1001", "errorMessage": "x"}}, Unknown),
            (
                {
                    "mode": "http",
                    "status": 500,
                    "body": {"errorCode": "500.002.1001", "errorMessage": "System internal error."},
                },
                Unknown,  # the code of a duplicate, but not its message
            ),
            ({"mode": "http", "status": 403, "body": "<html>forbidden</html>"}, Unknown),
            ({"mode": "http", "status": 408, "body": {"errorCode": "408", "errorMessage": "x"}}, Unknown),
            ({"mode": "dup_id"}, Accepted),
            ({"mode": "spike"}, NotSent),
            ({"mode": "http", "status": 429, "body": ""}, NotSent),
            (
                {
                    "mode": "http",
                    "status": 500,
                    "body": {"errorCode": "500.003.03", "errorMessage": "Quota Violation"},
                },
                NotSent,
            ),
            (
                {
                    "mode": "http",
                    "status": 400,
                    "body": {"errorCode": "400.002.02", "errorMessage": "Bad Request - Invalid Amount"},
                },
                Failed,
            ),
        ],
        ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else value.__name__,
    )
    def test_reads_each_answer_for_what_it_proves(self, sandbox, ack, kind):
        sandbox.faults({"match": {"path": B2C_PATH, "nth": 1}, "ack": ack})
        asked = order()

        answer = client(sandbox.url).disburse(asked)

        assert isinstance(answer, kind), answer
        assert len(seen(sandbox, asked)) == 1, "no POST is repeated"

    def test_a_refused_field_is_our_fault_and_named(self, sandbox):
        answer = client(sandbox.url).disburse(order(msisdn="123"))

        assert isinstance(answer, Failed) and answer.ours and "PartyB" in answer.text

    def test_a_read_time_out_is_unknown_and_not_repeated(self, sandbox):
        sandbox.faults({"match": {"path": B2C_PATH, "nth": 1}, "ack": {"mode": "slow", "after_ms": 900}})
        asked = order()

        assert client(sandbox.url, read_s=0.3).disburse(asked) == Unknown("ReadTimeout")
        assert len(seen(sandbox, asked)) == 1

    def test_nothing_was_sent_when_nobody_listens(self):
        assert isinstance(client(f"http://127.0.0.1:{free_port()}").disburse(order()), NotSent)

    def test_amounts_with_cents_never_leave(self, sandbox):
        asked = order(amount_cents=50_050)

        with pytest.raises(ValueError, match="whole units"):
            client(sandbox.url).disburse(asked)
        assert seen(sandbox, asked) == []


class TestRequestPayment:
    def test_prompts_for_whole_shillings_at_east_african_time(self, sandbox):
        answer = client(sandbox.url).request_payment(order(purpose="collect", account_reference="7KQ2ABCDEFGHIJ"))

        assert isinstance(answer, Accepted) and answer.request_id.startswith("ws_CO_")
        body = next(r["body"] for r in sandbox.requests(STK_PATH) if r["status"] == 200)
        assert (body["Amount"], body["Timestamp"]) == (500, "20260302120000")
        assert len(body["AccountReference"]) <= 12 and len(body["TransactionDesc"]) <= 13

    def test_an_open_session_is_a_failure_that_may_be_tried_again(self, sandbox):
        body = {
            "errorCode": "500.001.1001",
            "errorMessage": "Unable to lock subscriber, a transaction is already in process",
        }
        sandbox.faults(
            {"match": {"path": STK_PATH, "nth": 1}, "ack": {"mode": "http", "status": 500, "body": body}}
        )

        answer = client(sandbox.url).request_payment(order(purpose="collect"))

        assert isinstance(answer, Failed) and not answer.ours and answer.again_after_s >= 60

    def test_wrong_credentials_are_our_fault_under_the_same_code(self, sandbox):
        body = {"errorCode": "500.001.1001", "errorMessage": "Wrong credentials"}
        sandbox.faults(
            {"match": {"path": STK_PATH, "nth": 1}, "ack": {"mode": "http", "status": 500, "body": body}}
        )

        answer = client(sandbox.url).request_payment(order(purpose="collect"))

        assert isinstance(answer, Failed) and answer.ours


class TestQuery:
    def test_of_a_payout_is_taken_and_answered_elsewhere(self, sandbox):
        asked = order()

        assert isinstance(client(sandbox.url).query(asked), Accepted)
        body = sandbox.requests(STATUS_PATH)[-1]["body"]
        assert body["OriginalConversationID"] == asked.provider_ref
        token = body["ResultURL"].removesuffix("/result").rsplit("/", 1)[1]
        assert attempt_named_by("status", token) == uuid.UUID(asked.provider_ref)

    def test_of_a_payout_that_is_refused_says_nothing(self, sandbox):
        body = {"errorCode": "400.002.02", "errorMessage": "Bad Request - Invalid Initiator"}
        sandbox.faults({"match": {"path": STATUS_PATH}, "ack": {"mode": "http", "status": 400, "body": body}})

        assert isinstance(client(sandbox.url).query(order()), Unknown)

    def test_of_a_prompt_tells_pending_then_paid_but_no_receipt(self, sandbox):
        msisdn = "254711000777"
        sandbox.phone(msisdn, name="Brian", wallet_pin="4321", balance_cents=100_000, answer="ask")
        rail = client(sandbox.url)
        asked = order(purpose="collect", msisdn=msisdn)
        accepted = rail.request_payment(asked)
        asked = order(purpose="collect", msisdn=msisdn, request_id=accepted.request_id)

        assert rail.query(asked) == Unknown("The transaction is being processed")
        sandbox.flush()
        [prompt] = sandbox.phone(msisdn)["prompts"]
        sandbox.answer(msisdn, prompt["id"], pin="4321")
        assert rail.query(asked) == Succeeded("", 50_000, msisdn, NOW)

    def test_of_a_prompt_tells_what_the_customer_did(self, sandbox):
        msisdn = "254711000778"
        sandbox.phone(msisdn, name="Brian", wallet_pin="4321", balance_cents=100_000, answer="ask")
        rail = client(sandbox.url)
        accepted = rail.request_payment(order(purpose="collect", msisdn=msisdn))
        sandbox.flush()
        [prompt] = sandbox.phone(msisdn)["prompts"]
        sandbox.answer(msisdn, prompt["id"], cancel=True)

        answer = rail.query(order(purpose="collect", msisdn=msisdn, request_id=accepted.request_id))

        assert isinstance(answer, Failed) and answer.code == "1032" and not answer.ours

    def test_of_a_prompt_that_the_rail_does_not_know(self, sandbox):
        assert client(sandbox.url).query(order(purpose="collect", request_id="ws_CO_1")) == NotFound()

    def test_of_a_prompt_without_an_id_asks_nobody(self):
        assert isinstance(client("http://127.0.0.1:1").query(order(purpose="collect")), Unknown)


class TestToken:
    def test_is_shared_by_every_process(self, sandbox):
        before = len(sandbox.requests(TOKEN_PATH))
        for _ in range(3):
            assert isinstance(client(sandbox.url, key="shared").disburse(order()), Accepted)

        assert len(sandbox.requests(TOKEN_PATH)) == before + 1

    def test_lies_sealed_in_the_cache(self, sandbox):
        rail = client(sandbox.url)
        token = rail.token.get()

        assert token.encode() not in cache.get(rail.token.key)

    def test_that_another_process_has_killed_is_refreshed_once_under_the_same_id(self, sandbox):
        rail, asked = client(sandbox.url, key="rivals"), order()
        rail.token.get()
        client(sandbox.url, key="rivals", token_cache=DeadCache()).token.get()  # kills the shared one

        assert isinstance(rail.disburse(asked), Accepted)
        assert [request["status"] for request in seen(sandbox, asked)] == [401, 200]

    def test_that_is_refused_twice_means_that_nothing_was_taken(self, sandbox):
        sandbox.faults({"match": {"path": B2C_PATH}, "ack": {"mode": "token_expired"}})
        asked = order()

        assert client(sandbox.url).disburse(asked) == NotSent("token refused twice")
        assert len(seen(sandbox, asked)) == 2

    def test_is_fetched_without_a_cache_and_kept(self, sandbox):
        rail = client(sandbox.url, token_cache=DeadCache())
        before = len(sandbox.requests(TOKEN_PATH))

        assert isinstance(rail.disburse(order()), Accepted)
        assert isinstance(rail.disburse(order()), Accepted)
        assert len(sandbox.requests(TOKEN_PATH)) == before + 1

    def test_is_fetched_by_one_while_the_others_wait(self, sandbox):
        before = len(sandbox.requests(TOKEN_PATH))
        sandbox.faults({"match": {"path": TOKEN_PATH}, "ack": {"mode": "slow", "after_ms": 200}})
        rails = [client(sandbox.url, key="crowd") for _ in range(6)]
        tokens: list[str] = []
        threads = [threading.Thread(target=lambda rail=rail: tokens.append(rail.token.get())) for rail in rails]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(set(tokens)) == 1 and len(tokens) == 6
        assert len(sandbox.requests(TOKEN_PATH)) == before + 1

    @pytest.mark.parametrize(
        "ack", [{"mode": "html"}, {"mode": "http", "status": 400, "body": {}}, {"mode": "lost_before_accept"}]
    )
    def test_that_cannot_be_had_means_that_nothing_was_sent(self, sandbox, ack):
        sandbox.faults({"match": {"path": TOKEN_PATH}, "ack": ack})
        asked = order()

        assert isinstance(client(sandbox.url).disburse(asked), NotSent)
        assert seen(sandbox, asked) == []


class TestRegisterPaybill:
    def test_registers_our_addresses_and_repeats_safely(self, sandbox, settings, capsys):
        settings.DARAJA_BASE_URL = sandbox.url

        call_command("register_paybill")
        call_command("register_paybill")

        body = sandbox.requests("/mpesa/c2b/v2/registerurl")[-1]["body"]
        assert body["ValidationURL"].endswith("/c2b/validation")
        assert "registered" in capsys.readouterr().out

    def test_says_why_when_it_does_not_work(self, settings):
        settings.DARAJA_BASE_URL = f"http://127.0.0.1:{free_port()}"

        with pytest.raises(CommandError, match="no token"):
            call_command("register_paybill")


class TestProvider:
    def test_is_one_for_each_process_and_account(self, settings):
        first = daraja.provider()
        settings.DARAJA_BASE_URL = "http://127.0.0.1:9"

        assert daraja.provider() is not first
        assert daraja.provider() is daraja.provider()


def test_every_request_has_a_connection_of_its_own():
    """One that idled may be closing just now, and a payout that never left would be called unknown."""
    callers = []

    class Gateway(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections open for whoever wants to use them again

        def _answer(self, body: dict) -> None:
            callers.append(self.client_address)
            raw = json.dumps(body).encode()
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def do_GET(self) -> None:
            self._answer({"access_token": "t", "expires_in": "3599"})

        def do_POST(self) -> None:
            self._answer({"ResponseCode": "0", "ConversationID": "AG_1"})

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        rail = client(f"http://127.0.0.1:{server.server_port}")
        assert [rail.disburse(order()) for _ in range(5)] == [Accepted("AG_1")] * 5
        assert len(callers) == len(set(callers)) == 6
    finally:
        server.shutdown()
        server.server_close()
