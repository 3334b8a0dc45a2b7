"""Effects owed: leased, repeated, postponed, parked."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from lending import outbox
from lending.models import Case, OutboxMessage
from tests.factories import NOON

TOPIC = "pin_reset"


class Handler:
    """Does what a test says and remembers when it was called."""

    called: list[datetime] = []
    fails = False

    @classmethod
    def handle(cls, *, topic: str, payload: dict[str, Any], at: datetime) -> None:
        cls.called.append(at)
        if cls.fails:
            raise RuntimeError("PIN 2580")


handle = Handler.handle


@pytest.fixture(autouse=True)
def handler(settings: Any) -> type[Handler]:
    settings.OUTBOX_HANDLERS = {TOPIC: ("tests.lending.test_outbox.handle", "messages")}
    Handler.called, Handler.fails = [], False
    return Handler


@pytest.mark.django_db
class TestDrain:
    def test_carries_out_what_is_due_once(self) -> None:
        for _ in range(2):
            outbox.write(TOPIC, reference="one", at=NOON, borrower_id=1)
        assert (outbox.drain(NOON), outbox.drain(NOON)) == (1, 0)
        assert len(Handler.called) == 1

    def test_leaves_what_is_not_due_and_what_others_hold(self) -> None:
        outbox.write(TOPIC, reference="later", at=NOON, due_at=NOON + timedelta(hours=1), borrower_id=1)
        outbox.write(TOPIC, reference="held", at=NOON, borrower_id=1)
        OutboxMessage.objects.filter(reference="held").update(leased_until=NOON + timedelta(seconds=30))
        assert outbox.drain(NOON) == 0
        assert outbox.drain(NOON + timedelta(seconds=31)) == 1

    def test_a_failure_comes_again_ever_later_and_never_leaks_its_words(self, caplog: Any) -> None:
        Handler.fails = True
        outbox.write(TOPIC, reference="bad", at=NOON, borrower_id=1)
        outbox.drain(NOON)
        row = OutboxMessage.objects.get()
        assert (row.last_error, row.done_at, row.tries) == ("RuntimeError", None, 1)
        assert row.due_at >= NOON + timedelta(seconds=2)
        assert "2580" not in caplog.text and "RuntimeError" in caplog.text

    def test_an_outage_of_hours_parks_nothing_and_a_day_of_failures_asks_a_person(self) -> None:
        Handler.fails = True
        outbox.write(TOPIC, reference="bad", at=NOON, borrower_id=1)
        now = NOON
        for _ in range(40):
            now = max(now, OutboxMessage.objects.get().due_at)
            outbox.drain(now)
        assert now > NOON + timedelta(hours=2) and OutboxMessage.objects.get().parked_at is None

        OutboxMessage.objects.update(tries=outbox.MAX_TRIES - 1)
        outbox.drain(OutboxMessage.objects.get().due_at)
        assert OutboxMessage.objects.get().parked_at is not None
        assert Case.objects.get().kind == "bad_task"

    def test_a_failure_of_the_first_holder_undoes_the_done_of_the_second(self) -> None:
        """The second one found the work half done and could not know that it would fail."""
        outbox.write(TOPIC, reference="slow", at=NOON, borrower_id=1)
        first = outbox._lease_next(NOON, [TOPIC], NOON)
        assert first is not None
        assert outbox.drain(NOON + timedelta(seconds=61)) == 1
        outbox._postpone(first, NOON + timedelta(seconds=62), RuntimeError())
        assert OutboxMessage.objects.get().done_at is None
