"""`manage.py seed_sandbox`: give the sandbox the money and the phones that our books speak of."""

from collections.abc import Iterator
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from lending.management.commands.float_balances import balances

# Handsets for people who try the system, with somebody's name on them and a little money.
FREE = {
    "254711000001": "Amina Wanjiru",
    "254711000002": "Brian Otieno",
    "254711000003": "Cheptoo Koech",
    "254711000004": "Daniel Mwangi",
    "254711000005": "Esther Nyambura",
}
FREE_CENTS = 2_000_00
WALLET_PIN = "1234"
# A wallet that nobody may look into holds something too.
UNKNOWN_CENTS = 500_00
BATCH = 500

# What is left in a wallet: its inflow less its outflow of the last weeks it shows, never quite nothing.
WALLETS = """
    SELECT msisdn, full_name,
           CASE WHEN count(movement.id) = 0 THEN %(unknown)s ELSE
               least(5000000, greatest(5000, coalesce(sum(
                   CASE WHEN movement.kind IN ('received', 'cash_in') THEN amount_cents ELSE -amount_cents END
               ), 0) / 100 * 100)) END::bigint
      FROM lending_borrower borrower
      LEFT JOIN lending_walletmovement movement
        ON movement.borrower_id = borrower.id AND moved_at > now() - interval '60 days'
     GROUP BY borrower.id
"""


class Command(BaseCommand):
    """Does its work once: where the shortcodes exist, money has moved since, and nothing is changed."""

    help = "Fund our shortcodes in the sandbox by the books and give every borrower a phone."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with httpx.Client(base_url=settings.SANDBOX_URL, timeout=30) as sandbox:
                self._seed(sandbox)
        except httpx.HTTPError as error:
            raise CommandError(f"the sandbox at {settings.SANDBOX_URL} does not answer: {error}") from error

    def _seed(self, sandbox: httpx.Client) -> None:
        wanted = shortcodes()
        known = _ask(sandbox, "GET", "/control/money")["shortcodes"]
        if wanted.keys() <= known.keys():
            self.stdout.write("The sandbox has our shortcodes already; nothing is changed.")
            return
        phones = list(_phones())
        for first in range(0, len(phones), BATCH):
            _ask(sandbox, "PUT", "/phones", {"phones": phones[first : first + BATCH]})
        # Last, because they say that all is done: a run that was cut off before is done again.
        for code, fields in wanted.items():
            if code not in known:
                _ask(sandbox, "PUT", f"/control/shortcodes/{code}", fields)
        self.stdout.write(f"The sandbox has {len(phones):,} phones and our shortcodes {', '.join(wanted)}.")


def shortcodes() -> dict[str, dict[str, Any]]:
    """Return our shortcodes with what they hold by our books."""
    held = balances()
    return {
        settings.DARAJA_B2C_SHORTCODE: {"name": "JIRANI PAYOUTS", "utility_cents": held["mpesa_payout"]},
        settings.DARAJA_PAYBILL: {"name": "JIRANI", "utility_cents": held["mpesa_paybill"]},
    }


def _phones() -> Iterator[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(WALLETS, {"unknown": UNKNOWN_CENTS})
        for msisdn, name, cents in cursor.fetchall():
            if msisdn not in FREE:
                yield _phone(msisdn, name, cents)
    for msisdn, name in FREE.items():
        yield _phone(msisdn, name, FREE_CENTS)


def _phone(msisdn: str, name: str, cents: int) -> dict[str, Any]:
    return {
        "msisdn": msisdn,
        "name": name.upper(),
        "wallet_pin": WALLET_PIN,
        "balance_cents": cents,
        "answer": "ask",
    }


def _ask(sandbox: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    answer = sandbox.request(method, path, json=body)
    answer.raise_for_status()
    return answer.json()
