"""`manage.py register_paybill`: tell Daraja where paybill payments are validated and confirmed."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lending.payments.providers.daraja import RegistrationRefused, provider


class Command(BaseCommand):
    """Registers PUBLIC_BASE_URL for DARAJA_PAYBILL. Repeats safely."""

    help = "Register the validation and confirmation addresses of the paybill number with Daraja."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            provider().register_paybill()
        except RegistrationRefused as error:
            raise CommandError(f"Daraja did not register the paybill: {error}") from error
        self.stdout.write("The paybill's addresses are registered.")
