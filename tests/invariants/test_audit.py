"""Each invariant finds the row that breaks it: books are loaded once, and each test breaks them in one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from lending import invariants
from lending.demo import economy, writer
from lending.management.commands.demo_portfolio import setting_of
from lending.models import Borrower, CountryPack, Receipt, SavingsAccount
from lending.rules.calendar import start_of
from lending.selectors import deposits
from lending.services import groups
from lending.services.periods import close_period
from tests import factories
from tests.lending import saving
from tests.lending.demo.conftest import AS_OF, DAYS, PEOPLE, SEED

ONE_LIVE = "(SELECT min(id) FROM lending_loan WHERE state = 'live')"
ONE_SETTLED = "(SELECT min(id) FROM lending_loan WHERE state = 'settled')"


def _raised_due(kind: str) -> str:
    if kind == "interest":  # a receivable as far as it is earned
        return f"UPDATE lending_loan SET accrued_cents = accrued_cents + 100 WHERE id = {ONE_LIVE}"
    return f"UPDATE lending_installment SET {kind}_cents = {kind}_cents + 100 WHERE loan_id = {ONE_LIVE}"


# What breaks -> how a hand on the database would break it.
BREAKS = {
    "debits equal credits in each posting and currency": """
        UPDATE lending_entry SET debit_cents = debit_cents + 1
         WHERE id = (SELECT min(id) FROM lending_entry WHERE debit_cents > 0)""",
    "each posting has two entries or more": """
        INSERT INTO lending_posting (kind, reference, event_key, occurred_at, business_date, booked_at)
        VALUES ('capital', 'of nothing', '', now(), now(), now())""",
    "each entry is a debit or a credit": """
        ALTER TABLE lending_entry DROP CONSTRAINT entry_is_debit_or_credit;
        UPDATE lending_entry SET credit_cents = 5, debit_cents = 5
         WHERE id = (SELECT min(id) FROM lending_entry)""",
    "each entry has its posting and account, each due its loan": """
        UPDATE lending_entry SET account_id = 'nowhere' WHERE id = (SELECT min(id) FROM lending_entry)""",
    "all accounts together sum to zero": """
        DELETE FROM lending_entry WHERE id = (SELECT max(id) FROM lending_entry)""",
    "a reversal is the mirror image of what it reverses": """
        UPDATE lending_entry SET debit_cents = 2 * debit_cents, credit_cents = 2 * credit_cents
         WHERE posting_id = (SELECT min(id) FROM lending_posting WHERE reverses_id IS NOT NULL)""",
    "checkpoints say what the entries up to them say": """
        UPDATE lending_checkpoint SET debit_cents = debit_cents + 1
         WHERE id = (SELECT max(id) FROM lending_checkpoint)""",
    "the chain holds every posting up to its head, unchanged": """
        UPDATE lending_posting SET occurred_at = occurred_at - interval '1 second'
         WHERE id = (SELECT min(id) FROM lending_posting)""",
    "nothing was booked into a period after it was closed": """
        INSERT INTO lending_posting (kind, reference, event_key, occurred_at, business_date, booked_at)
        SELECT 'capital', 'late', '', now(), last_on, now() FROM lending_periodclosing""",
    **{f"{kind} receivable is what live loans still owe of it": _raised_due(kind) for kind in invariants.KINDS},
    "each loan's entries are what it still owes": f"""
        UPDATE lending_posting SET loan_id = {ONE_LIVE}
         WHERE id = (SELECT min(id) FROM lending_posting WHERE kind = 'repayment' AND loan_id = {ONE_SETTLED})""",
    "savings owed are the savings accounts' balances": """
        UPDATE lending_savingsaccount SET balance_cents = balance_cents + 100
         WHERE id = (SELECT min(id) FROM lending_savingsaccount)""",
    "customer savings are the balances that we hold ourselves": """
        UPDATE lending_savingsaccount SET partner = '' WHERE id = (SELECT min(id) FROM lending_savingsaccount)""",
    "a savings balance is what moved in less what moved out": """
        DELETE FROM lending_savingsmovement WHERE id = (SELECT min(id) FROM lending_savingsmovement)""",
    "savings are no lower than their minimum and their open holds": """
        UPDATE lending_savingshold SET released_at = now()""",
    "savings interest is what the closing balances earned": """
        UPDATE lending_savingsaccount SET accrued_parts = accrued_parts + 1 WHERE goal = 'Cow'""",
    "a savings account goes by the version that is its turn": """
        UPDATE lending_savingsversionchange SET after_id = before_id, before_id = after_id""",
    "a savings instruction moved once what it said, or nothing": """
        UPDATE lending_savingsinstruction SET state = 'confirmed' WHERE state = 'open'""",
    "a group's money left as often as its members agreed to": """
        DELETE FROM lending_groupapproval WHERE id = (SELECT min(id) FROM lending_groupapproval)""",
    "overpayments kept are what came in over and did not go back": """
        UPDATE lending_receipt SET over_cents = over_cents + 100
         WHERE id = (SELECT min(id) FROM lending_receipt WHERE over_cents > 0)""",
    "savings in transit are the deposits that their holders have not taken": """
        UPDATE lending_savingsinstruction SET state = 'rejected' WHERE receipt_id IS NOT NULL""",
    "suspense is the receipts that fit nobody": """
        DELETE FROM lending_case; DELETE FROM lending_receipt
         WHERE id = (SELECT min(id) FROM lending_receipt WHERE state = 'suspense')""",
    "money in suspense has an open case": """
        UPDATE lending_case SET closed_at = now()
         WHERE id = (SELECT min(id) FROM lending_case WHERE kind = 'unmatched_receipt')""",
    "payouts reserved are the loans on their way": f"""
        UPDATE lending_loan SET state = 'approved' WHERE id = {ONE_LIVE}""",
    "a receipt is counted once and by its own amount": """
        UPDATE lending_posting SET event_key = event_key || ':again'
         WHERE id = (SELECT min(id) FROM lending_posting WHERE kind = 'repayment')""",
    "a receipt is its repayment or saving and what is over": """
        DELETE FROM lending_repayment WHERE id = (SELECT min(id) FROM lending_repayment)""",
    "a loan brought in was paid out by the system it comes from": f"""
        UPDATE lending_loan SET origin = 'elsewhere:1', application_id = NULL WHERE id = {ONE_LIVE}""",
    "history brought in is what its loans were lent and repaid": f"""
        UPDATE lending_entry SET account_id = 'history_brought_in'
         WHERE id = (SELECT min(entry.id) FROM lending_entry entry JOIN lending_posting posting
                                            ON posting.id = entry.posting_id WHERE loan_id = {ONE_LIVE})""",
    "what was paid on a loan came by a receipt, or with the loan": """
        DELETE FROM lending_repayment WHERE id = (SELECT min(id) FROM lending_repayment)""",
    "a repayment is the sum of its allocations, to its own loan": """
        UPDATE lending_allocation SET fee_cents = fee_cents + 100
         WHERE id = (SELECT min(id) FROM lending_allocation)""",
    "a prompt brings in no more than it asked for": """
        UPDATE lending_paymentintent SET amount_cents = 1
         WHERE id = (SELECT min(id) FROM lending_paymentintent WHERE state = 'succeeded' AND purpose = 'collect')
    """,
    "an intent has at most one attempt that succeeded": """
        DROP INDEX attempt_one_live_or_succeeded;
        INSERT INTO lending_paymentattempt (intent_id, number, provider, provider_ref, request_id, state,
                    result_code, result_text, receipt_no, queries, created_at)
        SELECT intent_id, 2, provider, gen_random_uuid(), '', state, '0', '', '', 0, created_at
          FROM lending_paymentattempt WHERE state = 'succeeded' ORDER BY id LIMIT 1""",
    "an intent stands as its attempts do": """
        UPDATE lending_paymentintent SET state = 'open'
         WHERE id = (SELECT min(id) FROM lending_paymentintent WHERE state = 'succeeded' AND purpose = 'collect');
        UPDATE lending_paymentattempt SET state = 'manual'
         WHERE id = (SELECT max(id) FROM lending_paymentattempt WHERE state = 'failed')""",
    "no two payouts were told under one receipt number": f"""
        UPDATE lending_paymentattempt SET receipt_no = lower(other.receipt_no)
          FROM lending_paymentattempt other JOIN lending_paymentintent intent ON intent.id = other.intent_id
         WHERE intent.loan_id = {ONE_SETTLED} AND purpose = 'disburse' AND lending_paymentattempt.intent_id IN (
               SELECT id FROM lending_paymentintent WHERE loan_id = {ONE_LIVE} AND purpose = 'disburse')""",
    "money out is the money that was approved": """
        UPDATE lending_paymentintent SET amount_cents = 2 * amount_cents
         WHERE id = (SELECT min(id) FROM lending_paymentintent WHERE purpose = 'disburse')""",
    "a loan that pays off another one lent what it paid off": """
        UPDATE lending_loan SET refinances_id = (SELECT min(id) FROM lending_loan), refinanced_cents = 100
         WHERE id = (SELECT max(id) FROM lending_loan WHERE disbursed_at IS NOT NULL)""",
    "a refund went out once, whole, and out of what was kept": """
        UPDATE lending_refund SET amount_cents = amount_cents + 1""",
    "no more was given back than was kept, or a person knows": """
        UPDATE lending_loan SET over_cents = over_cents - 1 WHERE id IN (SELECT loan_id FROM lending_refundpart)""",
    "no loan is live without a confirmed payout": f"""
        UPDATE lending_paymentattempt SET state = 'unknown'
         WHERE intent_id IN (SELECT id FROM lending_paymentintent WHERE loan_id = {ONE_LIVE})""",
    "what is outstanding is what the dues leave": f"""
        UPDATE lending_loan SET outstanding_cents = outstanding_cents - 100 WHERE id = {ONE_LIVE}""",
    "no due is paid beyond what it was": f"""
        UPDATE lending_installment SET fee_cents = 0 WHERE loan_id = {ONE_SETTLED}""",
    "a settled loan owes nothing, a live one something": f"""
        UPDATE lending_installment SET principal_cents = principal_cents + 100 WHERE loan_id = {ONE_SETTLED}""",
    "a loan was settled by the last event that took something off it": f"""
        UPDATE lending_loan SET settled_at = settled_at + interval '1 day' WHERE id = {ONE_SETTLED}""",
    "days past due are counted from the oldest unpaid due": f"""
        UPDATE lending_loan SET days_past_due = 1 + days_past_due, worst_days_past_due = 999
         WHERE id = {ONE_LIVE}""",
    "a loan that is over has no fee left to earn": f"""
        UPDATE lending_entry SET account_id = 'deferred_fee_income'
         WHERE account_id = 'fee_income' AND posting_id IN (
               SELECT id FROM lending_posting WHERE loan_id = {ONE_SETTLED})""",
    "nobody has two open loans, by number or by national ID": f"""
        DROP INDEX loan_one_open_per_identity;
        UPDATE lending_loan SET identity_index = 'one and the same' WHERE state = 'live' OR id = {ONE_LIVE}""",
    "what is charged is what the customer accepted": f"""
        UPDATE lending_application SET fee_cents = fee_cents + 100
         WHERE id = (SELECT application_id FROM lending_loan WHERE id = {ONE_LIVE})""",
    "no price is above the caps of its country pack": """
        UPDATE lending_countrypack SET rules = jsonb_set(rules, '{price_caps,max_total_cost_rate}', '"0.059"')""",
    "no application has two decisions": """
        ALTER TABLE lending_decision DROP CONSTRAINT lending_decision_application_id_key;
        UPDATE lending_decision SET application_id = (SELECT max(application_id) FROM lending_decision)
         WHERE id = (SELECT min(id) FROM lending_decision)""",
    "an application stands as it was decided": """
        UPDATE lending_application SET state = 'declined'
         WHERE id = (SELECT min(id) FROM lending_application WHERE state = 'approved')""",
    "each refusal has a reason and a next step": """
        ALTER TABLE lending_decision DROP CONSTRAINT decision_refusal_has_reason_and_step;
        UPDATE lending_decision SET next_step = '' WHERE outcome = 'decline'""",
}  # fmt: skip


@pytest.fixture
def books(law: None) -> None:
    """Books with a little of everything."""
    portfolio = economy.tell(setting_of(PEOPLE, SEED, AS_OF, DAYS))
    writer.load(portfolio, factories.usual_product(), CountryPack.objects.get(country="KE"), lambda text: None)
    maker, checker = (User.objects.create_user(name) for name in ("wambui", "njeri"))
    close_period(
        last_on=AS_OF - timedelta(days=30), maker=maker, checker=checker, at=start_of(AS_OF, settings.TIME_ZONE)
    )
    _save()
    _give_back(start_of(AS_OF + timedelta(days=1), settings.TIME_ZONE))
    _run("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def _save() -> None:
    """Let two people save for a cow with interest, in tiers of either kind, and a group ask its money out; one
    more account stands for what we hold ourselves."""
    members = list(Borrower.objects.order_by("id")[:3])
    for member, apply_to in zip(members, ("part", "whole"), strict=False):
        tiers = [{"from_cents": 0, "rate": "0.03"}, {"from_cents": 6_000, "rate": "0.0512"}]
        interest = saving.terms_of()["interest"] | {"tiers": tiers, "tiers_apply_to": apply_to}
        saving.product(f"cow-{apply_to}", interest=interest)
        cow = saving.pot(member, f"cow-{apply_to}", goal="Cow")
        saving.next_version(
            f"cow-{apply_to}",
            effective_on=saving.after(45).date(),
            terms={"interest": interest | {"tiers": [{"from_cents": 0, "rate": "0.0317"}]}},
        )
        for days in (0, 10, 40, 30, 95, 20):
            saving.deposit(cow, 100 * days + 5_000, saving.after(days))
        factories.pay(deposits.paybill_account(cow, member), 1_000, f"SAVED{apply_to}", at=saving.after(96))
    group = groups.form_group(
        name="Tumaini", members=members, approvals_needed=2, product_code="jirani-group", at=saving.MORNING
    )
    groups.contribute(
        group_id=group.id, borrower_id=members[0].id, amount_cents=9_000, reference="in", moved_at=saving.MORNING
    )
    asked = groups.ask_withdrawal(
        group_id=group.id, asked_by=members[0].id, to=members[1].id, amount_cents=5_000, purpose="roof",
        origin="roof", at=saving.after(1),
    )  # fmt: skip
    for member in members[:2]:
        groups.approve(withdrawal_id=asked.id, borrower_id=member.id, at=saving.after(2))
    SavingsAccount.objects.filter(id=saving.pot(members[0], "jirani-save", goal="Ours").id).update(partner="")


def _give_back(at: datetime) -> None:
    """Let somebody who paid too much have it back."""
    over = Receipt.objects.filter(over_cents__gte=100, repayment__loan__state="settled").order_by("id")[0]
    assert over.borrower is not None
    factories.give_back(over.borrower, at=at)


def _run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@contextmanager
def undone() -> Iterator[None]:
    """Undo what is done to the books inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def broken_by(sql: str) -> dict[str, invariants.Finding]:
    """Return what the audit finds after a change that no trigger and no foreign key saw."""
    _run("SET LOCAL session_replication_role = replica")
    _run(sql)
    return {finding.name: finding for finding in invariants.audit() if not finding.holds}


def test_whole_books_hold_and_each_invariant_has_rows_to_look_at(books):
    findings = list(invariants.audit())
    assert [finding.name for finding in findings if not finding.holds] == []
    nothing_there = {finding.name for finding in findings if not finding.counted}
    assert nothing_there == {
        "payouts reserved are the loans on their way",
        "a loan that pays off another one lent what it paid off",
        "a loan brought in was paid out by the system it comes from",
        "history brought in is what its loans were lent and repaid",
    }


def test_every_invariant_has_a_break_of_its_own():
    assert set(BREAKS) == {invariant.name for invariant in invariants.INVARIANTS}


def test_a_broken_row_is_found_and_named(books, subtests):
    for name, sql in BREAKS.items():
        with subtests.test(name), undone():
            found = broken_by(sql)
            assert name in found
            assert 1 <= len(found[name].offenders) <= invariants.MAX_OFFENDERS
            assert all(found[name].offenders)


class TestCommand:
    def test_prints_a_line_for_each_invariant(self, books):
        out = StringIO()
        call_command("audit_books", stdout=out)
        lines = out.getvalue().splitlines()
        assert len(lines) == len(invariants.INVARIANTS) + 1
        assert all(line.endswith("ok") for line in lines[:-1])

    def test_fails_and_shows_at_most_five_offenders(self, books):
        _run("SET LOCAL session_replication_role = replica")
        _run("UPDATE lending_loan SET worst_days_past_due = 0 WHERE state = 'written_off'")
        _run("UPDATE lending_savingsaccount SET balance_cents = balance_cents + 100")
        with pytest.raises(CommandError) as failure:
            call_command("audit_books", stdout=StringIO())
        text = str(failure.value)
        assert "a savings balance is what moved in less what moved out" in text
        line = next(line for line in text.splitlines() if line.startswith("a savings balance"))
        assert line.count("savings account ") == invariants.MAX_OFFENDERS


# Each way in which an account can go by a version that is not its turn -> what is said of it.
WRONG_VERSIONS = {
    "its changes lead to": """
        UPDATE lending_savingsaccount SET product_version_id = (
               SELECT id FROM lending_savingsproductversion WHERE code = 'jirani-save') WHERE goal = 'Cow'""",
    "not in force then": """DELETE FROM lending_savingsversionchange""",
    "which has ended": """
        UPDATE lending_savingsaccount account SET product_version_id = before_id
          FROM lending_savingsversionchange change WHERE change.account_id = account.id;
        DELETE FROM lending_savingsversionchange""",
}


def test_each_way_to_go_by_a_wrong_version_is_found(books, subtests):
    name = "a savings account goes by the version that is its turn"
    for said, sql in WRONG_VERSIONS.items():
        with subtests.test(said), undone():
            [first, *_] = broken_by(sql)[name].offenders
            assert said in first
