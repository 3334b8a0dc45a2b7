"""What happens between hops: repeats, races, lost hops, dropped lines."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from lending.models import Application, Borrower, OutboxMessage
from tests import factories
from tests.phone import Phone
from ussd import deadline, engine, sessions
from ussd.models import Hop, Session


@pytest.fixture
def aminas_phone(client: Client, amina: Borrower) -> Phone:
    return Phone(client, amina.msisdn)


def to_the_pin(phone: Phone) -> Phone:
    return phone.dials("*384*77#").types("1", "500", "5", "2").sees("PIN")


class TestARepeatedHop:
    def test_gets_the_same_bytes_and_no_second_effect(
        self, aminas_phone: Phone, fixed_scorer: Any, deciding_worker: None
    ) -> None:
        factories.FixedScorer.says = factories.verdict("approve")
        to_the_pin(aminas_phone).types("2580").ends_with("Approved")
        first = aminas_phone.raw
        aminas_phone.repeats()
        assert aminas_phone.raw == first
        assert Application.objects.count() == 1
        assert Hop.objects.filter(session__gateway_session=aminas_phone.session_id).count() == 6

    def test_of_long_ago_gets_its_own_bytes(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77#").types("1")
        amount_screen = aminas_phone.raw
        aminas_phone.types("500").sees("What is it for?")
        aminas_phone.typed = ["1"]
        assert aminas_phone.repeats().raw == amount_screen
        aminas_phone.typed = ["1", "500"]
        aminas_phone.types("5").sees("2 Accept")

    def test_of_the_first_hop_is_the_first_screen(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77#").repeats().sees("1 Loan").types("1").sees("Your limit")

    def test_does_not_count_a_wrong_pin_twice(self, aminas_phone: Phone, amina: Borrower) -> None:
        to_the_pin(aminas_phone).types("9753").sees("Wrong PIN, 2 tries left")
        aminas_phone.repeats().repeats().sees("2 tries left")
        amina.refresh_from_db()
        assert amina.pin_failures == 1


class TestTheText:
    def test_may_hold_typed_stars_hashes_and_blanks(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77#").types("1 ").sees("Your limit").types("5*00").sees("smallest loan")
        aminas_phone.types("500#").sees("What is it for?")

    def test_with_an_empty_answer_asks_again(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77#").types("").sees("1 Loan").types("1").sees("Your limit")

    def test_with_a_star_at_the_end_means_what_stands_before_it(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77#").types("1*").sees("Your limit").sees_no("digits")

    @pytest.mark.parametrize("nothing", ["None", "null", "", " "])
    def test_that_says_nothing_is_a_first_hop(self, aminas_phone: Phone, nothing: str) -> None:
        aminas_phone.dials("*384*77#")
        aminas_phone.session_id += "x"
        assert b"1 Loan" in aminas_phone.posts({"text": nothing}).content

    def test_of_a_thousand_segments_is_answered(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77*" + "*".join(["1"] * 1000) + "#")
        assert aminas_phone.text

    def test_of_a_shortcut_goes_as_far_as_what_must_be_seen(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77*1*500*5*2*2580#").sees("You get KES 500", "2 Accept")
        assert not Application.objects.exists()
        aminas_phone.types("2").sees("PIN")

    def test_that_forgot_a_hop_is_counted_and_moves_no_money(self, aminas_phone: Phone) -> None:
        to_the_pin(aminas_phone)
        aminas_phone.typed = ["9", "9", "9", "2580"]
        aminas_phone.repeats().sees("PIN")
        assert not Application.objects.exists()

    def test_that_is_shorter_than_before_shows_where_we_are(self, aminas_phone: Phone) -> None:
        to_the_pin(aminas_phone)
        aminas_phone.typed = ["7"]
        aminas_phone.repeats().sees("PIN")


def test_a_second_number_on_a_session_is_turned_away(aminas_phone: Phone, brian: Borrower) -> None:
    to_the_pin(aminas_phone)
    aminas_phone.msisdn = brian.msisdn
    aminas_phone.repeats().ends_with("Sorry").sees_no("PIN")


def test_a_session_that_ended_stays_ended(aminas_phone: Phone) -> None:
    aminas_phone.dials("*384*77#").types("5", "2", "2", "1", "400").ends_with("Your limit is now KES 400")
    aminas_phone.typed.append("1")
    aminas_phone.repeats().ends_with("This session is over")


class TestTheDecision:
    def test_comes_by_sms_when_the_workers_are_slow(
        self, aminas_phone: Phone, monkeypatch: pytest.MonkeyPatch, fixed_scorer: Any
    ) -> None:
        monkeypatch.setattr(sessions, "DECISION_S", 0.0)
        to_the_pin(aminas_phone).types("2580").ends_with("We are deciding. The answer comes by SMS.")
        factories.FixedScorer.says = factories.verdict("approve")
        factories.applications.decide(Application.objects.get().id, timezone.now())
        aminas_phone.repeats().ends_with("We are deciding")
        assert not Hop.objects.filter(decision_shown=True).exists()

    @pytest.mark.parametrize(
        ("outcome", "said"),
        [
            ("decline", ("Not this time", "Little money comes into your wallet.", "Use your wallet for a month")),
            ("refer", ("A person will look at your request by tomorrow",)),
        ],
    )
    def test_is_told_with_reason_and_next_step(
        self, aminas_phone: Phone, fixed_scorer: Any, deciding_worker: None, outcome: str, said: tuple[str, ...]
    ) -> None:
        factories.FixedScorer.says = factories.verdict(outcome)
        to_the_pin(aminas_phone).types("2580").ends_with(*said)
        assert Hop.objects.filter(decision_shown=True, final=True).count() == 1
        factories.FixedScorer.says = factories.verdict("approve")

    def test_is_not_waited_for_again_by_a_copy_whose_first_died(
        self, aminas_phone: Phone, monkeypatch: pytest.MonkeyPatch, fixed_scorer: Any
    ) -> None:
        monkeypatch.setattr(sessions, "DECISION_S", 0.0)
        monkeypatch.setattr(sessions, "REPEAT_S", 0.0)
        to_the_pin(aminas_phone).types("2580")
        Hop.objects.filter(application_id__isnull=False).update(final=False)  # as a crash would leave it
        aminas_phone.repeats().ends_with("We are deciding")
        assert not Hop.objects.filter(final=False).exists()


class TestADroppedLine:
    def test_goes_on_where_it_was_within_three_minutes(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77#").types("1", "500", "5").sees("You get KES 500")
        aminas_phone.dials("*384*77#").sees("Go on where you stopped?").types("1").sees(
            "You get KES 500", "2 Accept"
        )

    def test_at_the_pin_goes_back_to_the_key_facts(self, aminas_phone: Phone) -> None:
        to_the_pin(aminas_phone)
        aminas_phone.dials("*384*77#").types("1").sees("2 Accept")

    def test_again_and_again_loses_nothing(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77#").types("1", "500", "5")
        for _ in range(3):
            aminas_phone.dials("*384*77#").sees("Go on where you stopped?")
        aminas_phone.types("1").sees("You get KES 500", "2 Accept")

    def test_may_start_again(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77#").types("1", "500")
        aminas_phone.dials("*384*77#").types("2").sees("1 Loan")

    def test_is_forgotten_after_three_minutes(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77#").types("1", "500")
        Session.objects.update(last_hop_at=timezone.now() - timedelta(minutes=3, seconds=1))
        aminas_phone.dials("*384*77#").sees("1 Loan")

    def test_in_the_middle_of_registering_keeps_what_was_typed(self, phone: Phone) -> None:
        phone.dials("*384*77#").types("2", "1", "1", "1", "Amina Wanjiru", "23456781", "2580")
        phone.dials("*384*77#").sees("Uendelee ulipoishia?").types("1").sees("Chagua PIN").types("2580", "2580")
        assert Borrower.objects.get(msisdn=phone.msisdn).full_name == "Amina Wanjiru"

    def test_after_the_pin_shows_what_happened(
        self, aminas_phone: Phone, fixed_scorer: Any, deciding_worker: None
    ) -> None:
        factories.FixedScorer.says = factories.verdict("approve")
        to_the_pin(aminas_phone).types("2580").ends_with("Approved")
        aminas_phone.dials("*384*77#").sees("KES 500 is on its way").sees_no("Go on")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("statement", ["SELECT pg_sleep(60)", "SELECT 1"])
def test_however_slow_it_is_a_hop_ends_with_a_sentence_and_changes_nothing(
    aminas_phone: Phone, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """One statement that hangs, or many quick ones without end."""
    monkeypatch.setattr(sessions, "STEP_S", 0.3)

    def hangs(*_: Any, **__: Any) -> None:
        with connection.cursor() as cursor:
            while True:
                cursor.execute(statement)

    monkeypatch.setattr(engine, "step", hangs)
    aminas_phone.dials("*384*77#").ends_with("We are still working on your last answer")
    assert not Hop.objects.exists()


class TestVersions:
    @pytest.fixture
    def changed(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """Bring out another version, in which the amount is asked for in other words; the old screen is kept."""

        def bring_out() -> None:
            old = engine.SCREENS["borrow.amount"]
            new = replace(old, view=lambda _: engine.End("Come to the office."))
            monkeypatch.setitem(engine.EARLIER, "borrow.amount", [replace(old, until=engine.VERSION)])
            monkeypatch.setitem(engine.SCREENS, "borrow.amount", new)
            monkeypatch.setattr(engine, "VERSION", engine.VERSION + 1)

        return bring_out

    def test_a_dialogue_in_flight_ends_on_the_version_that_it_began(
        self, aminas_phone: Phone, changed: Callable[[], None]
    ) -> None:
        aminas_phone.dials("*384*77#").types("1")
        changed()
        aminas_phone.types("10").sees("The smallest loan").types("500").sees("What is it for?")
        Session.objects.update(ended_at=factories.NOON)
        aminas_phone.dials("*384*77#").types("1").ends_with("Come to the office.")

    def test_one_that_dropped_goes_on_in_its_version(
        self, aminas_phone: Phone, changed: Callable[[], None]
    ) -> None:
        aminas_phone.dials("*384*77#").types("1")
        changed()
        aminas_phone.dials("*384*77#").sees("The line dropped").types("1").sees("Your limit is KES 1,000")

    def test_the_way_back_leads_past_the_offer_to_go_on(self, aminas_phone: Phone) -> None:
        """Found by a crowd: it had nothing to offer any more."""
        aminas_phone.dials("*384*77#").types("1", "500", "5").sees("You get KES 500")
        aminas_phone.dials("*384*77#").sees("The line dropped").types("1").sees("You get KES 500")
        aminas_phone.types("2", "0").sees("You get KES 500").types("0").sees("1 Loan")

    def test_one_whose_screen_is_gone_starts_again(self, aminas_phone: Phone) -> None:
        aminas_phone.dials("*384*77#").types("1")
        Session.objects.update(screen="borrow.gone")
        aminas_phone.types("500").sees("1 Loan").types("1").sees("Your limit")


def test_answers_are_encrypted_and_gone_at_the_end(phone: Phone) -> None:
    phone.dials("*384*77#").types("1", "1", "1", "1", "Amina Wanjiru", "23456781")
    with connection.cursor() as cursor:
        cursor.execute("SELECT answers FROM ussd_session")
        (stored,) = cursor.fetchone()
    assert stored.startswith("k1:") and "23456781" not in stored
    phone.types("2580", "2580", "5", "2", "2", "1", "400").ends_with("Your limit is now KES 400")
    assert Session.objects.get().answers == ""


def test_a_bug_of_ours_is_a_sentence_and_stays_one(
    aminas_phone: Phone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(**facts: Any) -> None:
        raise RuntimeError("typed 2580")

    with monkeypatch.context() as patch:
        patch.setattr("ussd.screens.borrow.applications.submit", breaks)
        to_the_pin(aminas_phone).types("2580").ends_with("Sorry, that did not work on our side")
    assert "2580" not in caplog.text and "RuntimeError at" in caplog.text
    aminas_phone.repeats().ends_with("Sorry, that did not work on our side")
    assert not Application.objects.exists()


def test_a_hop_costs_few_queries(aminas_phone: Phone, django_assert_max_num_queries: Any) -> None:
    aminas_phone.dials("*384*77#")
    with django_assert_max_num_queries(11):
        aminas_phone.types("1")


@pytest.mark.django_db(transaction=True)
class TestAtTheSameTime:
    @pytest.fixture
    def live(self, client: Client, amina: Borrower) -> Phone:
        return Phone(client, amina.msisdn)

    def together(self, phone: Phone, copies: int = 6) -> list[bytes]:
        """Deliver the same hop several times at once."""
        answers: list[bytes] = []
        ready = threading.Barrier(copies)

        def deliver() -> None:
            ready.wait()
            answers.append(phone.posts({"text": "*".join(phone.typed)}).content)
            connection.close()

        threads = [threading.Thread(target=deliver) for _ in range(copies)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def test_copies_of_the_pin_hop_apply_once_and_show_the_same(
        self, live: Phone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sessions, "DECISION_S", 0.2)
        to_the_pin(live)
        live.typed.append("2580")
        answers = self.together(live)
        assert len(answers) == 6 and len(set(answers)) == 1 and b"We are deciding" in answers[0]
        assert Application.objects.count() == 1
        assert OutboxMessage.objects.filter(topic="application_submitted").count() == 1

    def test_copies_that_come_while_one_waits_show_the_decision_too(self, live: Phone, fixed_scorer: Any) -> None:
        factories.FixedScorer.says = factories.verdict("approve")
        to_the_pin(live)
        live.typed.append("2580")

        def decide_when_asked() -> None:
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                for application in Application.objects.filter(state="submitted"):
                    factories.applications.decide(application.id, timezone.now())
                    connection.close()
                    return
                time.sleep(0.2)

        worker = threading.Thread(target=decide_when_asked)
        worker.start()
        answers = self.together(live)
        worker.join()
        assert len(set(answers)) == 1 and answers[0].startswith(b"END Approved. KES 500 is on its way, ref")
        assert Application.objects.count() == 1

    def test_copies_of_the_first_hop_make_one_session(self, live: Phone) -> None:
        live.dials("*384*77#")
        live.session_id += "0"
        answers = self.together(live)
        assert len(set(answers)) == 1 and b"1 Loan" in answers[0]
        assert Session.objects.filter(gateway_session=live.session_id).count() == 1

    @pytest.mark.parametrize(("typed", "shown"), [("1", "Your limit is"), ("2580", "We are deciding")])
    def test_one_that_is_beaten_to_it_is_taken_anew(
        self, live: Phone, monkeypatch: pytest.MonkeyPatch, typed: str, shown: str
    ) -> None:
        """A copy is read, answered and stored while this one is being answered: between its look and its word."""
        monkeypatch.setattr(sessions, "DECISION_S", 0.0)
        (to_the_pin(live) if typed == "2580" else live.dials("*384*77#")).typed.append(typed)
        step, walked = engine.step, []

        def beaten(dialogue: engine.Dialogue, *args: Any, **options: Any) -> engine.Shown:
            walked.append(dialogue.held)
            if len(walked) == 1:
                live.repeats()
            return step(dialogue, *args, **options)

        monkeypatch.setattr(engine, "step", beaten)
        answer = live.posts({"text": "*".join(live.typed)}).content
        assert answer == live.raw and shown in live.text
        session = Session.objects.get(gateway_session=live.session_id)
        assert session.hops.count() == session.hops_answered
        assert Application.objects.count() == (typed == "2580")
        assert not walked[0] and len(walked) <= 3

    def test_one_that_another_hop_overtakes_is_resynchronised(self, live: Phone, monkeypatch: Any) -> None:
        live.dials("*384*77#")
        step = engine.step

        def overtaken(dialogue: engine.Dialogue, *args: Any, **options: Any) -> engine.Shown:
            monkeypatch.setattr(engine, "step", step)
            assert b"Your limit is" in live.posts({"text": "1"}).content
            return step(dialogue, *args, **options)

        monkeypatch.setattr(engine, "step", overtaken)
        assert b"What is it for?" in live.posts({"text": "1*500"}).content
        session = Session.objects.get(gateway_session=live.session_id)
        assert list(session.hops.order_by("position").values_list("position", "screen")) == [
            (1, "home"), (2, "borrow.amount"), (3, "borrow.purpose"),
        ]  # fmt: skip

    def test_a_session_that_is_held_is_answered_with_a_sentence(
        self, live: Phone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live.dials("*384*77#")
        monkeypatch.setattr(sessions, "STEP_S", 0.1)
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with sessions.transaction.atomic():
                Session.objects.select_for_update().get(gateway_session=live.session_id)
                held.set()
                done.wait(10)
            connection.close()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(10)
        began = time.monotonic()
        live.repeats().sees("1 Loan")  # answered before: the recorded words need no lock
        live.types("1").ends_with("We are still working on your last answer")
        assert time.monotonic() - began < 5
        done.set()
        holder.join()


class TestWhatIsWaitedForToReachTheDisk:
    """A hop that changed something beyond its dialogue is; one that did not is answered sooner."""

    @pytest.fixture
    def sent(self) -> Iterator[list[str]]:
        seen: list[str] = []

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            seen.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            yield seen

    def hurries(self, sent: list[str]) -> bool:
        found = any("synchronous_commit" in sql for sql in sent)
        sent.clear()
        return found

    def test_a_menu_is_not(self, aminas_phone: Phone, sent: list[str]) -> None:
        aminas_phone.dials("*384*77#")
        assert self.hurries(sent)
        aminas_phone.types("1")
        assert self.hurries(sent)

    def test_a_consent_is(self, phone: Phone, sent: list[str]) -> None:
        phone.dials("*384*77#").types("1", "1", "1", "1", "Amina Wanjiru", "23456781", "2580")
        sent.clear()
        phone.types("2580")
        assert not self.hurries(sent)

    @pytest.mark.parametrize("typed", ["2580", "1379"])
    def test_a_pin_is_right_or_wrong(
        self, aminas_phone: Phone, sent: list[str], typed: str, deciding_worker: None
    ) -> None:
        aminas_phone.dials("*384*77#").types("1", "500", "5").sees("or enter PIN")
        sent.clear()
        aminas_phone.types(typed)
        assert not self.hurries(sent)


@pytest.mark.django_db(transaction=True)
def test_a_connection_whose_statements_went_bad_is_left(aminas_phone: Phone) -> None:
    """A pooler that hands out another connection, or a table that was altered: one hop fails, and not each."""
    aminas_phone.dials("*384*77#").types("1").sees("Your limit")
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    aminas_phone.types("500").sees("Sorry, that did not work")
    connection.close_if_unusable_or_obsolete()
    aminas_phone.dials("*384*77#").sees("Go on where you stopped?")


def test_what_a_service_catches_leaves_the_hop_going_on(amina: Borrower, monkeypatch: Any) -> None:
    """A savepoint is rolled back in a transaction that failed: nothing else may be said in it."""
    monkeypatch.setattr(deadline, "STEP_MS", 0)
    with transaction.atomic(), deadline.until(time.monotonic() + 3):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO lending_borrower SELECT * FROM lending_borrower")
        assert Borrower.objects.filter(id=amina.id).exists()
