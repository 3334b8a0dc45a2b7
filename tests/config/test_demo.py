"""The supervisor: it watches, says what is wrong, and leaves nothing behind."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import demo, embedded, environment
from config.demo import Child, Supervisor
from lending.demo.writer import BRIANS_PIN
from tests.config.test_embedded import processes_of

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
FAILURE = [sys.executable, "-c", "raise SystemExit(4)"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(is_so: Callable[[], object], seconds: float = 30) -> object:
    """Return the first true answer; the deadline only bounds a failing test."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
    return answer


@pytest.fixture
def supervisor(tmp_path, monkeypatch) -> Iterator[Supervisor]:
    """A supervisor without servers of its own, whose words can be read."""
    monkeypatch.setenv("JIRANI_VAR", str(tmp_path))
    (tmp_path / "log").mkdir()
    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.said = said  # type: ignore[attr-defined]
    supervisor.has_own_servers = False
    yield supervisor
    supervisor.stop()


class TestChildren:
    def test_one_that_dies_is_started_again_and_it_is_said(self, supervisor):
        child = Child("worker", SLEEPER, floor=1, pause_seconds=0.1)
        supervisor._launch(child)
        first = child.process.pid
        os.kill(first, signal.SIGKILL)

        until(lambda: supervisor.look_after_children() or (child.is_running() and child.process.pid != first))

        assert "worker has ended (signal 9)" in supervisor.said[0]
        assert "worker.log" in supervisor.said[0]

    def test_one_that_keeps_dying_waits_longer_each_time(self, supervisor):
        child = Child("web", FAILURE, floor=1, pause_seconds=0.01)
        supervisor._launch(child)

        until(lambda: supervisor.look_after_children() or len(supervisor.said) >= 3)

        assert child.pause_seconds == pytest.approx(0.08)
        assert all("status 4" in words for words in supervisor.said)

    def test_one_that_should_end_is_not_started_again(self, supervisor):
        supervisor._launch(Child("retrain", FAILURE, floor=1, ends_by_itself=True))
        until(lambda: supervisor.look_after_children() or supervisor.said)
        assert "retrain has failed (status 4)" in supervisor.said[0]
        assert not supervisor.children

    def test_what_a_killed_child_leaves_behind_is_cleared_away(self, supervisor, tmp_path):
        fork = "import subprocess, sys, time; wait = 'import time; time.sleep(600)'; "
        fork += "print(subprocess.Popen([sys.executable, '-c', wait]).pid, flush=True); time.sleep(600)"
        child = Child("worker", [sys.executable, "-c", fork], floor=1)
        supervisor._launch(child)
        orphan = int(until(lambda: (tmp_path / "log" / "worker.log").read_text().strip()))
        os.kill(child.process.pid, signal.SIGKILL)

        until(lambda: supervisor.look_after_children() or supervisor.said)

        until(lambda: not is_alive(orphan))

    def test_low_floors_stop_first(self, supervisor, monkeypatch):
        stopped: list[str] = []
        for name, floor in (("sandbox", 3), ("worker", 2), ("web", 1)):
            child = Child(name, SLEEPER, floor=floor)
            supervisor._launch(child)
            monkeypatch.setattr(
                child, "ask_to_end", lambda name=name, child=child: (stopped.append(name), child.signal(15))
            )

        supervisor.stop()

        assert stopped == ["web", "worker", "sandbox"]
        assert not any(child.is_running() for child in supervisor.children)


class TestTakenPort:
    @pytest.mark.parametrize("setting", ["WEB_PORT", "SANDBOX_PORT"])
    def test_is_named_with_its_setting_before_anything_starts(self, setting, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            done = refused_demo(tmp_path, **{setting: str(port)})

        assert f"port {port} is taken" in done
        assert f"{setting}={port + 1} make demo" in done

    @pytest.mark.parametrize("setting", ["WEB_PORT", "SANDBOX_PORT"])
    @pytest.mark.parametrize("value", ["http", "-1", "0", "65536", "٨٠٠٠"])
    def test_is_refused_in_words_when_it_is_no_port(self, setting, value, tmp_path):
        assert f"{setting} must be a port from 1 to 65535, got '{value}'" in refused_demo(
            tmp_path, **{setting: value}
        )

    def test_is_refused_when_both_settings_name_it(self, tmp_path):
        port = str(free_port())
        assert f"are both {port}" in refused_demo(tmp_path, WEB_PORT=port, SANDBOX_PORT=port)


class TestSecondDemo:
    def test_on_the_same_data_is_refused(self, supervisor, tmp_path):
        with supervisor._only_demo():
            words = refused_demo(tmp_path)
        assert "another one runs on the data" in words and "JIRANI_VAR=" in words
        with supervisor._only_demo():
            pass  # the first has ended, so the data is free

    @pytest.mark.parametrize("reason", ["data", "port"])
    def test_leaves_the_first_one_its_servers(self, supervisor, tmp_path, reason):
        embedded.ensure(tmp_path, postgres=False)
        try:
            with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as first:
                if reason == "data":
                    first.enter_context(supervisor._only_demo())
                refused_demo(tmp_path, WEB_PORT=str(server.getsockname()[1]))
            assert embedded.Redis(tmp_path).is_alive()
        finally:
            embedded.stop(tmp_path)


def refused_demo(var: Path, **given: str) -> str:
    """Start a demo that cannot start; return its words. It has touched no server."""
    ports = {"WEB_PORT": str(free_port()), "SANDBOX_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-m", "config.demo"],
        cwd=embedded.REPOSITORY,
        env=bare_environment(var) | ports | given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert not done.stderr
    assert not (var / "postgres").exists()
    return done.stdout


def bare_environment(var: Path) -> dict[str, str]:
    """Return our environment without what names servers, ports and secrets."""
    ours = {*environment.SECRETS, "DATABASE_URL", "REDIS_URL", "SANDBOX_URL", "PUBLIC_BASE_URL", "MODELS_DIR"}
    ours |= {"AFRICASTALKING_BASE_URL", "DARAJA_BASE_URL", "DJANGO_SETTINGS_MODULE"}
    return {name: value for name, value in os.environ.items() if name not in ours} | {"JIRANI_VAR": str(var)}


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class RunningDemo:
    """`python -m config.demo` as somebody at a terminal runs it."""

    def __init__(self, var: Path, web_port: int, sandbox_port: int) -> None:
        self.var, self.output = var, var.parent / "terminal"
        ports = {"WEB_PORT": str(web_port), "SANDBOX_PORT": str(sandbox_port)}
        self.sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        self.began_at = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "config.demo"],
                cwd=embedded.REPOSITORY,
                env=bare_environment(var) | ports,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def words(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str, seconds: float) -> float:
        """Wait until something is said; return the seconds since the start."""

        def is_said() -> bool:
            assert self.process.poll() is None, self.words()
            return words in self.words()

        until(is_said, seconds)
        return time.monotonic() - self.began_at

    def dial(self) -> str:
        """Return the first screen that Amina sees."""
        request = urllib.request.Request(
            f"{self.sandbox_url}/phones/254711000001/dial",
            data=b'{"code": "*384*77#"}',
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(json.load(answer)["text"])

    def members(self) -> list[int]:
        """Return every process whose ancestor is the supervisor."""
        parents = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        family = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        return sorted(family - {self.process.pid})

    def worker(self, queue: str) -> int:
        for pid in self.members():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"worker" in command and queue.encode() in command:
                    return pid
        raise LookupError(queue)


@pytest.mark.slow
def test_the_whole_demo_starts_heals_itself_stops_and_starts_again():
    place = Path(tempfile.mkdtemp(prefix="jirani-demo-"))
    place.chmod(0o755)
    ports = free_port(), free_port()
    try:
        first = RunningDemo(place / "var", *ports)
        first.wait_for("Ready", 600)
        assert "1 English" in first.dial()
        first.wait_for("The first model is being trained", 10)

        os.kill(first.worker("money,messages,default"), signal.SIGKILL)
        first.wait_for("worker has ended (signal 9); it starts again", 30)
        for kind in (embedded.Redis, embedded.Postgres):
            kind(place / "var").kill()
            first.wait_for(f"{kind.name} had died and runs again", 90)
        until(lambda: "English" in first.dial(), 60)

        family = first.members()
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(120) == 0
        assert "All processes have ended" in first.words()
        assert [pid for pid in family if is_alive(pid)] == []
        assert processes_of(place) == []

        second = RunningDemo(place / "var", *ports)
        seconds = second.wait_for("Ready", 120)
        assert "English" in second.dial()
        assert "demo portfolio is being created" not in second.words(), "the data was kept"
        print(f"second start: {seconds:.1f} s")

        family = second.members()
        second.process.kill()
        second.process.wait()
        until(lambda: not [pid for pid in family if is_alive(pid)], 60)
        assert processes_of(place) == []
    finally:
        for running in [value for value in locals().values() if isinstance(value, RunningDemo)]:
            running.process.kill()
            running.process.wait()
        embedded.stop(place / "var")
        shutil.rmtree(place)


def test_the_greeting_says_where_to_dial_and_log_in(supervisor, monkeypatch):
    monkeypatch.setenv("PUBLIC_BASE_URL", "http://127.0.0.1:8000")
    words = supervisor.greeting()
    assert "http://127.0.0.1:8000/phone/" in words
    assert "manage.py dial '*384*77#' --phone +254711000001" in words
    assert environment.load_secrets(supervisor.var)["ADMIN_PASSWORD"] in words
    assert f"PIN {BRIANS_PIN}" in words


@pytest.mark.parametrize(("port", "prefix"), [("8100", ""), ("8411", "SANDBOX_PORT=8411 ")])
def test_the_command_to_dial_works_in_another_terminal(supervisor, monkeypatch, port, prefix):
    monkeypatch.setenv("PUBLIC_BASE_URL", "http://127.0.0.1:8000")
    monkeypatch.setenv("SANDBOX_PORT", port)
    assert f"terminal    {prefix}{demo._python()} manage.py dial" in supervisor.greeting()


def test_each_queue_has_a_worker():
    queues = {
        command[command.index("-Q") + 1]
        for command in (child.command for child in demo.workers())
        if "-Q" in command
    }
    assert ",".join(sorted(queues)) == "money,messages,default,scoring,training"
