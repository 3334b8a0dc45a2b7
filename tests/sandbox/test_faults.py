"""What goes wrong on request, each way once, and that money is never lost by it."""

import httpx
import pytest

from tests.sandbox.business import B2C_PATH, STK_PATH, metadata, parameters


def rule(path=B2C_PATH, **parts) -> dict:
    return {"match": {"path": path}} | parts


class TestAnswers:
    """How the acknowledgement of an accepted or refused payment is lost or spoilt."""

    @pytest.mark.parametrize("mode", ["lost_after_accept", "reset"])
    def test_is_lost_but_the_money_moves(self, sandbox, business, app, amina, mode):
        sandbox.faults(rule(ack={"mode": mode}))
        with pytest.raises(httpx.TransportError):
            business.pay_out(amina, 500)
        assert parameters(app.wait("/b2c/result")[0].json)["TransactionAmount"] == 500
        assert sandbox.phone(amina)["balance_cents"] == 1_500_00

    def test_is_lost_after_the_callers_patience(self, sandbox, business, app, amina):
        sandbox.faults(rule(ack={"mode": "lost_after_accept", "after_ms": 3000}))
        business.http.timeout = httpx.Timeout(0.3)
        with pytest.raises(httpx.ReadTimeout):
            business.pay_out(amina)
        app.wait("/b2c/result")
        sandbox.clear_faults()

    def test_is_lost_and_nothing_happens(self, sandbox, business, app, amina):
        sandbox.faults(rule(ack={"mode": "lost_before_accept"}))
        with pytest.raises(httpx.RemoteProtocolError):
            business.pay_out(amina, OriginatorConversationID="never-taken")
        sandbox.clear_faults()
        sandbox.flush()
        assert app.at("/b2c/result") == []
        assert business.pay_out(amina, OriginatorConversationID="never-taken").status_code == 200

    def test_is_cut_in_half_but_the_money_moves(self, sandbox, business, app, amina):
        sandbox.faults(rule(ack={"mode": "truncated"}))
        answer = business.pay_out(amina)
        assert answer.status_code == 200
        with pytest.raises(ValueError):
            answer.json()
        app.wait("/b2c/result")

    @pytest.mark.parametrize(
        ("mode", "status", "words"),
        [
            ("html", 503, "<html>"),
            ("dup_id", 500, "Duplicate OriginatorConversationID."),
            ("token_expired", 401, "Invalid Access Token"),
            ("spike", 500, "Spike Arrest"),
        ],
    )
    def test_is_an_error_and_nothing_happens(self, sandbox, business, app, amina, mode, status, words):
        sandbox.faults(rule(ack={"mode": mode}))
        answer = business.pay_out(amina)
        assert answer.status_code == status
        assert words in answer.text
        sandbox.flush()
        assert app.at("/b2c/result") == []

    @pytest.mark.parametrize("accepted", [False, True])
    def test_is_any_status_and_body_whether_accepted_or_not(self, sandbox, business, app, amina, accepted):
        body = {"requestId": "1", "errorCode": "500.002.1001", "errorMessage": "System internal error."}
        sandbox.faults(rule(ack={"mode": "http", "status": 500, "body": body, "accepted": accepted}))
        answer = business.pay_out(amina)
        assert (answer.status_code, answer.json()) == (500, body)
        sandbox.flush()
        assert len(app.at("/b2c/result")) == int(accepted)

    def test_is_slow(self, sandbox, business, amina):
        sandbox.faults(rule(ack={"mode": "slow", "after_ms": 300}))
        answer = business.pay_out(amina)
        assert answer.status_code == 200
        assert answer.elapsed.total_seconds() >= 0.3


class TestCallbacks:
    """How a result comes late, often, wrong or not at all."""

    def plan(self, sandbox, *plans, path=B2C_PATH):
        sandbox.faults(rule(path, callbacks=list(plans)))

    def test_never_comes_but_the_money_moves(self, sandbox, business, app, amina):
        self.plan(sandbox)
        business.pay_out(amina)
        sandbox.flush()
        assert app.at("/b2c/result") == []
        assert sandbox.phone(amina)["balance_cents"] == 1_500_00

    def test_comes_late_or_when_flushed(self, sandbox, business, app, amina):
        self.plan(sandbox, {"after_ms": 60_000})
        business.pay_out(amina)
        assert app.at("/b2c/result") == []
        sandbox.flush()
        assert len(app.at("/b2c/result")) == 1

    @pytest.mark.parametrize(
        ("plans", "count"),
        [
            ([{"after_ms": 5}, {"after_ms": 10, "dup": True}], 3),
            ([{"mode": "dup"}], 2),
            ([{"mode": "dup", "dup": 5}], 5),
        ],
    )
    def test_comes_several_times(self, sandbox, business, app, amina, plans, count):
        self.plan(sandbox, *plans)
        business.pay_out(amina)
        sandbox.flush()
        results = [one.json for one in app.at("/b2c/result")]
        assert len(results) == count
        assert all(one == results[0] for one in results)
        assert sandbox.phone(amina)["balance_cents"] == 1_500_00

    def test_comes_twice_at_the_same_time(self, sandbox, business, app, amina):
        import threading

        together = threading.Barrier(2, timeout=5)
        app.answers["/b2c/result"] = lambda one: (200, str(together.wait()))
        self.plan(sandbox, {"mode": "dup"})
        business.pay_out(amina)
        sandbox.flush()
        assert {one["status"] for one in sandbox.callbacks("b2c")[-2:]} == {200}

    def test_overtakes_the_acknowledgement(self, sandbox, business, app, amina):
        self.plan(sandbox, {"mode": "before_ack"})
        business.pay_out(amina)
        assert len(app.at("/b2c/result")) == 1

    def test_of_a_prompt_overtakes_the_acknowledgement_too(self, sandbox, business, app, amina):
        self.plan(sandbox, {"mode": "before_ack"}, path=STK_PATH)
        business.ask_to_pay(amina)
        assert metadata(app.at("/stk")[0].json)["Amount"] == 500

    def test_comes_in_another_order(self, sandbox, business, app, amina):
        sandbox.faults({"match": {"path": B2C_PATH, "nth": 1}, "callbacks": [{"mode": "reorder"}]})
        business.pay_out(amina, 100)
        app_amounts = lambda: [parameters(one.json)["TransactionAmount"] for one in app.at("/b2c/result")]  # noqa: E731
        business.pay_out(amina, 200)
        app.wait("/b2c/result", 2)
        assert app_amounts() == [200, 100]

    def test_goes_to_the_timeout_address_and_then_succeeds(self, sandbox, business, app, amina):
        self.plan(sandbox, {"after_ms": 0, "url": "timeout"}, {"after_ms": 100})
        business.pay_out(amina, OriginatorConversationID="queued")
        notice = app.wait("/b2c/timeout")[0].json["Result"]
        assert notice["OriginatorConversationID"] == "queued"
        assert "ResultParameters" not in notice
        assert app.wait("/b2c/result")[0].json["Result"]["ResultCode"] == 0

    @pytest.mark.parametrize(
        ("mode", "name", "told"),
        [("wrong_amount", "TransactionAmount", 501), ("wrong_party", "ReceiverPartyPublicName", None)],
    )
    def test_lies_about_one_thing(self, sandbox, business, app, amina, mode, name, told):
        self.plan(sandbox, {"after_ms": 0}, {"after_ms": 0, "mode": mode})
        business.pay_out(amina, 500)
        sandbox.flush()
        right, wrong = sorted(
            (parameters(one.json) for one in app.at("/b2c/result")),
            key=lambda p: p[name] not in (500, f"{amina} - Amina Otieno"),
        )
        assert [key for key in right if right[key] != wrong[key]] == [name]
        assert told in (None, wrong[name])

    def test_carries_ids_that_nobody_knows(self, sandbox, business, app, amina):
        self.plan(sandbox, {"mode": "unknown_id"})
        ack = business.pay_out(amina, OriginatorConversationID="known").json()
        result = app.wait("/b2c/result")[0].json["Result"]
        assert result["OriginatorConversationID"] != "known"
        assert result["ConversationID"] != ack["ConversationID"]

    def test_is_not_json(self, sandbox, business, app, amina):
        self.plan(sandbox, {"mode": "malformed"})
        business.pay_out(amina)
        (one,) = app.wait("/b2c/result")
        assert one.headers["Content-Type"] == "application/json"
        with pytest.raises(ValueError):
            one.json  # noqa: B018

    def test_claims_another_source(self, sandbox, business, app, amina):
        self.plan(sandbox, {"mode": "from_ip", "ip": "196.201.214.200"})
        business.pay_out(amina)
        assert app.wait("/b2c/result")[0].headers["X-Forwarded-For"] == "196.201.214.200"


class TestScript:
    def paid(self, business, amina, times):
        return [business.pay_out(amina, 10).status_code for _ in range(times)]

    def test_counts_requests(self, sandbox, business, amina):
        sandbox.faults({"match": {"path": B2C_PATH, "nth": 3}, "ack": {"mode": "spike"}})
        assert self.paid(business, amina, 4) == [200, 200, 500, 200]
        sandbox.faults({"match": {"path": B2C_PATH, "every": 2}, "ack": {"mode": "spike"}})
        assert self.paid(business, amina, 4) == [200, 500, 200, 500]

    def test_throws_the_same_dice_for_the_same_seed(self, sandbox, business, amina):
        runs = []
        for _ in range(2):
            sandbox.faults({"match": {"path": B2C_PATH, "rate": 0.5}, "ack": {"mode": "spike"}}, seed=7)
            runs.append(self.paid(business, amina, 12))
        assert runs[0] == runs[1]
        assert set(runs[0]) == {200, 500}

    def test_ends_when_it_is_cleared(self, sandbox, business, amina):
        sandbox.faults(rule(ack={"mode": "spike"}))
        sandbox.clear_faults()
        assert self.paid(business, amina, 1) == [200]

    @pytest.mark.parametrize(
        "bad", [{}, {"match": {}}, rule(ack={"mode": "sulk"}), rule(callbacks=[{"mode": "sing"}])]
    )
    def test_is_refused_when_it_makes_no_sense(self, sandbox, bad):
        answer = sandbox.http.post("/control/faults", json={"rules": [bad]})
        assert answer.status_code == 400
        assert answer.json()["error"]
