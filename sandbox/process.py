"""Starts and stops a real sandbox process, for tests and for supervisors."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ROOT = Path(__file__).resolve().parent.parent
START_S, STOP_S = 20, 10


class DidNotStart(Exception):
    """The process ended, or stayed silent, before it was healthy."""


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class SandboxProcess:
    """A sandbox of its own, on a free port and a temporary file unless told otherwise.

    `http` talks to it; the methods below it are the calls that tests need most. The process also ends when
    the one that started it dies, so a killed test run leaves nothing behind.
    """

    def __init__(
        self, africastalking: str, *, port: int | None = None, data: Path | None = None, **options: Any
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        self._folder = None if data else tempfile.TemporaryDirectory(prefix="sandbox-")
        self.data = data or Path(self._folder.name) / "sandbox.sqlite3"  # type: ignore[union-attr]
        self.log_path = self.data.with_suffix(".log")
        self._command = [sys.executable, "-m", "sandbox", "--until-eof", "--port", str(self.port)]
        self._command += ["--data", str(self.data), "--africastalking", africastalking]
        for name, value in options.items():
            self._command += [f"--{name.replace('_', '-')}", str(value)]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.http.close()
        if self._folder:
            self._folder.cleanup()

    # -- life --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process and wait until it is healthy.

        Raises:
            DidNotStart: with the end of its log.
        """
        with self.log_path.open("ab") as log_file:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log_file,
                stderr=log_file,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        deadline = time.monotonic() + START_S
        while not self._is_healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise DidNotStart(self.log_path.read_text()[-2000:])
            time.sleep(0.05)

    def _is_healthy(self) -> bool:
        """Return whether our process answers, and not another one on its port."""
        pid = self.process.pid if self.process else None
        try:
            return self.http.get("/healthz").json().get("pid") == pid
        except (httpx.TransportError, ValueError):
            return False

    def stop(self) -> int | None:
        """End the process with SIGTERM and return its exit status."""
        return self._end(subprocess.Popen.terminate)

    def kill(self) -> int | None:
        """End the process with SIGKILL."""
        return self._end(subprocess.Popen.kill)

    def _end(self, how: Any) -> int | None:
        """End the process and wait for it."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            how(self.process)
        try:
            status = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self.process = None
        return status

    # -- what tests do most ------------------------------------------------------------------------------

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        """Call the sandbox and return its JSON, raising for an error."""
        response = self.http.request(method, path, json=body)
        response.raise_for_status()
        return response.json()

    def phone(self, msisdn: str, **fields: Any) -> dict[str, Any]:
        """Create, change or (without fields) look at a phone."""
        return self._json("PUT" if fields else "GET", f"/phones/{msisdn}", fields or None)

    def dial(self, msisdn: str, code: str) -> dict[str, Any]:
        """Dial a USSD code and return the screen."""
        return self._json("POST", f"/phones/{msisdn}/dial", {"code": code})

    def type(self, msisdn: str, text: str) -> dict[str, Any]:
        """Type into the open session and return the screen."""
        return self._json("POST", f"/phones/{msisdn}/input", {"text": text})

    def hang_up(self, msisdn: str) -> None:
        """Hang up."""
        self._json("POST", f"/phones/{msisdn}/hangup")

    def answer(self, msisdn: str, prompt_id: str, **body: Any) -> dict[str, Any]:
        """Answer a payment prompt with `pin=` or `cancel=True`."""
        return self._json("POST", f"/phones/{msisdn}/prompts/{prompt_id}", body)

    def pay(self, msisdn: str, *, paybill: str, account: str, amount_cents: int, pin: str) -> dict[str, Any]:
        """Pay a paybill number from the wallet's menu."""
        body = {"paybill": paybill, "account": account, "amount_cents": amount_cents, "pin": pin}
        return self._json("POST", f"/phones/{msisdn}/paybill", body)

    def text(self, msisdn: str, to: str, text: str) -> dict[str, Any]:
        """Send a text message from a phone."""
        return self._json("POST", f"/phones/{msisdn}/sms", {"to": to, "text": text})

    def shortcode(self, code: str, **fields: Any) -> None:
        """Create or fund a shortcode."""
        self._json("PUT", f"/control/shortcodes/{code}", fields)

    def faults(self, *rules: dict[str, Any], seed: int = 0) -> None:
        """Put fault rules in force."""
        self._json("POST", "/control/faults", {"seed": seed, "rules": rules})

    def clear_faults(self) -> None:
        """Let everything work again."""
        self._json("DELETE", "/control/faults")

    def break_line(self, msisdn: str, *rules: dict[str, Any]) -> None:
        """Put fault rules on the line of one phone; none mends it."""
        self._json("PUT", f"/phones/{msisdn}/faults", {"rules": rules})

    def wire(self, *msisdns: str, after: int = 0) -> list[dict[str, Any]]:
        """Return what went over the wire to and from these phones."""
        return self._json("GET", f"/wire?phones={','.join(msisdns)}&after={after}")["entries"]

    def flush(self) -> int:
        """Have everything done that waits for its time."""
        return self._json("POST", "/control/flush")["done"]

    def money(self) -> dict[str, Any]:
        """Return where all money is."""
        return self._json("GET", "/control/money")

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """Return the requests that were received."""
        return self._json("GET", "/control/requests" + (f"?path={path}" if path else ""))

    def callbacks(self, kind: str = "") -> list[dict[str, Any]]:
        """Return the callbacks that were sent."""
        return self._json("GET", "/control/callbacks" + (f"?kind={kind}" if kind else ""))
