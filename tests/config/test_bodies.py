"""Bodies that drip in, at the production server: whoever sends whole ones is served."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from config.bodies import Body, TooManySlowBodies, Waiting
from tests.stack import Stack, wait_for

FORM = {
    "sessionId": "ATUid_drip",
    "phoneNumber": "+254711000101",
    "serviceCode": "*384*77#",
    "networkCode": "63902",
    "text": "",
}
THREADS = 4  # of the web server in a stack


@pytest.fixture
def stack(tmp_path: Path, transactional_db: None) -> Iterator[Stack]:
    with Stack(tmp_path) as stack:
        stack.extra["SLOW_BODIES"] = str(THREADS - 1)
        stack.web()
        yield stack


def drip(port: int, path: str, source: str = "127.0.0.1") -> socket.socket:
    """Begin a request whose body does not come."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    connection.sendall(f"{head}Content-Length: 500\r\n\r\nsessionId=".encode())
    return connection


def answered(connections: list[socket.socket]) -> list[socket.socket]:
    return select.select(connections, [], [], 0)[0]


def dial(stack: Stack) -> httpx.Response:
    address = f"{stack.web_url}/gateways/africastalking/{settings.AFRICASTALKING_SECRET}/ussd"
    return httpx.post(address, data=FORM, timeout=5, trust_env=False)


class TestDripsAtTheServer:
    def test_without_the_secret_are_answered_unread(self, stack: Stack) -> None:
        with ExitStack() as drips:
            for _ in range(3 * THREADS):
                one = drips.enter_context(drip(stack.web_port, "/gateways/africastalking/guess/ussd"))
                assert one.recv(12) == b"HTTP/1.1 404"
            assert dial(stack).text.startswith("CON ")

    def test_with_the_secret_leave_threads_for_others(self, stack: Stack) -> None:
        path = f"/gateways/africastalking/{settings.AFRICASTALKING_SECRET}/ussd"
        with ExitStack() as drips:
            sent = [drips.enter_context(drip(stack.web_port, path, source="127.0.0.2")) for _ in range(3 * THREADS)]
            began = time.monotonic()
            assert dial(stack).text.startswith("CON ")
            assert time.monotonic() - began < 5
            refused = len(sent) - (THREADS - 1)
            wait_for(lambda: len(answered(sent)) == refused, 10, why="those beyond the bound are answered, unread")
            assert answered(sent)[0].recv(12) == b"HTTP/1.1 200"


class TestWaiting:
    def test_counts_each_address_by_itself_and_only_while_it_is_read(self) -> None:
        waiting = Waiting(1)
        with waiting.one_more("a"):
            with pytest.raises(TooManySlowBodies), waiting.one_more("a"):
                pass
            with waiting.one_more("b"):
                pass
        with waiting.one_more("a"):
            pass
        assert not waiting._counts

    def test_a_body_is_read_as_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "body"
        path.write_bytes(b"one\ntwo\nthree")
        with path.open("rb") as inner:
            body = Body(inner, Waiting(1), "a")
            assert (body.readline(), body.read(2), body.read()) == (b"one\n", b"tw", b"o\nthree")
