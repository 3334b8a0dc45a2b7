"""What stands between a bare checkout and `config.settings`, which reads the environment and nothing else.

`prepare()` fills in what nobody has set: servers of our own, secrets made once and kept in
`var/secrets.json`, and the sandbox as the outside world. A production system sets DATABASE_URL and
REDIS_URL, and then nothing is filled in: a forgotten secret stops the start instead of being made up.

    python -m config.environment COMMAND ...     run any command in that environment
"""

import atexit
import fcntl
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from config import embedded

# Hexadecimal, because some of them stand in addresses and Daraja refuses addresses with certain words.
SECRETS = {
    "SECRET_KEY": 32,
    "PIN_PEPPER": 32,
    "FIELD_KEY": 32,
    "INDEX_KEY": 32,
    "CALLBACK_KEY": 32,
    "AFRICASTALKING_SECRET": 16,
    "AFRICASTALKING_API_KEY": 16,
    "HUBTEL_SECRET": 16,
    "INFOBIP_SECRET": 16,
    "NALO_SECRET": 16,
    "ARKESEL_SECRET": 16,
    "GENERIC_GATEWAY_SECRET": 16,
    "DARAJA_SECRET": 16,
    "DARAJA_CONSUMER_KEY": 16,
    "DARAJA_CONSUMER_SECRET": 16,
    "DARAJA_PASSKEY": 32,
    "DARAJA_SECURITY_CREDENTIAL": 32,
}
WEB_PORT, SANDBOX_PORT = "8000", "8100"
# Kept in the same file, shown by the demo, and no settings.
PASSWORDS = {"ADMIN_PASSWORD": 8, "OFFICER_PASSWORD": 8}


def prepare(
    var: Path | None = None, *, durable: bool = True, dies_with_parent: bool = False, servers: bool = True
) -> None:
    """Set what `config.settings` needs and nobody has set, and start the servers that are missing.

    Without `servers` none is started: for what opens no connection. Servers of our own are left at the end of
    this process; the last one that uses them stops them.

    Raises:
        embedded.EmbeddedError: a server of ours cannot run.
    """
    missing = {name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)}
    if not missing and not _is_true("DEBUG"):
        return
    var = embedded.default_var() if var is None else var.absolute()
    fill(var)
    if not servers:
        _point_nowhere()
    elif missing:
        found = embedded.ensure(
            var,
            postgres="DATABASE_URL" in missing,
            redis="REDIS_URL" in missing,
            durable=durable,
            dies_with_parent=dies_with_parent,
        )
        atexit.register(_leave, var, os.getpid())
        _set_if_unset("DATABASE_URL", found.database_url)
        _set_if_unset("REDIS_URL", found.redis_url)


def _point_nowhere() -> None:
    """Set addresses at which nothing answers, where none are set."""
    _set_if_unset("DATABASE_URL", "postgres://127.0.0.1:1/none")
    _set_if_unset("REDIS_URL", "redis://127.0.0.1:1/0")


def fill(var: Path) -> None:
    """Set the secrets and addresses of a development system, except those that are set."""
    _set_if_unset("JIRANI_VAR", str(var))
    for name, value in load_secrets(var).items():
        if name in SECRETS:
            _set_if_unset(name, value)
    _set_if_unset("WEB_PORT", WEB_PORT)
    _set_if_unset("SANDBOX_PORT", SANDBOX_PORT)
    _set_if_unset("PUBLIC_BASE_URL", f"http://127.0.0.1:{os.environ['WEB_PORT']}")
    _set_if_unset("SANDBOX_URL", f"http://127.0.0.1:{os.environ['SANDBOX_PORT']}")
    _set_if_unset("AFRICASTALKING_BASE_URL", os.environ["SANDBOX_URL"])
    _set_if_unset("DARAJA_BASE_URL", os.environ["SANDBOX_URL"])
    _set_if_unset("PHONE_SIMULATOR", "1")
    _set_if_unset("SECURE_COOKIES", "0")  # a demo speaks plain HTTP on loopback


def load_secrets(var: Path) -> dict[str, str]:
    """Return the secrets of this data directory, making once and for all those that it lacks."""
    var.mkdir(parents=True, exist_ok=True)
    path = var / "secrets.json"
    with (var / "secrets.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = embedded.read_json(path)
        lacking = {name: secrets.token_hex(size) for name, size in (SECRETS | PASSWORDS).items()}
        if lacking.keys() - known.keys():
            embedded.write_private_json(path, lacking | known)
        return lacking | known


def _leave(var: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child inherits the handler, but not the duty
        embedded.leave(var)


def end_on_sigterm() -> None:
    """Make SIGTERM end this process like Ctrl-C does, so that what it started is stopped."""

    def end(signal_number: int, frame: object) -> NoReturn:
        sys.exit(128 + signal_number)

    signal.signal(signal.SIGTERM, end)


def _is_true(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}


def _set_if_unset(name: str, value: str) -> None:
    if not os.environ.get(name):
        os.environ[name] = value


def main(arguments: list[str]) -> int:
    """Run a command in the prepared environment; `--no-servers` for one that opens no connection."""
    if arguments[:1] == ["--no-servers"]:
        fill(embedded.default_var())
        _point_nowhere()
        arguments = arguments[1:]
    else:
        end_on_sigterm()
        prepare()
    return subprocess.run(arguments).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
