from django.apps import AppConfig
from django.conf import settings


class UssdConfig(AppConfig):
    name = "ussd"
    verbose_name = "Conversation"

    def ready(self) -> None:
        """Stop the start when the generic gateway is described in a way that cannot be understood."""
        from ussd.gateways import generic

        generic.wire_of(settings.GENERIC_GATEWAY)
