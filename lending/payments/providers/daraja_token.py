"""One OAuth token for all processes.

Every token that Daraja issues kills the one before it, so processes that each fetch their own keep logging
each other out. They share one through the cache, and only one of them fetches at a time. With the cache dead
each process fetches for itself; the client then meets "invalid token" now and then and refreshes once.
"""

import base64
import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

logger = logging.getLogger(__name__)

# Dropped a minute early: a token that dies on the way costs a refused request.
MARGIN_S = 60
LOCK_S = 15
WAIT_S, POLL_S = 5.0, 0.05


class SharedToken:
    """A bearer token in the cache, sealed: whoever reads Redis cannot spend with it.

    `fetch` asks Daraja for a new one and returns it with its life in seconds.
    """

    def __init__(self, cache: Any, name: str, fetch: Callable[[], tuple[str, int]]) -> None:
        self.cache, self.fetch = cache, fetch
        digest = hashlib.sha256(name.encode()).hexdigest()[:24]
        self.key, self.lock = f"daraja-token:{digest}", f"daraja-token-lock:{digest}"
        seal = hashlib.sha256(f"daraja-token:{settings.CALLBACK_KEY}".encode()).digest()
        self._box = Fernet(base64.urlsafe_b64encode(seal))
        self._own = ""

    def get(self, refused: str = "") -> str:
        """Return a token other than the one that Daraja has just refused.

        Passes on whatever `fetch` raises.
        """
        if token := self._known(refused):
            return token
        if not self._try_lock() and (token := self._wait_for_another(refused)):
            return token
        return self._refresh()

    def _known(self, refused: str) -> str:
        """Return the shared token, or our own when the cache is dead."""
        try:
            sealed = self.cache.get(self.key)
            token = self._box.decrypt(sealed).decode() if sealed else ""
        except InvalidToken:
            token = ""  # sealed under a key that is no longer in force
        except Exception as error:  # noqa: BLE001 - the cache may be dead in many ways
            logger.warning("token cache does not answer: %s", type(error).__name__)
            token = self._own
        return token if token != refused else ""

    def _try_lock(self) -> bool:
        try:
            return bool(self.cache.add(self.lock, 1, LOCK_S))
        except Exception:  # noqa: BLE001 - without a cache everybody fetches
            return True

    def _wait_for_another(self, refused: str) -> str:
        """Return the token that another process is fetching; nothing when it takes too long."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            time.sleep(POLL_S)
            if token := self._known(refused):
                return token
        return ""

    def _refresh(self) -> str:
        try:
            self._own, life_s = self.fetch()
            self._share(life_s)
        finally:
            self._unlock()
        return self._own

    def _share(self, life_s: int) -> None:
        try:
            self.cache.set(self.key, self._box.encrypt(self._own.encode()), max(life_s - MARGIN_S, 1))
        except Exception as error:  # noqa: BLE001 - our own copy serves
            logger.warning("token is not shared: %s", type(error).__name__)

    def _unlock(self) -> None:
        try:
            self.cache.delete(self.lock)
        except Exception as error:  # noqa: BLE001 - the lock dies by itself
            logger.warning("token lock is left to expire: %s", type(error).__name__)
