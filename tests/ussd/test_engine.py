"""The step, alone: no database, no gateway."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from ussd import engine, flows, gsm7, samples
from ussd.alphabet import GSM7
from ussd.engine import Choice, Dialogue, End, Menu, Shown


def at(screen: str, make: Any = samples.free, language: str = "en", **answers: Any) -> Dialogue:
    """Stand at a screen with facts that nobody reads from anywhere."""
    dialogue = flows.dialogue_of(make(), screen, language)
    dialogue.answers = {"principal_cents": 50_000} | answers
    return dialogue


def test_a_choice_leads_on_and_0_leads_back() -> None:
    dialogue = at("home", samples.owing)
    assert "Mini-statement" in engine.step(dialogue, ["1"]).text
    assert dialogue.screen == "loan.status"
    engine.step(dialogue, ["0"])
    assert dialogue.screen == "home"


def test_00_leads_home_from_anywhere_and_forgets_the_journey() -> None:
    dialogue = at("home", samples.owing)
    engine.step(dialogue, ["1", "1"])
    assert dialogue.screen == "loan.statement"
    shown = engine.step(dialogue, ["00"])
    assert "1 Loan" in shown.text and dialogue.answers == {} and dialogue.history == []


def test_98_turns_pages_and_0_turns_back() -> None:
    dialogue = at("home.help", samples.fresh)
    first = engine.step(dialogue, [])
    assert first.text.endswith("98 More\n0 Back")
    second = engine.step(dialogue, ["98"])
    assert second.text != first.text and "98" not in second.text
    assert engine.step(dialogue, ["0"]).text == first.text


def test_98_on_the_last_page_is_no_option() -> None:
    dialogue = at("home.help", samples.fresh)
    assert engine.step(dialogue, ["98", "98", "98"]).text.startswith("Not an option.")


def test_terms_are_accepted_only_on_their_last_page() -> None:
    dialogue = at("borrow.terms")

    def read() -> list[str]:
        return [name for name in dialogue.answers if name.startswith("terms_read")]

    assert engine.step(dialogue, ["1"]).text.startswith("Not an option.")
    shown = engine.step(dialogue, [])
    while "1 Accept" not in shown.text:
        assert not read()
        shown = engine.step(dialogue, ["98"])
    assert len(read()) == 1, "and so they count as read"
    assert "PIN" in engine.step(dialogue, ["1"]).text


class TestAMenuThatTakesPages:
    LINES = tuple(Choice(f"Choice {n}", "home", {"n": n}) for n in range(1, 9))

    @pytest.fixture
    def paged(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Dialogue]:
        def stand(view: engine.View, language: str = "en") -> Dialogue:
            declared = engine.Screen("test.paged", lambda _: view, "", [samples.fresh], ())
            monkeypatch.setitem(engine.SCREENS, "test.paged", declared)
            return at("test.paged", samples.fresh, language)

        return stand

    def test_shows_five_options_a_page_which_keep_their_numbers(self, paged: Callable[..., Dialogue]) -> None:
        dialogue = paged(Menu("Which?", self.LINES))
        first = engine.step(dialogue, [])
        assert "5 Choice 5\n98 More\n0 Back" in first.text and "Choice 6" not in first.text
        second = engine.step(dialogue, ["98"])
        assert second.text == "6 Choice 6\n7 Choice 7\n8 Choice 8\n0 Back"
        engine.step(dialogue, ["7"])
        assert dialogue.answers["n"] == 7 and dialogue.screen == "home"

    def test_takes_a_number_of_another_page_from_whoever_knows_it(self, paged: Callable[..., Dialogue]) -> None:
        dialogue = paged(Menu("Which?", self.LINES))
        engine.step(dialogue, ["8"])
        assert dialogue.answers["n"] == 8

    def test_0_turns_back_and_then_leaves(self, paged: Callable[..., Dialogue]) -> None:
        dialogue = paged(Menu("Which?", self.LINES))
        assert engine.step(dialogue, ["98", "0"]).text.startswith("Which?")
        engine.step(dialogue, ["0"])
        assert dialogue.screen != "test.paged"

    def test_that_must_be_seen_takes_no_answer_before_its_end(self, paged: Callable[..., Dialogue]) -> None:
        words = "\n".join(f"Line {n} of the price" for n in range(12))
        dialogue = paged(Menu(words, (Choice("Accept", "home"),), must_be_seen=True, record_as="price"))
        assert engine.step(dialogue, ["1"]).text.startswith("Not an option.\nLine 0")
        assert dialogue.screen == "test.paged"
        engine.step(dialogue, ["98"])
        shown = engine.step(dialogue, ["98"])
        assert shown.text.endswith("1 Accept\n0 Back")
        assert dialogue.answers["price"]["text"] == f"{words}\n1 Accept\n0 Back", "all of it is kept"
        engine.step(dialogue, ["1"])
        assert dialogue.screen == "home"

    def test_an_end_of_several_pages_ends_with_the_last(self, paged: Callable[..., Dialogue]) -> None:
        dialogue = paged(End("\n".join(["ሰላም " * 12] * 3)), "am")
        first = engine.step(dialogue, [])
        assert not first.ends and len(first.text) <= 70
        shown = first
        while not shown.ends:
            shown = engine.step(dialogue, ["98"])
        assert "98" not in shown.text

    def test_words_give_way_to_a_refusal_where_there_is_little_room_and_choices_do_not(
        self, paged: Callable[..., Dialogue]
    ) -> None:
        choices = tuple(Choice(label, "home") for label in ("እቀበላለሁ", "ለውጥ", "ውሉ"))
        dialogue = paged(Menu("\n".join(["ሰላም ሰላም ሰላም"] * 5), choices, must_be_seen=True), "am")
        last = engine.step(dialogue, ["98"])
        while "98" in last.text:
            last = engine.step(dialogue, ["98"])
        assert len(last.text) > 60, "no room is kept for what is seldom said"
        refused = engine.step(dialogue, ["7"])
        assert len(refused.text) <= 70 and refused.text.split("\n")[-4:] == last.text.split("\n")[-4:]
        assert refused.text.startswith("ምርጫው የለም።\n")

    @given(st.lists(st.text("ab ሰ", min_size=1, max_size=40), min_size=1, max_size=30), st.integers(1, 30))
    def test_no_page_overflows_in_any_script(self, lines: list[str], count: int) -> None:
        for language, room in (("en", 160), ("am", 70)):
            with translation.override(language):
                view = Menu("\n".join(lines), [Choice("c" * 12, "home", {"n": n}) for n in range(count)])
                for page in engine._pages(view):
                    assert len(page.text) <= room
                    assert sum(line.endswith("c" * 12) for line in page.text.split("\n")) <= 5


def test_99_leads_from_any_menu_to_the_languages_and_is_an_amount_where_one_is_asked_for() -> None:
    dialogue = at("home", samples.owing)
    engine.step(dialogue, ["99"])
    assert dialogue.screen == "language.choose"
    dialogue = at("borrow.amount")
    assert engine.step(dialogue, ["99"]).text.startswith("The smallest loan")


@pytest.mark.parametrize("typed", ["6", "9", "", "x", "٢", "²", "-1", "1 2", "1" * 500, "%s", "{0}"])
def test_what_is_no_option_is_said_and_the_same_menu_stays(typed: str) -> None:
    dialogue = at("home", samples.owing)
    shown = engine.step(dialogue, [typed])
    assert shown.text.startswith("Not an option.\n") and "1 Loan" in shown.text and not shown.ends


def test_three_bad_answers_end_with_help() -> None:
    dialogue = at("home", samples.owing)
    assert not engine.step(dialogue, ["x"]).ends
    assert not engine.step(dialogue, ["x"]).ends
    last = engine.step(dialogue, ["x"])
    assert last.ends and "SMS HELP" in last.text


def test_a_good_answer_forgives_the_bad_ones() -> None:
    dialogue = at("home", samples.owing)
    for typed in ("x", "x", "2", "x", "x"):
        assert not engine.step(dialogue, [typed]).ends


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("0", "Type the amount in digits"),
        ("-5", "Type the amount in digits"),
        ("1e3", "Type the amount in digits"),
        ("٥٠٠", "Type the amount in digits"),
        ("five", "Type the amount in digits"),
        ("0.50", "Whole KES only"),
        ("199", "The smallest loan is KES 200."),
        ("1,001", "That is above your limit."),
        ("999999999", "That is above your limit."),
        ("9" * 400, "Type the amount in digits"),
        ("{0.__class__}", "Type the amount in digits"),
    ],
)
def test_an_amount_that_cannot_be_is_told_why_and_asked_again(typed: str, said: str) -> None:
    from lending.selectors.offers import Offer

    dialogue = at("borrow.amount")
    dialogue.facts.__dict__["offer"] = Offer(samples.version(), 100_000, 20_000)
    shown = engine.step(dialogue, [typed])
    assert shown.text.startswith(said) and "Your limit is KES 1,000." in shown.text and not shown.ends


class TestAShortcut:
    def test_stops_at_the_key_facts_because_nobody_accepts_unseen(self) -> None:
        dialogue = at("home")
        dialogue.facts.__dict__["offer"] = samples.Offer(samples.version(), 100_000, 20_000)
        shown = engine.step(dialogue, ["1", "500", "2", "2580"])
        assert dialogue.screen == "borrow.facts" and "You get" in shown.text

    def test_never_answers_a_pin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tried: list[Any] = []
        monkeypatch.setattr("ussd.screens.pin.check", lambda *args: tried.append(args))
        dialogue = at("settings.menu", samples.fresh)
        shown = engine.step(dialogue, ["1", "2580"])
        assert dialogue.screen == "settings.pin" and "PIN" in shown.text and not tried

    def test_stops_at_the_first_refusal(self) -> None:
        dialogue = at("home", samples.owing)
        engine.step(dialogue, ["7", "2", "1"])
        assert dialogue.screen == "home"

    def test_of_a_thousand_segments_is_answered_like_any_other(self) -> None:
        dialogue = at("home", samples.owing)
        assert engine.step(dialogue, ["2", "0"] * 500).text


class TestAMenuThatAsks:
    """The key facts: choices, and on their last page the PIN."""

    @pytest.fixture
    def tried(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Every PIN that is looked at, each of them wrong."""
        pins: list[str] = []

        def check(dialogue: Dialogue, typed: str) -> None:
            pins.append(typed)
            raise engine.Again("Wrong PIN.")

        monkeypatch.setattr("ussd.screens.pin.check", check)
        return pins

    @pytest.fixture
    def read(self) -> Dialogue:
        """Somebody who has turned to the last page."""
        dialogue = at("borrow.facts", samples.fresh)
        assert "PIN" not in engine.step(dialogue, []).text
        assert "PIN" in engine.step(dialogue, ["98"]).text
        return dialogue

    def test_takes_the_answer_at_once_and_says_at_the_question_why_not(
        self, read: Dialogue, tried: list[str]
    ) -> None:
        shown = engine.step(read, ["2580"])
        assert (tried, read.screen) == (["2580"], "borrow.pin")
        assert shown.text.startswith("Wrong PIN.\nEnter your Jirani PIN.")
        assert "2580" not in str(read)

    def test_takes_none_before_all_was_seen(self, tried: list[str]) -> None:
        dialogue = at("borrow.facts", samples.fresh)
        assert engine.step(dialogue, ["2580"]).text.startswith("Not an option.")
        assert (tried, dialogue.screen) == ([], "borrow.facts")

    @pytest.mark.parametrize("typed", ["x", "7", "258", "25801", "٢٥٨٠"])
    def test_leads_nobody_away_by_what_is_no_answer(self, read: Dialogue, tried: list[str], typed: str) -> None:
        assert engine.step(read, [typed]).text.startswith("Not an option.")
        assert (tried, read.screen) == ([], "borrow.facts")

    def test_lets_nothing_follow_in_the_same_hop(self, read: Dialogue, tried: list[str]) -> None:
        engine.step(read, ["2580", "2580", "2580"])
        assert tried == ["2580"]

    def test_takes_none_where_a_late_copy_would_pass_for_one(self, read: Dialogue, tried: list[str]) -> None:
        read.typed = []
        assert "2 Accept\n" in engine.step(read, []).text
        assert engine.step(read, ["2580"]).text.startswith("Not an option.")
        assert (tried, read.screen) == ([], "borrow.facts")
        engine.step(read, ["2"])
        engine.step(read, ["2580"])
        assert tried == ["2580"]

    def test_keeps_its_choices(self, read: Dialogue, tried: list[str]) -> None:
        engine.step(read, ["2"])
        assert (tried, read.screen) == ([], "borrow.pin")

    def test_has_no_effect_by_a_guess(self, read: Dialogue, tried: list[str]) -> None:
        engine.step(read, ["2580"], may_act=False)
        assert tried == []

    def test_shows_what_speaks_in_place_of_the_question(self, read: Dialogue, tried: list[str]) -> None:
        read.facts.known.pin_locked_at = samples.AT
        assert "Your PIN is locked" in engine.step(read, ["2580"]).text and tried == []


def test_a_typed_star_belongs_to_a_name() -> None:
    dialogue = at("register.name", samples.stranger)
    engine.step(dialogue, ["Amina", "Wanjiru"])
    assert dialogue.answers["full_name"] == "Amina Wanjiru" and dialogue.screen == "register.national_id"


def test_a_guess_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("ussd.screens.repay.repayments.request_repayment", lambda **facts: asked.append(facts))
    dialogue = at("repay.menu", samples.owing)
    engine.step(dialogue, ["1"], may_act=False)
    assert dialogue.screen == "repay.menu" and not asked


def test_a_screen_that_overflows_is_logged_and_still_fits(caplog: pytest.LogCaptureFixture) -> None:
    fitted = engine.fit("You owe much\n" + "x" * 300 + "\n1 Repay", "made.up")
    assert gsm7.septets(fitted) <= GSM7.screen and fitted.endswith("1 Repay")
    assert "made.up" in caplog.text


def test_english_does_not_leak_into_swahili() -> None:
    shown: Shown = engine.step(at("home", samples.owing, "sw"), ["x"])
    assert shown.text.startswith("Si chaguo.") and "1 Mkopo" in shown.text


INPUTS = st.lists(
    st.one_of(st.sampled_from(["0", "00", "98", "1", "2", "3", "4", "5"]), st.text(max_size=6)), max_size=8
)
# Screens from which no service is reached: those stories are told with a database.
MAKERS: Mapping[str, Any] = {"fresh": samples.fresh, "late": samples.late, "undecided": samples.undecided}


@given(INPUTS, st.sampled_from(sorted(MAKERS)), st.sampled_from(["en", "sw"]))
def test_whatever_is_typed_gets_a_screen(inputs: list[str], who: str, language: str) -> None:
    dialogue = flows.dialogue_of(MAKERS[who](), "home", language)
    for typed in inputs:
        shown = engine.step(dialogue, [typed], may_act=False)
        assert 0 < gsm7.septets(shown.text) <= GSM7.screen
        if shown.ends:
            break
