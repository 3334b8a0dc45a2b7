"""`manage.py dial`, against a real sandbox."""

import pytest
from django.core.management import CommandError, call_command

from tests.ussd.phone.conftest import World


@pytest.fixture
def dial(world: World, capsys):  # type: ignore[no-untyped-def]
    """Run the command; return (exit code, what it printed)."""

    def run(*arguments: str) -> tuple[int, str]:
        code = 0
        try:
            call_command("dial", "*384*77#", "--phone", f"+{world.amina}", *arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, capsys.readouterr().out

    return run


class TestKeys:
    def test_each_segment_is_one_answer(self, world: World, dial):
        code, printed = dial("--keys", "1*500")
        assert code == 0 and "Karibu tena." in printed
        assert world.hops() == ["", "1", "1*500"]

    def test_a_session_that_the_network_cuts_is_a_failure(self, world: World, dial):
        world.app.answers["/ussd"] = lambda hop: (500, "")
        code, printed = dial("--keys", "1")
        assert code == 1 and "Connection problem" in printed

    def test_answers_that_run_out_hang_up(self, world: World, dial):
        code, printed = dial("--keys", "1")
        assert code == 2 and "How much?" in printed
        assert world.end() == "Incomplete"

    def test_answers_that_are_left_over_are_counted_and_not_shown(self, dial):
        code, printed = dial("--keys", "1*500*8642*8642")
        assert code == 0 and "last 2 of the answers" in printed and "8642" not in printed


class TestWaiting:
    def test_messages_that_follow_are_shown(self, world: World, dial):
        world.service("END Karibu.")
        world.asks_for(300)
        _, printed = dial("--keys", "1", "--wait", "1.5", "--wallet-pin", "4321")
        assert "Do you want to pay Ksh300" in printed and "Approved." in printed
        assert "SMS from MPESA" in printed and "4321" not in printed

    def test_a_wrong_wallet_pin_pays_nothing(self, world: World, dial):
        world.asks_for(300)
        _, printed = dial("--keys", "1*500", "--wait", "1", "--wallet-pin", "1111")
        assert "Not paid" in printed
        assert world.phone()["balance_cents"] == 1_000_00


class TestInteractive:
    def test_asks_for_each_answer_and_masks_both_pins(self, world: World, dial, monkeypatch):
        world.service("CON Jirani\n1 Borrow", "CON Enter your PIN", "END Karibu.")
        world.asks_for(300)
        typed, hidden = iter(["1"]), iter(["2580", "4321"])
        monkeypatch.setattr("builtins.input", lambda _: next(typed))
        monkeypatch.setattr("getpass.getpass", lambda _: next(hidden))
        code, printed = dial("--wait", "1")
        assert code == 0 and "Karibu." in printed and "Approved." in printed
        assert world.hops()[-1] == "1*2580"
        assert "2580" not in printed

    def test_the_end_of_input_is_the_red_key(self, world: World, dial, monkeypatch):
        def red_key(_: str) -> str:
            raise EOFError

        monkeypatch.setattr("builtins.input", red_key)
        code, _ = dial("--wait", "0")
        assert code == 0 and world.end() == "Incomplete"


class TestRefusals:
    def test_without_the_sandbox_it_says_how_to_start_it(self, settings):
        settings.SANDBOX_URL = "http://127.0.0.1:9"
        with pytest.raises(CommandError, match=r"(?s)make demo.*127\.0\.0\.1:9;.*SANDBOX_PORT"):
            call_command("dial", "--phone", "0711000101", "--keys", "1")

    def test_a_number_that_is_none_is_refused(self):
        with pytest.raises(CommandError, match="9 to 15 digits"):
            call_command("dial", "--phone", "12", "--keys", "1")
