"""Secrets at rest: the encrypted column, the blind index over it, and the shape of a short token.

A wrong key raises. Handing back ciphertext as if it were the value would destroy it at the next save.
"""

import base64
import hashlib
import hmac
import os
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models

KEY_ID = "k1"


class WrongFieldKey(Exception):
    """A stored value cannot be opened with the key in force."""


def _key(secret: str, purpose: str) -> bytes:
    return hashlib.sha256(f"{purpose}:{secret}".encode()).digest()


@lru_cache(maxsize=4)
def _box(secret: str) -> AESGCM:
    return AESGCM(_key(secret, "field"))


def blind_index(purpose: str, value: str) -> str:
    """Return the keyed fingerprint under which `value` can be looked up without being readable.

    A plain hash of a national ID falls to enumeration in minutes; this one needs INDEX_KEY.
    """
    return hmac.new(_key(settings.INDEX_KEY, purpose), value.encode(), hashlib.sha256).hexdigest()


class EncryptedField(models.TextField):
    """Text stored as AES-256-GCM under FIELD_KEY, with the column's name bound in as associated data."""

    def _bound_to(self) -> bytes:
        return f"{self.model._meta.db_table}.{self.column}".encode()

    def get_prep_value(self, value: Any) -> Any:
        if value is None or value == "":
            return value
        nonce = os.urandom(12)
        sealed = nonce + _box(settings.FIELD_KEY).encrypt(nonce, str(value).encode(), self._bound_to())
        return f"{KEY_ID}:{base64.b64encode(sealed).decode()}"

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        if value is None or value == "":
            return value
        key_id, _, body = value.partition(":")
        if key_id != KEY_ID:
            raise WrongFieldKey(f"{self.column} was sealed with key {key_id!r}, need {KEY_ID!r}")
        sealed = base64.b64decode(body)
        try:
            return _box(settings.FIELD_KEY).decrypt(sealed[:12], sealed[12:], self._bound_to()).decode()
        except InvalidTag:
            raise WrongFieldKey(f"{self.column} does not open with FIELD_KEY") from None
