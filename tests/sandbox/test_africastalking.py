"""SMS both ways and USSD, as Africa's Talking does them."""

import re

import pytest

from tests.sandbox.conftest import someone

KEY = {"apiKey": "at-secret-key", "Accept": "application/json"}


def send(sandbox, to, message="Habari", headers=KEY, **fields):
    form = {"username": "jirani", "to": to, "message": message, "from": "JIRANI", "bulkSMSMode": "1"}
    return sandbox.http.post("/version1/messaging", data=form | fields, headers=headers)


class TestMessaging:
    def test_reaches_the_phone_and_reports_delivery(self, sandbox, app, amina):
        answer = send(sandbox, f"+{amina}")

        assert answer.status_code == 201
        assert answer.headers["content-type"] == "application/json"  # the SDK reads nothing else as JSON
        data = answer.json()["SMSMessageData"]
        assert data["Message"] == "Sent to 1/1 Total Cost: KES 0.8000 Message parts: 1"
        (line,) = data["Recipients"]
        assert (line["statusCode"], line["status"], line["cost"]) == (101, "Success", "KES 0.8000")
        report = app.wait("/at/sms-reports")[0].form
        assert report["id"] == line["messageId"]
        assert report["status"] == "Success"
        assert report["phoneNumber"] == f"+{amina}"
        message = sandbox.phone(amina)["inbox"][-1]
        assert (message["from"], message["text"]) == ("JIRANI", "Habari")

    def test_answers_201_for_a_sender_that_is_refused(self, sandbox, amina):
        answer = send(sandbox, f"+{amina}", **{"from": "THIS SENDER IS TOO LONG"})
        assert answer.status_code == 201
        assert answer.json() == {"SMSMessageData": {"Message": "InvalidSenderId", "Recipients": []}}

    def test_judges_every_number_for_itself(self, sandbox, amina):
        lines = send(sandbox, f"+{amina},0711,+254799999998").json()["SMSMessageData"]["Recipients"]
        assert [line["statusCode"] for line in lines] == [101, 403, 101]
        assert lines[1]["messageId"] == "None"

    def test_reports_a_number_that_does_not_exist(self, sandbox, app):
        send(sandbox, "+254799999998")
        report = app.wait("/at/sms-reports")[0].form
        assert (report["status"], report["failureReason"]) == ("Failed", "UserDoesNotExist")

    def test_needs_a_key(self, sandbox, amina):
        answer = send(sandbox, f"+{amina}", headers={})
        assert answer.status_code == 401
        assert answer.headers["content-type"].startswith("text/plain")

    @pytest.mark.parametrize(
        ("text", "parts"),
        [("x" * 160, 1), ("x" * 161, 2), ("€" * 80, 1), ("€" * 81, 2), ("ê" * 70, 1), ("ê" * 71, 2)],
    )
    def test_counts_parts_by_alphabet(self, sandbox, amina, text, parts):
        answer = send(sandbox, f"+{amina}", text).json()["SMSMessageData"]["Message"]
        assert answer.endswith(f"Message parts: {parts}")

    def test_leaves_out_who_has_opted_out(self, sandbox, app, amina):
        sandbox.http.post(f"/phones/{amina}/optout", json={"sender": "JIRANI"})
        assert app.wait("/at/sms-optouts")[0].form == {"senderId": "JIRANI", "phoneNumber": f"+{amina}"}
        (line,) = send(sandbox, f"+{amina}").json()["SMSMessageData"]["Recipients"]
        assert (line["statusCode"], line["status"]) == (406, "UserInBlacklist")

    def test_can_refuse_and_fail_on_request(self, sandbox, app, amina):
        path = "/version1/messaging"
        sandbox.faults(
            {"match": {"path": path, "nth": 1}, "outcome": {"code": 405}},
            {"match": {"path": path, "nth": 2}, "outcome": {"delivery": "Rejected"}},
        )
        (line,) = send(sandbox, f"+{amina}").json()["SMSMessageData"]["Recipients"]
        assert line["status"] == "InsufficientBalance"
        send(sandbox, f"+{amina}")
        assert app.wait("/at/sms-reports")[0].form["status"] == "Rejected"
        assert sandbox.phone(amina)["inbox"] == []

    def test_does_not_show_the_key(self, sandbox, amina):
        send(sandbox, f"+{amina}")
        assert "at-secret-key" not in sandbox.http.get("/control/requests").text


class TestIncoming:
    def test_carries_a_text_to_the_application(self, sandbox, app, amina):
        sent = sandbox.text(amina, "20384", "LOAN 500")
        form = app.wait("/at/sms")[0].form
        assert sent == {"id": form["id"], "delivered": True}
        assert (form["from"], form["to"], form["text"]) == (f"+{amina}", "20384", "LOAN 500")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", form["date"])

    def test_is_sent_again_until_it_is_taken(self, sandbox, app, amina):
        answers = iter([(503, "busy"), (200, "ok")])
        app.answers["/at/sms"] = lambda one: next(answers)
        assert sandbox.text(amina, "20384", "BAL")["delivered"] is False
        first, second = app.wait("/at/sms", 2)
        assert first.form["id"] == second.form["id"]


class TestUssd:
    @pytest.fixture
    def menu(self, app):
        """An application with a menu, a question and an end."""
        screens = {"": "CON Jirani\n1. Borrow", "1": "CON How much?", "1*500": "END KES 500 is on its way"}
        app.answers["/at/ussd"] = lambda hop: (200, screens.get(hop.form["text"], "CON Again?"))
        return app

    def test_posts_the_cumulative_text_and_shows_screens(self, sandbox, menu, amina):
        first = sandbox.dial(amina, "*384*77#")
        assert (first["open"], first["text"]) == (True, "Jirani\n1. Borrow")
        assert sandbox.type(amina, "1")["text"] == "How much?"
        last = sandbox.type(amina, "500")
        assert (last["open"], last["text"]) == (False, "KES 500 is on its way")

        hops = [hop.form for hop in menu.at("/at/ussd")]
        assert [hop["text"] for hop in hops] == ["", "1", "1*500"]
        assert len({hop["sessionId"] for hop in hops}) == 1
        assert re.fullmatch(r"ATUid_[0-9a-f]{32}", hops[0]["sessionId"])
        assert hops[0]["phoneNumber"] == f"+{amina}"
        assert hops[0]["serviceCode"] == "*384*77#"
        assert hops[0]["networkCode"] == "63902"
        event = menu.wait("/at/ussd-events")[0].form
        assert (event["status"], event["hopsCount"], event["input"]) == ("Success", "3", "1*500")
        assert event["lastAppResponse"] == "END KES 500 is on its way"
        expected = "date sessionId serviceCode networkCode phoneNumber status cost durationInMillis hopsCount"
        assert set(event) == {*expected.split(), "input", "lastAppResponse", "errorMessage"}

    def test_takes_a_shortcut_in_the_dial_string(self, sandbox, menu, amina):
        assert sandbox.dial(amina, "*384*77*1#")["text"] == "How much?"
        hop = menu.at("/at/ussd")[0].form
        assert (hop["serviceCode"], hop["text"]) == ("*384*77#", "1")

    def test_reports_a_hang_up_as_incomplete(self, sandbox, menu, amina):
        sandbox.dial(amina, "*384*77#")
        sandbox.hang_up(amina)
        assert menu.wait("/at/ussd-events")[0].form["status"] == "Incomplete"
        assert sandbox.http.post(f"/phones/{amina}/input", json={"text": "1"}).status_code == 404

    @pytest.mark.parametrize("answer", [(500, "CON Menu"), (200, "Menu"), (200, ""), (404, "END no")])
    def test_ends_with_the_networks_words_when_the_application_fails(self, sandbox, app, amina, answer):
        app.answers["/at/ussd"] = lambda hop: answer
        screen = sandbox.dial(amina, "*384*77#")
        assert (screen["open"], screen["text"]) == (False, "Connection problem or invalid MMI code.")
        event = app.wait("/at/ussd-events")[0].form
        assert event["status"] == "Failed"
        assert event["errorMessage"]

    def test_ends_when_the_application_is_too_slow(self, sandbox, app, amina):
        sandbox.faults({"match": {"path": "/ussd"}, "callbacks": []})
        assert sandbox.dial(amina, "*384*77#")["open"] is False
        assert app.wait("/at/ussd-events")[0].form["status"] == "Failed"

    def test_can_deliver_a_hop_twice_at_once(self, sandbox, menu, amina):
        sandbox.faults({"match": {"path": "/ussd", "nth": 2}, "callbacks": [{"mode": "dup"}]})
        sandbox.dial(amina, "*384*77#")
        assert sandbox.type(amina, "1")["text"] == "How much?"
        assert [hop.form["text"] for hop in menu.at("/at/ussd")] == ["", "1", "1"]

    def test_gives_a_new_number_a_phone_when_it_dials(self, sandbox, menu):
        assert sandbox.dial("254733000001", "*384*77#")["open"]
        assert sandbox.phone("254733000001")["balance_cents"] == 0

    def test_shows_typed_digits_nowhere(self, sandbox, menu, amina):
        sandbox.dial(amina, "*384*77#")
        sandbox.type(amina, "73915")
        sandbox.hang_up(amina)
        sandbox.flush()
        seen = sandbox.http.get("/control/callbacks").text + sandbox.http.get("/control/requests").text
        assert "73915" not in seen + sandbox.log_path.read_text()
        assert b"73915" not in sandbox.data.read_bytes()


class TestPhone:
    def test_is_changed_field_by_field(self, sandbox):
        msisdn = someone(sandbox, "Wambui", balance_cents=50_00, answer="cancel")
        sandbox.phone(msisdn, balance_cents=70_00)
        shown = sandbox.phone(msisdn)
        assert (shown["name"], shown["answer"], shown["balance_cents"]) == ("Wambui", "cancel", 70_00)

    def test_can_be_made_by_the_thousand(self, sandbox):
        phones = [{"msisdn": f"2547{n:08d}", "name": "N", "balance_cents": 100} for n in range(3000)]
        assert sandbox.http.put("/phones", json={"phones": phones}).json() == {"phones": 3000}

    @pytest.mark.parametrize(
        "body",
        [{"answer": "maybe"}, {"balance_cents": -1}, {"balance_cents": "lots"}, ["not", "an", "object"]],
    )
    def test_refuses_nonsense(self, sandbox, body):
        assert sandbox.http.put("/phones/254722000001", json=body).status_code == 400
        assert sandbox.http.get("/phones/254722000001").status_code == 404

    def test_number_must_be_digits(self, sandbox):
        assert sandbox.http.put("/phones/abc", json={}).status_code == 400
