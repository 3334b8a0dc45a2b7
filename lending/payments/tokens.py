"""Tokens in callback addresses: Daraja signs nothing, so the address itself has to prove who was asked.

A token names one attempt and one kind of callback and is worthless for any other. It is all hex and one
dash, so that no word that Daraja bans from addresses can turn up in it.
"""

import hashlib
import hmac
import re
from uuid import UUID

from django.conf import settings

PATTERN = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}")
_ADDRESS = re.compile(r"gateways\\?/daraja\\?/[^\"'\s<>]*")


def _mac(kind: str, reference: UUID) -> str:
    text = f"callback:{kind}:{reference.hex}".encode()
    return hmac.new(settings.CALLBACK_KEY.encode(), text, hashlib.sha256).hexdigest()[:32]


def token_for(kind: str, provider_ref: UUID | str) -> str:
    """Return the token under which the rail may report on one attempt."""
    reference = UUID(str(provider_ref))
    return f"{reference.hex}-{_mac(kind, reference)}"


def attempt_named_by(kind: str, token: str) -> UUID | None:
    """Return the `provider_ref` that a token of ours stands for, or None for any other text."""
    if not PATTERN.fullmatch(token):
        return None
    reference = UUID(token[:32])
    return reference if hmac.compare_digest(token[33:], _mac(kind, reference)) else None


def secrets_in_force() -> list[str]:
    """Return the path secrets that are valid; the first one goes into new addresses.

    Two may be valid at once, because C2B addresses are registered once and a change takes time.
    """
    return [secret.strip() for secret in settings.DARAJA_SECRET.split(",") if secret.strip()]


def is_secret(candidate: str) -> bool:
    """Say whether a path secret is ours, in a time that does not tell how much of it was right."""
    # Every one is compared, always: stopping at a hit would tell which.
    hits = [hmac.compare_digest(candidate.encode(), secret.encode()) for secret in secrets_in_force()]
    return any(hits)


def address(path: str) -> str:
    """Return the full address that Daraja is told for a path such as `stk/<token>`."""
    return f"{settings.PUBLIC_BASE_URL}/gateways/daraja/{secrets_in_force()[0]}/{path}"


def redact(text: str) -> str:
    """Return text without secrets, tokens or callback addresses: results repeat our own addresses to us."""
    text = _ADDRESS.sub("gateways/daraja/[removed]", text)
    for secret in secrets_in_force():
        text = text.replace(secret, "[removed]")
    return PATTERN.sub("[removed]", text)
