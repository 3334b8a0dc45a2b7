"""What `flows check` finds: nothing in the conversation as it is, and every fault that is planted in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from ussd import catalogue, engine, proof, samples, sms
from ussd.engine import Ask, Choice, Dialogue, End, Menu, Screen, View
from ussd.management.commands import flows as command
from ussd.screens import borrow

View_ = Callable[[Dialogue], View]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Declare a screen for the length of a test, one step below the first menu unless it is to stand alone."""
    ways = proof.ways
    ways.cache_clear()

    def declare(name: str, view: View_, *, led_to: bool = True, **facts: object) -> None:
        declared = Screen(name, view, "", [samples.fresh], (), **facts)  # type: ignore[arg-type]
        monkeypatch.setitem(engine.SCREENS, name, declared)
        if led_to:
            monkeypatch.setattr(proof, "ways", lambda here: ways(here) | ({name} if here == "more.menu" else set()))

    yield declare
    ways.cache_clear()


def found(check: Callable[[], object]) -> str:
    return "\n".join(map(str, check()))  # type: ignore[call-overload]


def test_nothing_is_wrong_with_the_conversation() -> None:
    assert proof.faults() == []
    call_command("flows", "check")


def test_the_drawing_is_current() -> None:
    assert command.DRAWN.read_text() == command.page(), "run manage.py flows graph"


def test_a_screen_that_is_too_long_is_named_with_its_language(plant: Callable[..., None]) -> None:
    plant("test.long", lambda _: Ask("x" * 160, parse=str, then="home"))
    assert "test.long(fresh) #0 [en]: 167 of 160 in GSM-7" in found(proof.too_long)


def test_a_menu_that_needs_pages_has_to_say_so(plant: Callable[..., None]) -> None:
    def long(_: Dialogue) -> View:
        return Menu("x" * 150, [Choice("On", "home")])

    plant("test.long", long)
    assert "test.long(fresh) [en]: takes 2 pages" in found(proof.too_long)
    plant("test.long", long, paged=True)
    assert "test.long" not in found(proof.too_long)


def test_a_name_of_no_screen_is_a_way_to_nowhere(plant: Callable[..., None]) -> None:
    plant("test.nowhere", lambda _: Menu("Where?", [Choice("There", "test.missing")]))
    assert "test.nowhere(fresh): leads to test.missing, which does not exist" in found(proof.ways_to_nowhere)


@pytest.mark.parametrize("view", [Menu("Well", [], back=None), Ask("Well?", parse=str)], ids=["menu", "question"])
def test_a_screen_without_a_way_on_is_a_dead_end(plant: Callable[..., None], view: View) -> None:
    plant("test.dead", lambda _: view)
    assert "test.dead(fresh)" in found(proof.dead_ends)


def test_a_screen_that_nobody_leads_to_is_an_orphan(plant: Callable[..., None]) -> None:
    plant("test.alone", lambda _: End("Alone"), led_to=False)
    assert "test.alone: no screen leads here" in found(proof.orphans)


def test_two_screens_that_lead_only_to_each_other_cannot_be_reached(plant: Callable[..., None]) -> None:
    plant("test.one", lambda _: Menu("One", [Choice("Two", "test.two")]), led_to=False)
    plant("test.two", lambda _: Menu("Two", [Choice("One", "test.one")]), led_to=False)
    assert "test.one: cannot be reached" in found(proof.unreachable)
    assert "test.two: cannot be reached" in found(proof.unreachable)


def test_a_menu_below_four_others_is_too_deep(plant: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 6):
        plant(f"test.level{number}", lambda _: Menu("Level", [Choice("Home", "home")]), led_to=False)
    deep = {"home": {"test.level1"}} | {f"test.level{n}": {f"test.level{n + 1}"} for n in range(1, 5)}
    monkeypatch.setattr(proof, "ways", lambda here: frozenset(deep.get(here, ())))
    assert found(proof.too_deep) == "test.level5: is 5 menus down, at most 4 can be found again"


def test_choices_that_read_or_lead_the_same_are_named(plant: Callable[..., None]) -> None:
    plant("test.twice", lambda _: Menu("Twice", [Choice("Yes", "home"), Choice("Yes", "borrow.amount")]))
    assert "test.twice(fresh) [en]: two choices are called 'Yes'" in found(proof.same_twice)
    plant("test.same", lambda _: Menu("Same", [Choice("Yes", "home"), Choice("No", "home")]))
    assert "test.same(fresh): two choices lead to home" in found(proof.same_twice)


def test_more_than_five_options_are_too_many(plant: Callable[..., None]) -> None:
    plant("test.many", lambda _: Menu("Many", [Choice(f"Choice {n}", "home", {"n": n}) for n in range(6)]))
    assert "test.many(fresh): has 6 options, at most 5" in found(proof.crowded)


def test_a_screen_that_moves_money_without_a_cost_before_it_is_named(plant: Callable[..., None]) -> None:
    plant("test.borrow", lambda _: Ask("PIN?", parse=str, act=borrow._accept, secret=True))
    assert "test.borrow: moves money, and a way there passes no screen" in found(proof.uncosted)


def test_a_screen_that_is_to_say_the_cost_and_names_no_amount_is_named(plant: Callable[..., None]) -> None:
    plant("test.free", lambda _: Menu("It costs something", [Choice("Go on", "home")]), costs=True)
    assert "test.free(fresh) [en]: is to say what it costs, and names no amount" in found(proof.uncosted)


def test_a_missing_translation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = catalogue.said_in_code()
    new = catalogue.Said("home", "Something new")
    monkeypatch.setattr(catalogue, "said_in_code", lambda: said | {new.key: new})
    assert "text/sw: not translated: ('home', 'Something new')" in found(proof.untranslated)


def test_the_command_fails_with_the_place_of_each_fault(plant: Callable[..., None]) -> None:
    plant("test.dead", lambda _: Menu("Well", [], back=None))
    with pytest.raises(CommandError, match=r"test\.dead"):
        call_command("flows", "check")


class TestCatalogues:
    """A sentence that somebody is not sure of is said in English, and told by the check."""

    @pytest.fixture
    def text(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "lg").mkdir()
        monkeypatch.setattr(catalogue, "TEXT", tmp_path)
        return tmp_path / "lg"

    def test_update_puts_each_sentence_into_the_catalogue_of_its_journey(self, text: Path) -> None:
        catalogue.update("lg")
        assert {"home.po", "borrow.po", "month.po", "next_step.po"} <= {po.name for po in text.iterdir()}
        assert "not translated" not in "\n".join(catalogue.problems("lg"))

    def test_update_keeps_what_was_translated_and_forgets_what_is_said_no_more(self, text: Path) -> None:
        (text / "home.po").write_text(
            'msgctxt "home"\nmsgid "More"\nmsgstr "Ebirala"\n\nmsgctxt "home"\nmsgid "Gone"\nmsgstr "Gone"\n'
        )
        catalogue.update("lg")
        kept = (text / "home.po").read_text()
        assert 'msgid "More"\nmsgstr "Ebirala"' in kept and "Gone" not in kept

    def test_what_is_fuzzy_is_listed_and_not_compiled(self, text: Path) -> None:
        (text / "home.po").write_text('#, fuzzy\nmsgctxt "home"\nmsgid "More"\nmsgstr "Perhaps"\n')
        assert catalogue.uncertain("lg") == ["home | More"]
        assert b"Perhaps" not in catalogue.compiled("lg")

    @pytest.mark.parametrize(
        ("message", "problem"),
        [
            ('msgid "More"\nmsgstr ""', "empty: home | More"),
            ('msgid "More"\nmsgstr "ŋ"', "not in GSM-7: home | More"),
            (
                'msgid "%(amount)s is on its way, ref %(ref)s"\nmsgstr "%(amount)s"',
                "other values than in English: home | %(amount)s",
            ),
            ('msgid "Made up"\nmsgstr "Made up"', "not said any more: ('home', 'Made up')"),
        ],
    )
    def test_a_bad_sentence_is_named(self, text: Path, message: str, problem: str) -> None:
        (text / "home.po").write_text(f'msgctxt "home"\n{message}\n')
        assert problem in "\n".join(catalogue.problems("lg"))

    def test_a_stale_compilation_is_told(self, text: Path) -> None:
        assert "the .mo is older" in "\n".join(catalogue.problems("lg"))


def test_an_sms_in_another_script_may_take_two_parts(db: None) -> None:
    from tests.factories import NOON

    sent = sms.write(reference="r", kind="k", msisdn="254711000101", text="ሰላም " * 25, language="am", at=NOON)
    assert (sent.text, sent.segments) == ("ሰላም " * 25, 2)
