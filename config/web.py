"""What the web server imports: Django behind a door that takes in whole requests.

A thread of Django's waits for whatever its request waits for, and threads are few. The server bounds the time for
headers, not for a body (granian, issue 728: it will not), so who sends a body byte by byte would hold a thread for
as long as they like. Here bodies are taken in by the event loop, which can wait for thousands; a thread is given to
a request that has come in whole, or is not going to. The protocol is the server's own, RSGI.

Source: https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md (version 1.6), PEP 3333.
"""

import asyncio
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from granian.rsgi import ProtocolClosed, ProtocolError

# Loaded with the web server, so that a hop can wake a worker through Celery's current application.
from config import celery  # noqa: F401
from config.bodies import CutOff, NotRead, OfNoLength, TooLarge, TooManyWaiting, TooSlow

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Answer = tuple[int, list[tuple[str, str]], bytes]
WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
# A gateway has sent a whole body within milliseconds, and gives up on us after 5 to 15 s.
PATIENCE_S = 5.0
# Of one address at once: no gateway comes near, and so many times 256 KiB are little.
WAITING_AT_MOST = 200


class Unread:
    """A body that was not taken in: whoever reads it is told why, and answers in words."""

    def __init__(self, why: NotRead) -> None:
        self.why = why

    def read(self, *_: int) -> NoReturn:
        raise self.why

    readline = read


class Door:
    """An application of WSGI, served over RSGI by some threads; a body has `largest` bytes at most."""

    def __init__(self, application: Application, threads: int, largest: int) -> None:
        self._application, self._largest = application, largest
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._waiting: Counter[str] = Counter()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        body: io.BytesIO | Unread = io.BytesIO()
        if scope.method not in WITHOUT_BODY or scope.headers.get("content-length"):
            try:
                body = io.BytesIO(await self._take_in(scope, protocol))
            except NotRead as why:
                body = Unread(why)
        answer = partial(self._answer, _environ(scope, body))
        status, headers, content = await asyncio.get_running_loop().run_in_executor(self._threads, answer)
        protocol.response_bytes(status, headers, content)

    async def _take_in(self, scope: Any, protocol: Any) -> bytes:
        """Return a whole body.

        Raises:
            NotRead: it will not be taken in: too large, too slow, cut off, of no length, or one of too many.
        """
        in_parts = "transfer-encoding" in scope.headers
        told = None if in_parts else scope.headers.get("content-length")
        if told and int(told) > self._largest:
            raise TooLarge(f"at most {self._largest} bytes are taken in")
        # Part by part, the server does not say whether the last came: JSON that is cut off is none, a form is one.
        may_be_cut = in_parts or not scope.http_version.startswith("1")
        if not told and may_be_cut and scope.headers.get("content-type", "").lower().startswith(FORMS):
            raise OfNoLength("a form must say its length")
        address = _address(scope)[0]
        if self._waiting[address] >= WAITING_AT_MOST:
            raise TooManyWaiting(f"{WAITING_AT_MOST} bodies of one address are waited for")
        self._waiting[address] += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                # No more can come than its length says, so it is taken in at once: each part costs a turn.
                return await (protocol() if told else self._whole(protocol))
        except TimeoutError:
            raise TooSlow(f"the body did not come within {PATIENCE_S} s") from None
        except (ProtocolError, ProtocolClosed) as error:
            raise CutOff("the rest of the body did not come") from error
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]

    async def _whole(self, protocol: Any) -> bytes:
        parts, size = [], 0
        async for part in protocol:
            parts.append(part)
            size += len(part)
            if size > self._largest:
                raise TooLarge(f"at most {self._largest} bytes are taken in", size)
        return b"".join(parts)

    def _answer(self, environ: dict[str, Any]) -> Answer:
        """Let the application answer, in a thread."""
        begun: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            begun.append((int(status.split(" ", 1)[0]), [(name.lower(), value) for name, value in headers]))

        said = self._application(environ, start_response)
        try:
            content = b"".join(said)
        finally:
            close = getattr(said, "close", None)
            if close is not None:
                close()
        status, headers = begun[-1]
        return status, headers, content


def _address(scope: Any) -> tuple[str, str]:
    host, _, port = scope.client.rpartition(":")
    return host, port


def _environ(scope: Any, body: io.BytesIO | Unread) -> dict[str, Any]:
    """Return a request as WSGI puts it."""
    host, _, port = scope.server.rpartition(":")
    asked: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": _address(scope)[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        # One with an underscore would pass for another that a proxy sets.
        if "_" not in name:
            key = name.upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            asked[key] = f"{asked[key]},{value}" if key in asked else value
    # Of one that was not taken in, so much that it is asked for.
    came = max(1, body.why.came) if isinstance(body, Unread) else body.getbuffer().nbytes
    asked.setdefault("CONTENT_LENGTH", str(came))
    if scope.authority and "HTTP_HOST" not in asked:
        asked["HTTP_HOST"] = scope.authority
    return asked


application = Door(get_wsgi_application(), settings.WEB_THREADS, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
