"""A real HTTP server that stands where the product will: it keeps every callback and answers as told."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

Answer = tuple[int, str]
PATIENCE_S = 10


class CrowdServer(ThreadingHTTPServer):
    """A server that lets a crowd of callbacks queue instead of refusing connections."""

    request_queue_size = 512


@dataclass
class Received:
    """One callback."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.raw.decode(), keep_blank_values=True))

    @property
    def json(self):
        return json.loads(self.raw)


@dataclass
class Receiver:
    """Where callbacks arrive. `answers` maps the end of a path to a function of the callback."""

    answers: dict[str, Callable[[Received], Answer]] = field(default_factory=dict)
    got: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._news = threading.Condition()
        self._server = CrowdServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        serve = {"target": self._server.serve_forever, "kwargs": {"poll_interval": 0.02}}
        threading.Thread(**serve, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        with self._news:
            self.answers, self.got = {}, []

    def at(self, path: str) -> list[Received]:
        """Return what has arrived at paths with this ending."""
        with self._news:
            return [one for one in self.got if one.path.endswith(path)]

    def wait(self, path: str, count: int = 1) -> list[Received]:
        """Return the callbacks at a path as soon as there are `count` of them."""
        with self._news:
            found = self._news.wait_for(lambda: self._enough(path, count), PATIENCE_S)
        assert found, f"wanted {count} at {path}, got {[one.path for one in self.got]}"
        return found

    def _enough(self, path: str, count: int) -> list[Received] | None:
        here = [one for one in self.got if one.path.endswith(path)]
        return here if len(here) >= count else None

    def _take(self, one: Received) -> Answer:
        with self._news:
            self.got.append(one)
            self._news.notify_all()
            answers = dict(self.answers)
        for ending, answer in answers.items():
            if one.path.endswith(ending):
                return answer(one)
        return 200, '{"ResultCode": 0, "ResultDesc": "Success"}'

    def _handler(receiver) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, text = receiver._take(Received(self.path, dict(self.headers), raw))
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler
