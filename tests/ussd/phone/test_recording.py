"""`manage.py dial --record`: a session is written down, and the test that comes of it runs as it is."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from lending.models import Application, Borrower
from tests import factories
from tests.phone import Phone
from ussd.phone import recording
from ussd.phone.recording import CannotRecord, Recording, lasting, secret_screens
from ussd.screens import pin

PIN, OTHER, NATIONAL_ID = "7391", "8642", "34567812"
REGISTER = ("1", "1", "1", "2", "Amina Wanjiru", NATIONAL_ID, PIN, PIN)

Record = Callable[..., str]


class Undone(Exception):
    """Takes back what a recorded session has done, as if it had been done elsewhere."""


@pytest.fixture
def record(phone: Phone, fixed_scorer: Any, deciding_worker: None) -> Record:
    """Dial and type on a phone of the real conversation; return the test, with all that was done undone."""

    def run(*typed: str, code: str = "*384*77#", before: Callable[[], object] = lambda: None) -> str:
        try:
            with transaction.atomic():
                before()
                taken = Recording(phone.msisdn, code)
                hop(taken, None, phone.dials(code))
                for answer in typed:
                    hop(taken, answer, phone.types(answer))
                written = taken.source("test_recorded")
                raise Undone
        except Undone:
            return written

    def hop(taken: Recording, typed: str | None, seen: Phone) -> None:
        taken.hop(typed, {"session_id": seen.session_id, "text": seen.text, "open": seen.is_open})

    return run


@pytest.fixture
def runs(phone: Phone, fixed_scorer: Any) -> Callable[[str], None]:
    """Run a recorded test on a phone of its own."""

    def run(source: str) -> None:
        names: dict[str, Any] = {}
        exec(compile(source, "recorded", "exec"), names)  # our own words, a moment old
        wanted = names["test_recorded"].__code__.co_varnames[: names["test_recorded"].__code__.co_argcount]
        given = {"phone": Phone(phone.client), "fixed_scorer": fixed_scorer, "deciding_worker": None}
        names["test_recorded"](**{name: given[name] for name in wanted})

    return run


def declined() -> None:
    factories.FixedScorer.says = factories.verdict("decline", next_step="use_wallet", limit_cents=0)


def registered() -> None:
    factories.register(msisdn="254711000101", language="sw")


class TestRecordedTest:
    @pytest.mark.parametrize(
        ("typed", "before"),
        [
            ((*REGISTER, "1", "500", "5", "2", PIN), lambda: None),
            ((*REGISTER, "1", "500", "5", "2", PIN), declined),
            ((*REGISTER, "1", "500", "5", "2", OTHER, PIN), lambda: None),
            ((*REGISTER[:6], "1234", "12", PIN, OTHER, "0", PIN, PIN), lambda: None),
            (("1", "x", "0", "00", "1"), lambda: None),
            (("1", "500", "5", "2", factories.PIN), registered),
        ],
        ids=[
            "borrows",
            "is declined",
            "mistypes the PIN",
            "chooses easy PINs",
            "gets lost",
            "is known, in Swahili",
        ],
    )
    def test_runs_green_as_it_is(self, record: Record, runs, typed, before) -> None:
        source = record(*typed, before=before)
        assert not Borrower.objects.exists()
        runs(source)

    def test_goes_red_when_a_word_on_a_screen_changes(self, record: Record, runs, monkeypatch) -> None:
        source = record(*REGISTER)
        monkeypatch.setattr(pin, "choose", pin.choose_again)
        with pytest.raises(AssertionError, match="is not on the screen"):
            runs(source)

    def test_holds_no_pin_and_no_national_id(self, record: Record) -> None:
        source = record(*REGISTER, "1", PIN, "500", "5", OTHER, PIN)  # once where none was asked for
        assert not any(secret in source for secret in (PIN, OTHER, NATIONAL_ID))
        assert "phone.types(factories.PIN)" in source

    def test_holds_no_reference_and_no_day(self, record: Record) -> None:
        references: list[str] = []
        real = Recording.source

        def source(self: Recording, name: str) -> str:
            references.extend(Application.objects.values_list("reference", flat=True))
            return real(self, name)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recording.Recording, "source", source)
            written = record(*REGISTER, "1", "500", "5", "2", PIN)
        assert len(references) == 1 and references[0] not in written
        assert "You repay KES 530" in written and "on its way, ref" in written

    def test_is_written_as_the_formatter_writes(self, record: Record, tmp_path: Path) -> None:
        file = tmp_path / "test_recorded.py"
        file.write_text(record(*REGISTER, "1", "500", "5", "1", "98", "1", PIN))
        config = ("--config", str(Path(recording.__file__).parents[2] / "pyproject.toml"))
        for command in (("format", "--check"), ("check",)):
            ruff = (sys.executable, "-m", "ruff", *command, *config, str(file))
            done = subprocess.run(ruff, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr + file.read_text()


class TestRefusals:
    def test_a_customer_with_a_past_is_not_recorded(self, amina: Borrower, fixed_scorer: Any) -> None:
        factories.apply(amina)
        with pytest.raises(CannotRecord, match="asked for a loan before"):
            Recording(amina.msisdn, "*384*77#")

    def test_a_session_that_would_be_resumed_is_not_recorded(self, phone: Phone) -> None:
        phone.dials("*384*77#")
        with pytest.raises(CannotRecord, match="three minutes"):
            Recording(phone.msisdn, "*384*77#")

    def test_a_dial_string_with_a_pin_in_it_is_not_recorded(self, law: None) -> None:
        with pytest.raises(CannotRecord, match="when it is asked for"):
            Recording("254711000101", "*384*77*1*500*2*7391#")

    def test_a_session_that_the_network_cut_is_not_recorded(self, phone: Phone) -> None:
        taken = Recording(phone.msisdn, "*384*77#")
        taken.hop(None, {"session_id": "ATUid_lost", "text": "Connection problem", "open": False})
        with pytest.raises(CannotRecord, match="carry every hop"):
            taken.source("test_recorded")

    @pytest.mark.parametrize("name", ["recorded.py", "test_x.txt", "nowhere/test_x.py"])
    def test_a_file_that_is_no_test_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(CommandError, match="needs a name like"):
            call_command("dial", "--phone", "0711000101", "--keys", "1", "--record", str(tmp_path / name))

    def test_nothing_is_written_over(self, tmp_path: Path) -> None:
        file = tmp_path / "test_x.py"
        file.write_text("mine")
        with pytest.raises(CommandError, match="is there already"):
            call_command("dial", "--phone", "0711000101", "--keys", "1", "--record", str(file))
        assert file.read_text() == "mine"


class TestLasting:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("by 21 Dec", ["by"]),
            ("kabla ya 14 Machi\n1 Lipa", ["kabla ya", "1 Lipa"]),
            ("KES 500 sent 14:05, ref 7KQ2", ["KES 500 sent", ", ref"]),
            ("1 Decide\n0 Back", ["1 Decide", "0 Back"]),
        ],
    )
    def test_leaves_out_what_is_another_tomorrow(self, text: str, parts: list[str]) -> None:
        assert lasting(text, ["7KQ2"]) == parts


def test_every_screen_that_asks_for_a_pin_is_known_as_one() -> None:
    assert {"register.pin", "register.again", "borrow.pin", "borrow.facts"} <= secret_screens().keys()
    assert not {"register.national_id", "borrow.amount", "settings.menu"} & secret_screens().keys()
