"""A phone for stories: it dials the real callback, keeps the cumulative text as a network does, and reads."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from lending import outbox
from lending.models import OutboxMessage
from ussd import sessions

NUMBERS = itertools.count(1)


class Phone:
    """`phone.dials("*384*77#").sees("1 Loan").types("1")`; every call returns the phone."""

    def __init__(self, client: Client, msisdn: str = "254711000101") -> None:
        self.client, self.msisdn = client, msisdn
        self.session_id, self.typed, self.raw = "", [], b""

    def dials(self, code: str) -> "Phone":
        """Begin a session; digits after our code are a shortcut."""
        own = settings.USSD_CODE.rstrip("#")
        extra = code.removeprefix(own).strip("*#") if code.startswith(own) else ""
        self.code = settings.USSD_CODE if code.startswith(own) else code
        self.session_id = f"ATUid_{next(NUMBERS):032x}"
        self.typed = extra.split("*") if extra else []
        return self._post()

    def types(self, *inputs: str) -> "Phone":
        """Answer, one hop for each input."""
        for typed in inputs:
            assert self.is_open, f"the session has ended: {self.text!r}"
            self.typed = [*self.typed, typed]
            self._post()
        return self

    def repeats(self) -> "Phone":
        """Let the network deliver the last hop again."""
        return self._post()

    def _post(self) -> "Phone":
        response = self.posts({"text": "*".join(self.typed)})
        assert response.status_code == 200, response.status_code
        assert response["Content-Type"].startswith("text/plain")
        self.raw = response.content
        assert self.raw[:4] in (b"CON ", b"END "), self.raw
        return self

    def posts(self, form: dict[str, Any]) -> Any:
        """Post one hop as Africa's Talking does and return the whole response."""
        fields = {
            "sessionId": self.session_id,
            "phoneNumber": f"+{self.msisdn}",
            "networkCode": "63902",
            "serviceCode": self.code,
        }
        path = f"/gateways/africastalking/{settings.AFRICASTALKING_SECRET}/ussd"
        return self.client.post(path, fields | form)

    @property
    def text(self) -> str:
        return self.raw.decode()[4:]

    @property
    def is_open(self) -> bool:
        return self.raw.startswith(b"CON ")

    def sees(self, *words: str) -> "Phone":
        """Insist on words on the screen."""
        for part in words:
            assert part in self.text, f"{part!r} is not on the screen: {self.text!r}"
        return self

    def sees_no(self, *words: str) -> "Phone":
        for part in words:
            assert part not in self.text, f"{part!r} is on the screen: {self.text!r}"
        return self

    def ends_with(self, *words: str) -> "Phone":
        """Insist that the session is over, with these words on the last screen."""
        self.sees(*words)
        assert not self.is_open, f"the session goes on: {self.text!r}"
        return self


@pytest.fixture
def phone(client: Client, law: None) -> Phone:
    """A phone with a number that nobody has registered yet, or Amina's when the test asks for her."""
    return Phone(client)


@pytest.fixture
def deciding_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A scoring worker that takes its turn whenever a hop waits: what a second process does, without time."""

    def turn(seconds: float) -> None:
        outbox.drain(timezone.now(), queue="scoring")

    monkeypatch.setattr(sessions, "pause", turn)
    yield


def settle_outbox(topic: str) -> None:
    """Make the rows of a topic due now: a test does not wait for its seconds."""
    OutboxMessage.objects.filter(topic=topic, done_at__isnull=True).update(due_at=timezone.now())
