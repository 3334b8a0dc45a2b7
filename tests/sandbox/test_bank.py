"""The bank that holds savings: his file answers ours, the money moves once, and no cent is lost (see `sandbox`)."""

from tests.sandbox.business import PAYBILL
from tests.sandbox.conftest import someone

HEADER = "reference,account,kind,amount_cents,asked_on"


def settle(sandbox, *lines: str, **beside):
    body = {"asked": "\n".join((HEADER, *lines)) + "\n", "paybill": PAYBILL, "wallets": {}, "bills": {}}
    answer = sandbox.http.post("/bank/settlement", json=body | beside)
    answer.raise_for_status()
    return [line.split(",") for line in answer.json()["answers"].splitlines()[1:]]


def outcomes(lines) -> list[str]:
    return [line[5] for line in lines]


def test_a_deposit_leaves_our_paybill_once_however_often_it_is_asked(sandbox):
    sandbox.shortcode(PAYBILL, utility_cents=30_000)
    first = settle(sandbox, "deposit:1,7,deposit,20000,2026-03-02")
    assert first == settle(sandbox, "deposit:1,7,deposit,20000,2026-03-02")
    assert outcomes(first) == ["confirmed"] and first[0][1:5] == ["deposit:1", "7", "deposit", "20000"]
    assert sandbox.money()["shortcodes"][PAYBILL]["utility_cents"] == 10_000


def test_a_deposit_that_our_paybill_does_not_hold_is_rejected(sandbox):
    assert outcomes(settle(sandbox, "deposit:2,7,deposit,20000,2026-03-02")) == ["rejected"]


def test_a_withdrawal_reaches_the_savers_wallet_and_says_so(sandbox):
    saver = someone(sandbox, "Amina", balance_cents=0)
    asked = "w:1,7,withdrawal,12345,2026-03-02"
    for _ in range(2):
        assert outcomes(settle(sandbox, asked, wallets={"w:1": saver})) == ["confirmed"]
    assert sandbox.phone(saver)["balance_cents"] == 12_345
    [text] = sandbox.phone(saver)["inbox"]
    assert "Ksh123.45 from UMOJA BANK" in text["text"]


def test_a_withdrawal_to_no_wallet_is_rejected(sandbox):
    assert outcomes(settle(sandbox, "w:2,7,withdrawal,100,2026-03-02", wallets={"w:2": "254799999999"})) == [
        "rejected"
    ]


def test_a_sweep_arrives_at_our_paybill_like_any_repayment(sandbox, business, app):
    business.register()
    assert outcomes(settle(sandbox, "s:1,7,sweep,9000,2026-03-02", bills={"s:1": "KQ12"})) == ["confirmed"]
    told = app.wait("/c2b/confirmation")[0].json
    assert (told["BillRefNumber"], told["TransAmount"]) == ("KQ12", "90.00")


def test_interest_stays_in_the_banks_own_books(sandbox):
    before = sandbox.money()
    assert (
        outcomes(settle(sandbox, "i:1,7,interest,339,2026-03-02", "t:1,7,tax,51,2026-03-02")) == ["confirmed"] * 2
    )
    assert sandbox.money() == before
