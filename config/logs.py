"""What may be written into a log."""

import logging
import re

# The path that follows is made of secrets and tokens, whether or not it leads anywhere.
ADDRESS = re.compile(r"(/gateways/[^/]*/).*", re.DOTALL | re.IGNORECASE)


class HideGatewayAddresses(logging.Filter):
    """Cuts the address of a gateway's callback after the gateway's name."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without what its message or one of its values says about an address."""
        record.msg = _cut(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(_cut(value) for value in record.args)
        return True


def _cut(value: object) -> object:
    """Return a text without its addresses. What is no text, like a status, keeps its type for the format."""
    return ADDRESS.sub(r"\1...", value) if isinstance(value, str) else value
