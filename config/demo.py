"""`make demo`: the whole house on one machine, started in order, watched, and put away without a trace.

    python -m config.demo

The supervisor loads neither Django nor Celery, so it is up at once and stays small. Every child leads a process
group of its own and is told by the kernel to end when the supervisor dies, however it dies. A child that ends by
itself is started again, after a pause that grows while it keeps ending. PostgreSQL and Redis are watched, too.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from config import embedded, environment

LOOK_SECONDS = 0.2
READY_SECONDS = 60
STOP_SECONDS = 15
LONGEST_PAUSE_SECONDS = 30.0
# A child that lived this long has proven that it can start: the next pause is short again.
PROVEN_SECONDS = 60
NO_MODEL = 3  # how `config.demo_setup` says that no model decides yet


class Stop(BaseException):
    """Somebody asked the demo to end. Not an Exception, so that no handler for errors swallows it."""


class CannotStart(RuntimeError):
    """The demo cannot run here; the text says what to change."""


@dataclass
class Child:
    """A process that the supervisor keeps alive. Children of one `floor` are stopped together, low floors first."""

    name: str
    command: list[str]
    floor: int
    ends_by_itself: bool = False
    niceness: int = 0
    death_signal: int = signal.SIGKILL  # what it gets when the supervisor dies
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    pause_seconds: float = 1.0
    restart_at: float | None = None

    def start(self, log_directory: Path) -> None:
        """Start the process, its words into `NAME.log`."""
        die_with_us = embedded.die_with_parent(self.death_signal)

        def before_it_runs() -> None:
            die_with_us()
            os.nice(self.niceness)

        with (log_directory / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                self.command,
                cwd=embedded.REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=before_it_runs,
            )
        self.started_at, self.restart_at = time.monotonic(), None

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the whole group: what a killed child left behind is meant as well."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def ask_to_end(self) -> None:
        """Ask the first process of the group; it knows how to end its own children."""
        if self.is_running() and self.process is not None:
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait until it ended or time is up, then clear away what is left of it."""
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=max(0.1, deadline - time.monotonic()))
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()


class Supervisor:
    """Starts, watches and stops the demo."""

    def __init__(self, say: Callable[[str], None] | None = None):
        self.began_at = time.monotonic()
        self.say = say or self._print
        self.var = embedded.default_var()
        self.children: list[Child] = []
        self.has_own_servers = not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"))
        self.is_stopping = False

    def _print(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began_at:5.1f} s] {text}", flush=True)  # noqa: T201

    def run(self) -> int:
        """Run the demo until somebody stops it; return the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        with contextlib.ExitStack() as claimed:
            try:
                environment.fill(self.var)
                claimed.enter_context(self._only_demo())
                self._check_ports()
            except CannotStart as error:  # nothing was started, so nothing is stopped: it may be somebody else's
                self.say(f"The demo cannot start: {error}")
                return 1
            return self._run()

    def _run(self) -> int:
        try:
            self.start()
            self.watch()
        except Stop:
            self.say("Stopping.")
        except (CannotStart, embedded.EmbeddedError) as error:
            self.say(f"The demo cannot go on: {error}")
            return 1
        finally:
            self.is_stopping = True
            self.stop()
        self.say("All processes have ended. The data stays; `make demo` goes on from here.")
        return 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.is_stopping:
            self.is_stopping = True
            raise Stop

    def start(self) -> None:
        """Bring everything up, the slow and independent things side by side.

        Raises:
            CannotStart, embedded.EmbeddedError: the text says what to change.
        """
        self.say(f"Data and logs are in {_shown(self.var)}. Ctrl-C ends everything.")
        environment.prepare(self.var, dies_with_parent=True)
        self.say("PostgreSQL and Redis run" + (", our own." if self.has_own_servers else "."))
        self._launch(sandbox())
        self._launch(web())  # loads while the database is set up, and is ready when that is
        has_model = self._set_up()
        self._wait_until_ready()
        for child in (
            *workers(),
            partner(),
        ):  # they take the processors for some seconds; the first dial goes before
            self._launch(child)
        self.say("Ready.\n" + self.greeting())
        if not has_model:
            self._launch(first_model())
            self.say(
                "The first model is being trained; until it serves, all but small repeat loans go to officers."
            )

    @contextlib.contextmanager
    def _only_demo(self) -> Iterator[None]:
        """Be the only demo on this data: two would share the wallets and stop each other's servers.

        The kernel lets go of the lock when this process dies, however it dies.
        """
        with (self.var / "demo.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotStart(
                    f"another one runs on the data in {_shown(self.var)}. Stop that one, or give this one data and "
                    "ports of its own: JIRANI_VAR=/another/directory WEB_PORT=8001 SANDBOX_PORT=8101 make demo"
                ) from None
            yield

    def _check_ports(self) -> None:
        ports = {name: _port(name) for name in ("WEB_PORT", "SANDBOX_PORT")}
        if ports["WEB_PORT"] == ports["SANDBOX_PORT"]:
            raise CannotStart(f"WEB_PORT and SANDBOX_PORT are both {ports['WEB_PORT']}; each needs one of its own")
        for name, who in (("WEB_PORT", "web server"), ("SANDBOX_PORT", "sandbox")):
            port = ports[name]
            if not embedded.is_port_free(port):
                raise CannotStart(
                    f"port {port} is taken, and the {who} needs it. Stop the program that listens there "
                    f"(another demo?), or choose another port: {name}={port + 1} make demo"
                )

    def _set_up(self) -> bool:
        """Bring database and sandbox into shape in a process of their own; return whether a model serves."""
        command = [sys.executable, "-m", "config.demo_setup", "--began-at", str(self.began_at)]
        setup = subprocess.Popen(  # noqa: S603
            command,
            cwd=embedded.REPOSITORY,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=embedded.die_with_parent(signal.SIGKILL),
        )
        try:
            status = setup.wait()
        finally:
            if setup.poll() is None:  # Ctrl-C while it works
                os.killpg(setup.pid, signal.SIGKILL)
                setup.wait()
        if status not in (0, NO_MODEL):
            raise CannotStart(f"setting up the database failed with status {status}; its words stand above")
        return status == 0

    def _launch(self, child: Child) -> None:
        self.children.append(child)
        child.start(self.var / "log")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        url = f"http://127.0.0.1:{os.environ['WEB_PORT']}/readyz"
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
            self.look_after_children()
            time.sleep(0.1)
        raise CannotStart(f"{url} did not become ready within {READY_SECONDS} s; see {self.var / 'log'}/web.log")

    def watch(self) -> None:
        """Keep everything alive until a signal comes."""
        while True:
            self.look_after_servers()
            self.look_after_children()
            time.sleep(LOOK_SECONDS)

    def look_after_servers(self) -> None:
        """Bring PostgreSQL or Redis back after a crash, on the same port and with their data."""
        if not self.has_own_servers or embedded.is_complete(self.var):
            return
        try:
            names = embedded.restore(self.var)
        except embedded.EmbeddedError as error:
            self.say(f"A server has died, and does not start yet: {error}")
        else:
            for name in names:
                self.say(f"{name} had died and runs again, on the old port and with its data.")

    def look_after_children(self) -> None:
        """Start again what has ended, after its pause."""
        for child in list(self.children):
            if child.is_running():
                if time.monotonic() - child.started_at > PROVEN_SECONDS:
                    child.pause_seconds = 1.0
            elif child.ends_by_itself:
                self._part_with(child)
            elif child.restart_at is None:
                self._plan_restart(child)
            elif time.monotonic() >= child.restart_at:
                child.start(self.var / "log")

    def _plan_restart(self, child: Child) -> None:
        child.signal(signal.SIGKILL)  # a pool without its parent would take work twice
        self.say(
            f"{child.name} has ended ({_how(child)}); it starts again in {child.pause_seconds:.0f} s. "
            f"See {_shown(self.var / 'log' / child.name)}.log"
        )
        child.restart_at = time.monotonic() + child.pause_seconds
        child.pause_seconds = min(child.pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def _part_with(self, child: Child) -> None:
        self.children.remove(child)
        took = time.monotonic() - child.started_at
        log = f"{_shown(self.var / 'log' / child.name)}.log"
        if child.process is not None and child.process.returncode == 0:
            self.say(f"{child.name} is done, in {took:.0f} s; see {log}")
        else:
            self.say(f"{child.name} has failed ({_how(child)}); see {log}")

    def stop(self) -> None:
        """Stop the children floor by floor, then Redis and PostgreSQL."""
        for floor in sorted({child.floor for child in self.children}):
            together = [child for child in self.children if child.floor == floor]
            for child in together:
                child.ask_to_end()
            deadline = time.monotonic() + STOP_SECONDS
            for child in together:
                child.wait(deadline)
        if self.has_own_servers:
            embedded.stop(self.var)

    def greeting(self) -> str:
        """Return where to dial and where to log in."""
        web_url, code = os.environ["PUBLIC_BASE_URL"], os.environ.get("USSD_CODE", "*384*77#")
        dial = f"{_sandbox_port()}{_python()} manage.py dial"
        passwords = environment.load_secrets(self.var)
        return "\n".join(
            [
                "",
                f"  Dial in the browser     {web_url}/phone/",
                f"  Dial in the terminal    {dial} '{code}' --phone +254711000001",
                "                          she is new; +254711000002 has borrowed before, PIN 2580",
                f"  Officers log in         {web_url}/admin/",
                f"                          officer / {passwords['OFFICER_PASSWORD']}",
                f"                          admin / {passwords['ADMIN_PASSWORD']} (everything)",
                f"  Health, figures         {web_url}/readyz  {web_url}/metrics",
                "",
            ]
        )


def sandbox() -> Child:
    """The operator and the aggregator: the outside world."""
    door = f"{os.environ['PUBLIC_BASE_URL']}/gateways/africastalking/{os.environ['AFRICASTALKING_SECRET']}"
    command = [sys.executable, "-m", "sandbox", "--port", os.environ["SANDBOX_PORT"]]
    command += ["--data", str(embedded.default_var() / "sandbox.sqlite3"), "--africastalking", door, "--quiet"]
    return Child("sandbox", command, floor=3)


def web() -> Child:
    """The web server, threads enough for hops that wait two seconds for a decision."""
    command = [str(Path(sys.executable).with_name("granian")), "--interface", "rsgi"]
    command += ["--host", embedded.HOST, "--port", os.environ["WEB_PORT"], "--workers", "1"]
    command += ["--no-ws", "--respawn-failed-workers", "config.web:application"]
    # Killed outright it would leave its worker behind; Celery's pools end with their parent.
    return Child("web", command, floor=1, death_signal=signal.SIGTERM)


def workers() -> list[Child]:
    """Everything that works behind the web server."""
    quiet = ["--without-gossip", "--without-mingle", "--loglevel", "info"]
    celery = [sys.executable, "-m", "celery", "-A", "config"]
    light = [*celery, "worker", "-Q", "money,messages,default", "--concurrency", "2", "-n", "worker@%h", *quiet]
    # One, since with SERVING_PATH=keras each would hold 600 MB.
    heavy = [*celery, "worker", "-Q", "scoring", "--concurrency", "1", "-n", "scoring@%h", *quiet]
    # Each training is a process of its own below this one, and out of everybody's way.
    training = [*celery, "worker", "-Q", "training", "--concurrency", "1", "-n", "training@%h", *quiet]
    return [
        Child("scoring", heavy, floor=2),
        Child("training", training, floor=2, niceness=10),
        Child("worker", light, floor=2),
        Child("sweep", [sys.executable, "manage.py", "sweep"], floor=1),
        Child("beat", [*celery, "beat", "--pidfile", "", "--loglevel", "info"], floor=1),
    ]


def partner() -> Child:
    """Whoever carries the settlement files between us and the sandbox's bank."""
    return Child("partner", [sys.executable, "manage.py", "play_partner"], floor=1)


def first_model() -> Child:
    """The training of the first model, beside everything else and out of everything else's way."""
    command = [sys.executable, "manage.py", "retrain", "--first"]
    return Child("retrain", command, floor=1, ends_by_itself=True, niceness=10)


def _how(child: Child) -> str:
    status = child.process.returncode if child.process is not None else 0
    return f"signal {-status}" if status < 0 else f"status {status}"


def _port(name: str) -> int:
    """Return the port that a setting names.

    Raises:
        CannotStart: it names none.
    """
    value = os.environ[name]
    if not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
        raise CannotStart(f"{name} must be a port from 1 to 65535, got {value!r}")
    return int(value)


def _sandbox_port() -> str:
    """Return what a command in another terminal needs to find the sandbox; nothing where it is as usual."""
    port = os.environ.get("SANDBOX_PORT", environment.SANDBOX_PORT)
    return "" if port == environment.SANDBOX_PORT else f"SANDBOX_PORT={port} "


def _python() -> str:
    return _shown(Path(sys.executable))


def _shown(path: Path) -> str:
    """Return a path as one would type it from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def main() -> int:
    """Run the supervisor."""
    return Supervisor().run()


if __name__ == "__main__":
    sys.exit(main())
