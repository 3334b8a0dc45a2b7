"""The door of the production server: whole requests come through, and bodies that drip in hold up nobody."""

import io
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import redis
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, UnreadablePostError

from config import bodies, web
from config.bodies import WORDS, CutOff, OfNoLength, TooLarge, TooManyWaiting, TooSlow
from config.web import FORMS, Door
from lending.models import ProviderEvent
from lending.payments import tokens
from tests.stack import Stack, wait_for
from ussd.models import AbuseSign, Session

FORM = {
    "sessionId": "ATUid_drip",
    "phoneNumber": "+254711000101",
    "serviceCode": "*384*77#",
    "networkCode": "63902",
    "text": "",
}
# Of the web server in a stack there are four.
MANY = 60


@pytest.fixture
def stack(tmp_path: Path, transactional_db: None) -> Iterator[Stack]:
    store = redis.Redis.from_url(settings.REDIS_URL)
    for key in store.scan_iter("guard:*"):  # what a test before this one counted within the hour
        store.delete(key)
    with Stack(tmp_path) as stack:
        stack.web()
        yield stack


def drip(port: int, path: str, head: str = "Content-Length: 500", kind: str = FORMS[0]) -> socket.socket:
    """Begin a request whose body does not come."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=12)
    heads = f"Host: 127.0.0.1\r\nContent-Type: {kind}\r\n{head}"
    connection.sendall(f"POST {path} HTTP/1.1\r\n{heads}\r\n\r\n".encode())
    return connection


def answered(connections: list[socket.socket]) -> list[socket.socket]:
    return select.select(connections, [], [], 0)[0]


def gateway(secret: str) -> str:
    return f"/gateways/africastalking/{secret}/ussd"


def dial(stack: Stack) -> httpx.Response:
    address = f"{stack.web_url}{gateway(settings.AFRICASTALKING_SECRET)}"
    return httpx.post(address, data=FORM, timeout=5, trust_env=False)


class TestBodiesThatDripIn:
    @pytest.mark.parametrize("secret", ["guess", settings.AFRICASTALKING_SECRET])
    def test_hold_up_nobody_and_are_given_up(self, stack: Stack, secret: str) -> None:
        """With the secret and without it, far more of them than there are threads."""
        with ExitStack() as drips:
            sent = [drips.enter_context(drip(stack.web_port, gateway(secret))) for _ in range(MANY)]
            began = time.monotonic()
            assert dial(stack).text.startswith("CON ")
            assert not answered(sent), "who sends slowly was answered before anybody could know"
            assert time.monotonic() - began < web.PATIENCE_S
            wait_for(
                lambda: len(answered(sent)) == MANY, web.PATIENCE_S * 2, why="those that were slow are answered"
            )
            assert dial(stack).text.startswith("CON ")
            said = sent[0].recv(2000)
            assert said.startswith(b"HTTP/1.1 404" if secret == "guess" else b"HTTP/1.1 200")
            assert secret == "guess" or b"Sorry, that did not work" in said

    def test_are_counted_for_officers(self, stack: Stack) -> None:
        with ExitStack() as drips:
            path = gateway(settings.AFRICASTALKING_SECRET)
            sent = [drips.enter_context(drip(stack.web_port, path)) for _ in range(MANY)]
            wait_for(
                lambda: len(answered(sent)) == MANY, web.PATIENCE_S * 2, why="those that were slow are answered"
            )
        assert AbuseSign.objects.get(kind=AbuseSign.Kind.SLOW).times > MANY / 2

    def test_of_a_rail_s_callback_are_told_so(self, stack: Stack) -> None:
        with drip(stack.web_port, f"/gateways/daraja/{tokens.secrets_in_force()[0]}/c2b/confirmation") as one:
            assert one.recv(2000).startswith(b"HTTP/1.1 408")

    def test_of_who_hangs_up_leave_no_trace_of_ours(self, stack: Stack) -> None:
        for head, kind in (("Content-Length: 500", FORMS[0]), ("Transfer-Encoding: chunked", "application/json")):
            drip(stack.web_port, gateway(settings.AFRICASTALKING_SECRET), head, kind).close()
        assert dial(stack).text.startswith("CON ")
        time.sleep(1)
        assert "Traceback" not in (stack.logs / "web.log").read_text()

    def test_that_are_cut_off_are_no_hops(self, stack: Stack) -> None:
        """What came of it reads like a whole one; what is missing may be the end of an amount."""
        came = urlencode(FORM | {"text": "1*5"}).encode()
        with drip(
            stack.web_port, gateway(settings.AFRICASTALKING_SECRET), f"Content-Length: {len(came) + 2}"
        ) as one:
            one.sendall(came)
            one.shutdown(socket.SHUT_WR)
            log = stack.logs / "web.log"
            wait_for(lambda: "came without a usable body" in log.read_text(), why="nobody saw that its end lacks")
        assert not Session.objects.exists()

    def test_of_forms_in_parts_are_refused_in_words(self, stack: Stack) -> None:
        """Nobody could tell if its last part were missing."""
        address = f"{stack.web_url}{gateway(settings.AFRICASTALKING_SECRET)}"
        parts = iter([urlencode(FORM).encode()])
        answer = httpx.post(address, content=parts, headers={"content-type": FORMS[0]}, trust_env=False)
        assert answer.text.startswith("END Sorry, that did not work") and not Session.objects.exists()
        assert "a form must have one (Content-Length)" in (stack.logs / "web.log").read_text()

    def test_of_one_address_beyond_so_many_are_not_waited_for(self, stack: Stack) -> None:
        with ExitStack() as drips:
            path = gateway(settings.AFRICASTALKING_SECRET)
            sent = [drips.enter_context(drip(stack.web_port, path)) for _ in range(web.WAITING_AT_MOST + 5)]
            wait_for(lambda: len(answered(sent)) >= 5, 3, why="those beyond the bound are answered at once")
            assert len(answered(sent)) == 5

    def test_in_parts_of_no_length_are_bounded_too(self, stack: Stack) -> None:
        head = "Transfer-Encoding: chunked"
        with drip(stack.web_port, gateway(settings.AFRICASTALKING_SECRET), head, "application/json") as one:
            part = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
            for _ in range(settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 0x1000 + 1):
                one.sendall(part)
            assert b"Sorry, that did not work" in one.recv(2000)
        assert AbuseSign.objects.get().kind == AbuseSign.Kind.OVERSIZE


def test_a_request_comes_through_as_it_was_sent(stack: Stack) -> None:
    with httpx.Client(base_url=stack.web_url, trust_env=False) as http:
        assert http.get("/healthz").status_code == 200
        assert http.head("/healthz").status_code == 200
        assert "csrftoken" in http.get("/admin/login/?next=/admin/").cookies
        assert http.get("/static/admin/css/base.css").headers["content-type"].startswith("text/css")
        assert http.get("/nowhere/caf%C3%A9%20%2F").status_code == 404
        assert http.post(gateway(settings.AFRICASTALKING_SECRET), data=FORM).text.startswith("CON ")
        confirmation = f"/gateways/daraja/{tokens.secrets_in_force()[0]}/c2b/confirmation"
        recorded = (settings.BASE_DIR / "fixtures/callbacks/daraja/c2b_confirmation.json").read_bytes()
        kind = {"content-type": "application/json"}
        for sent in (recorded, iter([recorded[:40], recorded[40:]])):
            assert http.post(confirmation, content=sent, headers=kind).json()["ResultCode"] == 0
    assert ProviderEvent.objects.get().times_received == 2, "in one piece or in parts, it is the same payment"


class Asked:
    """A request as granian hands it over."""

    http_version, scheme, method, path, query_string = "1.1", "https", "POST", "/a é/", "x=1&y=%20"
    server, client, authority = "127.0.0.1:8000", "2001:db8::1:4000", None

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        self.headers = self
        self._headers = headers

    def items(self) -> list[tuple[str, str]]:
        return self._headers


def test_a_request_is_put_as_wsgi_puts_it() -> None:
    headers = [("host", "jirani.example"), ("accept", "a"), ("accept", "b"), ("x_forwarded_for", "1.2.3.4")]
    asked: Any = Asked([*headers, ("content-type", "text/plain")])
    environ = web._environ(asked, io.BytesIO(b"12345"))
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/a é/"
    assert (environ["HTTP_ACCEPT"], environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == (
        "a,b",
        "text/plain",
        "5",
    )
    assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == (
        "2001:db8::1", "127.0.0.1", "8000",
    )  # fmt: skip
    assert "HTTP_X_FORWARDED_FOR" not in environ, "what only a proxy may say came from the caller"


@pytest.mark.parametrize(
    ("why", "status"),
    [
        (TooLarge, 413),
        (TooSlow, 408),
        (OfNoLength, 411),
        (TooManyWaiting, 429),
        (CutOff, 400),
        (ConnectionResetError, 400),
    ],
)
def test_where_no_view_answers_the_words_say_what_to_do(why: type[OSError], status: int) -> None:
    """Django asks its middleware about what a view raised: here, in reading a form."""

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.POST["amount"])

    asked = WSGIRequest(_a_form(web.Unread(why("no"))))  # type: ignore[arg-type]
    serve: Any = bodies.answered(view)
    with pytest.raises(UnreadablePostError) as raised:
        serve(asked)
    response = serve.process_exception(asked, raised.value)
    assert response.status_code == status and response.content.decode() in WORDS.values()
    assert serve.process_exception(asked, ValueError()) is None


def _a_form(body: Any) -> dict[str, Any]:
    kind = "application/x-www-form-urlencoded"
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": "9",
        "wsgi.input": body,
    }


def test_what_an_application_holds_is_closed_whatever_happens() -> None:
    class Said:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            raise RuntimeError

        def close(self) -> None:
            self.closed = True

    said = Said()
    with pytest.raises(RuntimeError):
        Door(lambda environ, start_response: said, 1, 1)._answer({})
    assert said.closed
