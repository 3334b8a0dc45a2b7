"""One phone's own line: what its hops suffer, and the log of what went over it."""

import pytest

from sandbox import wire
from sandbox.faults import CallbackPlan, hop_trouble
from tests.sandbox.business import Business

NETWORK_ERROR = "Connection problem or invalid MMI code."
NEXT, EACH = {"path": "/ussd", "nth": 1}, {"path": "/ussd"}


@pytest.fixture
def menu(app):
    """A service with a menu, a PIN and an end."""
    screens = ["CON Jirani\n1 Loan", "CON Enter your PIN.", "END Approved."]
    app.answers["/at/ussd"] = lambda hop: (
        200,
        screens[len(hop.form["text"].split("*")) if hop.form["text"] else 0],
    )
    return app


def hops(menu, msisdn: str) -> list[str]:
    return [hop.form["text"] for hop in menu.at("/at/ussd") if hop.form["phoneNumber"] == f"+{msisdn}"]


class TestLine:
    def test_loses_a_hop_on_the_way_there_and_only_of_its_own_phone(self, sandbox, menu, amina, brian):
        sandbox.break_line(amina, {"match": EACH, "callbacks": []})
        assert sandbox.dial(amina, "*384*77#") | {"session_id": ""} == {
            "open": False,
            "text": NETWORK_ERROR,
            "session_id": "",
        }
        assert sandbox.dial(brian, "*384*77#")["text"].startswith("Jirani")
        assert hops(menu, amina) == []

    def test_loses_the_answer_of_a_hop_that_the_service_has_had(self, sandbox, menu, amina):
        sandbox.break_line(amina, {"match": NEXT, "callbacks": [{"mode": "answer_lost"}]})
        assert sandbox.dial(amina, "*384*77#")["text"] == NETWORK_ERROR
        assert hops(menu, amina) == [""]
        assert sandbox.dial(amina, "*384*77#")["open"]  # only the next one was lost

    def test_delivers_a_hop_twice_and_shows_one_answer(self, sandbox, menu, amina):
        sandbox.break_line(amina, {"match": EACH, "callbacks": [{"dup": 2}]})
        assert sandbox.dial(amina, "*384*77#")["open"]
        assert hops(menu, amina) == ["", ""]

    def test_holds_a_hop_up(self, sandbox, menu, amina):
        sandbox.break_line(amina, {"match": EACH, "callbacks": [{"after_ms": 150}]})
        sandbox.dial(amina, "*384*77#")
        answer = sandbox.wire(amina)[-1]
        assert answer["ms"] >= 150 and answer["fault"] == "held up 0.15 s"

    def test_hits_every_second_hop_and_says_how_often(self, sandbox, menu, amina):
        rule = {"match": EACH | {"every": 2}, "callbacks": [{"dup": 2}], "label": "Twice"}
        sandbox.break_line(amina, rule)
        sandbox.dial(amina, "*384*77#")
        sandbox.type(amina, "1")
        assert sandbox.phone(amina)["faults"] == [{"label": "Twice", "seen": 2, "used": 1}]
        assert hops(menu, amina) == ["", "1", "1"]

    def test_is_mended_by_a_script_without_rules(self, sandbox, menu, amina):
        sandbox.break_line(amina, {"match": EACH, "callbacks": []})
        sandbox.break_line(amina)
        assert sandbox.dial(amina, "*384*77#")["open"]

    def test_nonsense_changes_nothing(self, sandbox, amina):
        answer = sandbox.http.put(f"/phones/{amina}/faults", json={"rules": [{"match": {}}]})
        assert answer.status_code == 400
        assert sandbox.phone(amina)["faults"] == []


class TestWire:
    def test_keeps_hops_and_answers_without_what_may_be_a_pin(self, sandbox, menu, amina):
        sandbox.dial(amina, "*384*77*1#")
        sandbox.type(amina, "2580")
        told = [(one["kind"], one["way"], one["text"], one["status"]) for one in sandbox.wire(amina)]
        assert told[:4] == [
            ("ussd", "out", "*384*77*1#", ""),
            ("ussd", "in", "Enter your PIN.", "goes on"),
            ("ussd", "out", "****", ""),
            ("ussd", "in", "Approved.", "ends"),
        ]

    def test_keeps_messages_both_ways_and_their_callbacks(self, sandbox, app, amina):
        sandbox.text(amina, "20384", "LOAN 500 2580")
        told = [(one["kind"], one["way"], one["text"], one["status"]) for one in sandbox.wire(amina)]
        assert told == [("sms", "out", "To 20384: LOAN ****", ""), ("callback", "", "/sms", "200")]

    def test_keeps_prompts_and_what_the_operator_then_tells(self, sandbox, app, brian):
        business = Business(sandbox.url, app.url)
        assert business.ask_to_pay(brian, 300).status_code == 200
        sandbox.flush()
        (prompt,) = sandbox.phone(brian)["prompts"]
        sandbox.answer(brian, prompt["id"], pin="4321")
        sandbox.flush()
        told = [(one["kind"], one["way"]) for one in sandbox.wire(brian)]
        assert told[:2] == [("prompt", "in"), ("prompt", "out")]
        assert ("callback", "") in told and ("sms", "in") in told
        assert "4321" not in str(sandbox.wire(brian))

    def test_tells_each_phone_its_own_and_only_what_is_new(self, sandbox, menu, amina, brian):
        sandbox.dial(amina, "*384*77#")
        last = sandbox.wire(amina)[-1]["id"]
        sandbox.dial(brian, "*384*77#")
        assert {one["msisdn"] for one in sandbox.wire(amina, brian, after=last)} == {brian}

    @pytest.mark.parametrize(
        ("text", "asked", "kept"),
        [
            ("1", "1 Change PIN", "1"),
            ("500", "How much?", "500"),
            ("25 80", "", "****"),
            ("2-5-8-0", "", "****"),
            ("٢٥٨٠", "", "****"),
            ("abc", "Enter your PIN.", "****"),
            ("23456781", "Type your national ID number.", "****"),
            ("Amina Wanjiru", "Type your full name.", "Amina Wanjiru"),
        ],
    )
    def test_masks_every_long_number_that_was_typed(self, text, asked, kept):
        assert wire.typed(text, asked) == kept

    @pytest.mark.parametrize(
        ("plan", "words"),
        [
            ((), "lost on the way there"),
            ((CallbackPlan(mode="never"),), "lost on the way there"),
            ((CallbackPlan(),), ""),
            ((CallbackPlan(after_ms=4000, copies=2),), "held up 4 s, delivered 2 times"),
            ((CallbackPlan(mode="answer_lost"),), "answer lost on the way back"),
        ],
    )
    def test_says_in_words_what_happened_to_a_hop(self, plan, words):
        assert hop_trouble(plan) == words
