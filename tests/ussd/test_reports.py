"""Where people leave, how long they wait, what it costs: from hops and the reports on ends."""

from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from lending.models import Borrower
from tests.phone import Phone
from ussd import reports
from ussd.models import Hop, Session, SessionEnd
from ussd.reports import ScreenReport

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def dialogue(number: int, *screens: str, network: str = "63902", ended: bool, minutes_ago: int = 60) -> Session:
    began = timezone.now() - minutes_ago * MINUTE
    session = Session.objects.create(
        gateway="g", gateway_session=f"s{number}", msisdn=f"25471100010{number}", network=network, flow_version="2",
        screen=screens[-1], language="en", hops_answered=len(screens), began_at=began, last_hop_at=began,
        ended_at=began if ended else None,
    )  # fmt: skip
    for position, screen in enumerate(screens, 1):
        Hop.objects.create(
            session=session, position=position, text_mac=str(position), screen=screen, answer="x", ends=False,
            answered_at=began, duration_ms=10 * position,
        )  # fmt: skip
    return session


def of(screen: str, network: str = reports.ALL_NETWORKS) -> ScreenReport:
    found = reports.last_days(7, timezone.now())
    return next(one for one in found if (one.screen, one.network) == (screen, network))


def test_who_leaves_is_counted_at_the_screen_where_they_left() -> None:
    dialogue(1, "home", "borrow.amount", ended=False)
    dialogue(2, "home", "borrow.amount", "borrow.facts", ended=False, network="63907")
    dialogue(3, "home", "borrow.amount", "borrow.facts", "borrow.decided", ended=True)
    assert (of("borrow.amount").shown, of("borrow.amount").left) == (3, 1)
    assert of("borrow.facts").drop_off == 0.5
    assert (of("borrow.facts", "63907").left, of("borrow.facts", "63902").left) == (1, 0)
    assert of("home").left == 0


def test_who_may_still_type_has_not_left() -> None:
    dialogue(1, "home", ended=False, minutes_ago=1)
    assert reports.last_days(7, timezone.now()) == []


def test_who_dials_again_in_time_is_told_apart() -> None:
    first = dialogue(1, "home", "borrow.facts", ended=False)
    again = dialogue(2, "home.resume", ended=True)
    Session.objects.filter(id=again.id).update(msisdn=first.msisdn, began_at=first.last_hop_at + MINUTE)
    assert (of("borrow.facts").left, of("borrow.facts").resumed) == (1, 1)


def test_what_a_session_cost_is_shared_among_its_hops() -> None:
    session = dialogue(1, "home", "borrow.amount", ended=True)
    SessionEnd.objects.create(
        gateway="g", gateway_session="s1", session=session, cost="KES 0.80", received_at=timezone.now()
    )
    assert (of("home").cost, of("home").currency) == (Decimal("0.4"), "KES")


def test_times_are_those_of_our_answers() -> None:
    for number in range(1, 4):
        dialogue(number, "home", "borrow.amount", ended=True)
    assert (of("borrow.amount").p50_ms, of("borrow.amount").p99_ms) == (20, 20)


def test_the_command_prints_what_was_dialled(client: Client, amina: Borrower) -> None:
    Phone(client, amina.msisdn).dials("*384*77#").types("1")
    Session.objects.update(last_hop_at=timezone.now() - 10 * MINUTE, began_at=timezone.now() - 10 * MINUTE)
    printed = StringIO()
    call_command("conversation", stdout=printed)
    lines = [line.split("\t") for line in printed.getvalue().splitlines()]
    assert lines[0][:4] == ["screen", "network", "shown", "left"]
    assert ["borrow.amount", "all", "1", "1", "0", "100.0%"] in [line[:6] for line in lines]
