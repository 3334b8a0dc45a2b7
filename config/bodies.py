"""Bodies that drip in: the threads of the web server are few, and each waits for its request's body.

The server bounds the time for headers, not for a body (granian, issue 728: it will not). So nothing is read before
the secret in a gateway's address is found right, and no one address may keep more than some of the threads waiting;
what comes from it then is refused, unread. A proxy that takes in whole bodies first, as nginx does by itself, ends
slow ones for good: docs/operations.md. To read in a thread of its own and give up on it is no way: granian then
waits for that thread before it closes the connection, and serves nobody meanwhile (seen with 2.8.7).
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class TooManySlowBodies(OSError):
    """As many bodies of this address are waited for as may be. Django says that it could not read the request."""


class Waiting:
    """How many bodies are waited for, by the address that they come from."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def one_more(self, address: str) -> Iterator[None]:
        """Count a body while it is waited for.

        Raises:
            TooManySlowBodies: there are as many as may be.
        """
        with self._lock:
            if self._counts[address] >= self.most:
                raise TooManySlowBodies(f"{self.most} bodies of one address are waited for")
            self._counts[address] += 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[address] -= 1
                if not self._counts[address]:
                    del self._counts[address]


class Body:
    """A request's body that counts as waited for while it is read."""

    def __init__(self, inner: Any, waiting: Waiting, address: str) -> None:
        self._inner, self._waiting, self._address = inner, waiting, address

    def read(self, *size: int) -> bytes:
        with self._waiting.one_more(self._address):
            return self._inner.read(*size)

    def readline(self, *size: int) -> bytes:
        with self._waiting.one_more(self._address):
            return self._inner.readline(*size)


def bounded(application: Application, most: int) -> Application:
    """Return the application with at most so many bodies of one address waited for at once."""
    waiting = Waiting(most)

    def serve(request: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if request.get("CONTENT_LENGTH"):
            request["wsgi.input"] = Body(request["wsgi.input"], waiting, request.get("REMOTE_ADDR", ""))
        return application(request, start_response)

    return serve
