"""What the demo needs in database and sandbox before its doors open. `config.demo` runs it; it repeats safely.

One process does it all, because loading Django takes longer than most of these steps.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

from config import embedded, environment
from config.demo import NO_MODEL

# Whoever wants to try the phone at once: name, number, money in the wallet.
PHONES = [
    {"msisdn": "254711000001", "name": "AMINA WANJIRU", "balance_cents": 250_000},
    {"msisdn": "254711000002", "name": "BRIAN OTIENO", "balance_cents": 40_000},
    {"msisdn": "254711000003", "name": "CHEPTOO KORIR", "balance_cents": 1_200_000},
]
WALLET_PIN = "1234"
SANDBOX_SECONDS = 30

Say = Callable[[str], None]


def main() -> int:
    """Set everything up; return 0, or NO_MODEL when nobody has trained one yet."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--began-at", type=float, default=time.monotonic(), help="zero of the times shown")
    began_at = arguments.parse_args().began_at

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began_at:5.1f} s] {text}", flush=True)  # noqa: T201

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # All of this can be repeated, so no step needs to wait for the disk.
    os.environ.setdefault("PGOPTIONS", "-c synchronous_commit=off")
    environment.prepare()
    django.setup()
    fill_database(say)
    furnish_sandbox()
    say("The sandbox has phones, wallets and shortcodes.")
    return 0 if has_champion() else NO_MODEL


def fill_database(say: Say) -> None:
    """Migrate, load fixtures, create accounts, and create the demo portfolio in an empty database."""
    from lending.models import Borrower, Posting

    call_command("migrate", interactive=False, verbosity=0)
    call_command("load_fixtures", stdout=open(os.devnull, "w"))  # noqa: SIM115, PTH123 - lives as long as we do
    create_accounts(environment.load_secrets(embedded.default_var()))
    say("The database is migrated; fixtures and accounts are in place.")
    if not Posting.objects.filter(reference__startswith="capital:demo:").exists():
        say("The demo portfolio is being created.")
        call_command("demo_portfolio")
        say(f"The demo portfolio has {Borrower.objects.count():,} borrowers.")


def create_accounts(passwords: dict[str, str]) -> None:
    """Create the administrator and an officer; a password that somebody changed stays changed."""
    from django.contrib.auth.models import Group, User

    if not User.objects.filter(username="admin").exists():
        User.objects.create_superuser("admin", password=passwords["ADMIN_PASSWORD"])
    if not User.objects.filter(username="officer").exists():
        officer = User.objects.create_user("officer", password=passwords["OFFICER_PASSWORD"], is_staff=True)
        officer.groups.set(Group.objects.filter(name="Loan officers"))


def has_champion() -> bool:
    """Tell whether a model serves."""
    from scoring import registry

    return registry.champion_name() is not None


def furnish_sandbox() -> None:
    """Give the sandbox our shortcodes and some phones, and tell it where paybill payments are announced."""
    from lending.management.commands import float_balances

    wait_for_sandbox()
    known = (ask_sandbox("GET", "/control/money") or {})["shortcodes"]
    held = float_balances.balances()
    for code, account in (
        (settings.DARAJA_B2C_SHORTCODE, "mpesa_payout"),
        (settings.DARAJA_PAYBILL, "mpesa_paybill"),
    ):
        if code not in known:
            # As much as our books say, so that both sides count the same money from the beginning.
            body = {"name": "JIRANI", "utility_cents": held[account]}
            ask_sandbox("PUT", f"/control/shortcodes/{code}", body)
    for phone in PHONES:
        if ask_sandbox("GET", f"/phones/{phone['msisdn']}") is None:
            ask_sandbox("PUT", f"/phones/{phone['msisdn']}", phone | {"wallet_pin": WALLET_PIN})
    call_command("register_paybill", stdout=open(os.devnull, "w"))  # noqa: SIM115, PTH123


def wait_for_sandbox() -> None:
    """Return once the sandbox answers.

    Raises:
        TimeoutError: it did not within SANDBOX_SECONDS.
    """
    deadline = time.monotonic() + SANDBOX_SECONDS
    while True:
        try:
            ask_sandbox("GET", "/healthz")
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError("the sandbox does not answer; see log/sandbox.log") from error
            time.sleep(0.05)
        else:
            return


def ask_sandbox(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the sandbox, which speaks JSON; None when it knows no such thing."""
    request = urllib.request.Request(  # noqa: S310
        os.environ["SANDBOX_URL"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            content = answer.read()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    return json.loads(content) if content.startswith((b"{", b"[")) else content.decode()


if __name__ == "__main__":
    sys.exit(main())
