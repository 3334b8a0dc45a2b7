"""Which hop a request is, where a gateway sends only what was typed last."""

from datetime import UTC, datetime, timedelta

import pytest

from ussd import hops
from ussd.hops import QUICKEST_ANSWER, Latest
from ussd.models import Hop, Session

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEYLESS = Latest(begins=False)


@pytest.fixture
def session(db: None) -> Session:
    return Session.objects.create(
        gateway="nalo",
        gateway_session="s1",
        msisdn="254711000101",
        service_code="",
        flow_version="1",
        screen="start",
        language="en",
        began_at=NOON,
        last_hop_at=NOON,
    )


def answered(session: Session, text: str, *, took_ms: int = 0, final: bool = True) -> Hop:
    """Let the next hop bring a text and be answered at noon."""
    mac = hops.identify(session, text, KEYLESS, NOON + timedelta(days=1))
    session.hops_answered += 1
    session.save()
    return Hop.objects.create(
        session=session,
        position=session.hops_answered,
        text_mac=mac,
        screen="home",
        answer="",
        ends=False,
        final=final,
        answered_at=NOON,
        duration_ms=took_ms,
    )


def is_copy(session: Session, text: str, after: timedelta) -> bool:
    return Hop.objects.filter(
        session=session, text_mac=hops.identify(session, text, KEYLESS, NOON + after)
    ).exists()


class TestTheSameTextAgain:
    def test_sooner_than_people_type_is_a_copy(self, session: Session) -> None:
        answered(session, "1")
        assert is_copy(session, "1", QUICKEST_ANSWER - timedelta(milliseconds=1))

    def test_later_is_the_next_answer(self, session: Session) -> None:
        answered(session, "1")
        assert not is_copy(session, "1", QUICKEST_ANSWER)

    def test_counts_from_when_the_answer_was_out(self, session: Session) -> None:
        answered(session, "1", took_ms=4000)
        assert is_copy(session, "1", timedelta(seconds=6.9))
        assert not is_copy(session, "1", timedelta(seconds=7.1))

    def test_while_the_answer_is_not_out_is_a_copy(self, session: Session) -> None:
        answered(session, "1", final=False)
        assert is_copy(session, "1", timedelta(minutes=1))

    def test_after_a_refusal_is_a_copy(self, session: Session) -> None:
        answered(session, "9753")
        session.misses = 1
        assert is_copy(session, "9753", timedelta(minutes=1))
        assert not is_copy(session, "9754", timedelta(0))

    def test_after_the_end_is_a_copy(self, session: Session) -> None:
        answered(session, "2580")
        session.ended_at = NOON
        assert is_copy(session, "2580", timedelta(minutes=1))

    def test_of_a_hop_before_the_last_is_an_answer(self, session: Session) -> None:
        answered(session, "1")
        answered(session, "500")
        assert not is_copy(session, "1", timedelta(0))


def test_another_text_is_never_a_copy(session: Session) -> None:
    answered(session, "1")
    assert not is_copy(session, "2", timedelta(0))


def test_a_number_tells_the_hop_whatever_stands_beside_it(session: Session) -> None:
    first = hops.identify(session, "1", Latest(False, "2"), NOON)
    assert hops.identify(session, "9", Latest(False, "2"), NOON + timedelta(hours=1)) == first
    assert hops.identify(session, "1", Latest(False, "3"), NOON) != first


def test_what_begins_is_the_first_hop_however_often_it_comes(session: Session) -> None:
    began = hops.identify(session, "", Latest(True), NOON)
    answered(session, "1")
    assert hops.identify(session, "", Latest(True, "5"), NOON + timedelta(hours=1)) == began


def test_an_answer_to_what_was_never_shown_is_dropped() -> None:
    assert hops.first_inputs("2580", Latest(False)) == []
    assert hops.first_inputs("1*500", Latest(True)) == ["1", "500"]
    assert hops.first_inputs("1*500", None) == ["1", "500"]
    assert hops.first_inputs("", None) == []
