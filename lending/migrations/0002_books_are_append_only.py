"""PostgreSQL itself refuses bad books: every posting balances per currency, nothing written is changed."""

from django.db import migrations

HISTORY = (
    "entry", "posting", "account", "loan", "installment", "auditevent", "allocation", "decision", "receipt",
    "repayment", "paymentattempt", "accessrecord",
)  # fmt: skip

FORWARD = """
-- Postings whose legs came in several statements, until their transaction commits; it leaves none behind.
CREATE TABLE lending_unbalanced (posting_id bigint NOT NULL);

CREATE FUNCTION lending_posting_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT currency, sum(debit_cents) AS debits, sum(credit_cents) AS credits INTO wrong
      FROM lending_entry WHERE posting_id = NEW.posting_id
     GROUP BY currency HAVING sum(debit_cents) <> sum(credit_cents) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'posting % does not balance in %: debits %, credits %',
            NEW.posting_id, wrong.currency, wrong.debits, wrong.credits
            USING ERRCODE = 'check_violation', CONSTRAINT = 'posting_balances';
    END IF;
    DELETE FROM lending_unbalanced WHERE posting_id = NEW.posting_id;
    RETURN NULL;
END $$;

-- Deferred: the legs of a posting may arrive one by one and must balance when the transaction commits.
CREATE CONSTRAINT TRIGGER unbalanced_balances AFTER INSERT ON lending_unbalanced
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lending_posting_balances();

CREATE FUNCTION lending_note_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lending_unbalanced (posting_id)
    SELECT posting_id FROM added GROUP BY posting_id, currency HAVING sum(debit_cents) <> sum(credit_cents);
    RETURN NULL;
END $$;

-- Once a statement, not once a row: legs that balance as they arrive leave a posting as balanced as it was.
CREATE TRIGGER posting_balances AFTER INSERT ON lending_entry
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION lending_note_unbalanced();

CREATE FUNCTION lending_posting_has_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM lending_entry WHERE posting_id = NEW.id) < 2 THEN
        RAISE EXCEPTION 'posting % has fewer than two entries', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'posting_has_entries';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER posting_has_entries AFTER INSERT ON lending_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lending_posting_has_entries();

-- The transaction that wrote a posting; it alone may write entries of it. The row's own xmin would say the same
-- without a column, but inside a savepoint it is the savepoint's number, which nothing leads back to the
-- transaction. In a database restored elsewhere the numbers mean nothing: old postings stay closed but to the
-- one future transaction of the same number.
ALTER TABLE lending_posting ADD COLUMN booked_in xid8 NOT NULL DEFAULT pg_current_xact_id();

CREATE FUNCTION lending_entries_come_with_posting() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT added.posting_id, posting.id IS NULL AS is_missing INTO wrong
      FROM added LEFT JOIN lending_posting posting ON posting.id = added.posting_id
     WHERE posting.booked_in IS DISTINCT FROM pg_current_xact_id() LIMIT 1;
    IF FOUND AND wrong.is_missing THEN
        RAISE EXCEPTION 'entries come after their posting, and there is no posting %', wrong.posting_id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'entries_come_with_posting';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'posting % is history: it takes no more entries, correct it with a new one',
            wrong.posting_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_come_with_posting';
    END IF;
    SELECT account_id INTO wrong FROM (SELECT DISTINCT account_id FROM added) named
     WHERE NOT EXISTS (SELECT FROM lending_account WHERE code = account_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no account %', wrong.account_id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'entries_have_accounts';
    END IF;
    RETURN NULL;
END $$;

-- Once a statement, not once a row: a story that is loaded by COPY is looked through in one query.
CREATE TRIGGER entries_come_with_posting AFTER INSERT ON lending_entry
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION lending_entries_come_with_posting();

CREATE FUNCTION lending_is_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is history: % is refused, correct it with a new row', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'check_violation', CONSTRAINT = 'is_history';
END $$;

CREATE FUNCTION lending_has_loan() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT loan_id INTO wrong FROM added
     WHERE loan_id IS NOT NULL AND NOT EXISTS (SELECT FROM lending_loan WHERE id = loan_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% comes after its loan, and there is no loan %', TG_TABLE_NAME, wrong.loan_id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'has_loan';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION lending_has_savings_account() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT account_id INTO wrong FROM added
     WHERE NOT EXISTS (SELECT FROM lending_savingsaccount WHERE id = account_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% comes after its account, and there is no account %', TG_TABLE_NAME, wrong.account_id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'has_savings_account';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER savings_movement_has_account AFTER INSERT ON lending_savingsmovement
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION lending_has_savings_account();
CREATE TRIGGER posting_has_loan AFTER INSERT ON lending_posting
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION lending_has_loan();
CREATE TRIGGER installment_has_loan AFTER INSERT ON lending_installment
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION lending_has_loan();

-- What entries, postings and installments point to never goes away, so they need no foreign key to hold it.
CREATE TRIGGER account_stays BEFORE DELETE OR UPDATE OF code ON lending_account
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER savings_account_stays BEFORE DELETE OR UPDATE OF id ON lending_savingsaccount
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER loan_stays BEFORE DELETE OR UPDATE OF id ON lending_loan
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER entry_is_history BEFORE UPDATE OR DELETE ON lending_entry
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER posting_is_history BEFORE UPDATE OR DELETE ON lending_posting
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER audit_event_is_history BEFORE UPDATE OR DELETE ON lending_auditevent
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER allocation_is_history BEFORE UPDATE OR DELETE ON lending_allocation
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER loan_event_is_history BEFORE UPDATE OR DELETE ON lending_loanevent
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER installment_is_history BEFORE UPDATE OR DELETE ON lending_installment
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER report_snapshot_is_history BEFORE UPDATE OR DELETE ON lending_reportsnapshot
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER access_record_is_history BEFORE UPDATE OR DELETE ON lending_accessrecord
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER decision_is_history BEFORE UPDATE OR DELETE ON lending_decision
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
-- Loans were made and savings were opened under them: a change is the next version.
CREATE TRIGGER product_version_is_history BEFORE UPDATE OR DELETE ON lending_productversion
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER country_pack_is_history BEFORE UPDATE OR DELETE ON lending_countrypack
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER savings_product_version_is_history BEFORE UPDATE OR DELETE ON lending_savingsproductversion
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
-- What these say of money grows as more becomes known, but none of them goes away.
CREATE TRIGGER receipt_is_history BEFORE DELETE ON lending_receipt
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER repayment_is_history BEFORE DELETE ON lending_repayment
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER attempt_is_history BEFORE DELETE ON lending_paymentattempt
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();

-- A success is final: no later word of a rail turns money that moved into money that did not.
CREATE FUNCTION lending_success_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'succeeded' AND NEW.state <> 'succeeded' THEN
        RAISE EXCEPTION '% % succeeded and cannot become %', TG_TABLE_NAME, OLD.id, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'success_is_final';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER attempt_success_is_final BEFORE UPDATE ON lending_paymentattempt
    FOR EACH ROW EXECUTE FUNCTION lending_success_is_final();
CREATE TRIGGER intent_success_is_final BEFORE UPDATE ON lending_paymentintent
    FOR EACH ROW EXECUTE FUNCTION lending_success_is_final();

CREATE TRIGGER savings_movement_is_history BEFORE UPDATE OR DELETE ON lending_savingsmovement
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER savings_version_change_is_history BEFORE UPDATE OR DELETE ON lending_savingsversionchange
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER group_approval_is_history BEFORE UPDATE OR DELETE ON lending_groupapproval
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER group_refusal_is_history BEFORE UPDATE OR DELETE ON lending_grouprefusal
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER book_entry_is_history BEFORE UPDATE ON lending_bookentry
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
-- A book is its trader's own: it may go as a whole when they are forgotten, and in no other case.
CREATE TRIGGER book_entry_stays BEFORE DELETE ON lending_bookentry
    FOR EACH ROW WHEN (OLD.borrower_id::text IS DISTINCT FROM current_setting('jirani.forgets_borrower', true))
    EXECUTE FUNCTION lending_is_history();

-- A line of a trader's book is taken back by one that says the same of the same day, once, and never by halves.
CREATE FUNCTION lending_book_reversal_mirrors() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    first lending_bookentry;
BEGIN
    SELECT * INTO first FROM lending_bookentry WHERE id = NEW.reverses_id;
    IF first.reverses_id IS NOT NULL OR (NEW.borrower_id, NEW.kind, NEW.amount_cents, NEW.happened_on, NEW.customer)
       IS DISTINCT FROM (first.borrower_id, first.kind, first.amount_cents, first.happened_on, first.customer) THEN
        RAISE EXCEPTION 'book entry % cannot be taken back by this', NEW.reverses_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'book_reversal_mirrors';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER book_reversal_mirrors BEFORE INSERT ON lending_bookentry
    FOR EACH ROW WHEN (NEW.reverses_id IS NOT NULL) EXECUTE FUNCTION lending_book_reversal_mirrors();

-- Whoever said yes does not say no to the same withdrawal, nor the other way round.
CREATE FUNCTION lending_group_says_it_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM lending_groupwithdrawal WHERE id = NEW.withdrawal_id FOR NO KEY UPDATE;
    IF TG_TABLE_NAME = 'lending_grouprefusal' AND EXISTS (
           SELECT FROM lending_groupapproval WHERE withdrawal_id = NEW.withdrawal_id AND member_id = NEW.member_id)
       OR TG_TABLE_NAME = 'lending_groupapproval' AND EXISTS (
           SELECT FROM lending_grouprefusal WHERE withdrawal_id = NEW.withdrawal_id AND member_id = NEW.member_id)
    THEN
        RAISE EXCEPTION 'member % has said their word to group withdrawal %', NEW.member_id, NEW.withdrawal_id
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'group_says_it_once';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER group_approval_is_their_word BEFORE INSERT ON lending_groupapproval
    FOR EACH ROW EXECUTE FUNCTION lending_group_says_it_once();
CREATE TRIGGER group_refusal_is_their_word BEFORE INSERT ON lending_grouprefusal
    FOR EACH ROW EXECUTE FUNCTION lending_group_says_it_once();

-- Money of a group leaves only when enough of its own members agreed to this very withdrawal.
CREATE FUNCTION lending_group_withdrawal_is_agreed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    agreed integer;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'asked' THEN
            RAISE EXCEPTION 'a group withdrawal begins as asked, not as %', NEW.state
                USING ERRCODE = 'check_violation', CONSTRAINT = 'group_withdrawal_is_agreed';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state <> 'asked' OR (NEW.account_id, NEW.kind, NEW.to_member_id, NEW.amount_cents, NEW.approvals_needed)
       IS DISTINCT FROM (OLD.account_id, OLD.kind, OLD.to_member_id, OLD.amount_cents, OLD.approvals_needed) THEN
        RAISE EXCEPTION 'group withdrawal % cannot be changed any more', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'group_withdrawal_is_agreed';
    END IF;
    IF NEW.state = 'approved' THEN
        SELECT count(*) INTO agreed
          FROM lending_groupapproval approval
          JOIN lending_groupmember member ON member.id = approval.member_id
          JOIN lending_savingsaccount account ON account.id = NEW.account_id
         WHERE approval.withdrawal_id = NEW.id AND member.group_id = account.group_id AND member.left_at IS NULL;
        IF agreed < NEW.approvals_needed THEN
            RAISE EXCEPTION 'group withdrawal % needs % approvals, has %', NEW.id, NEW.approvals_needed, agreed
                USING ERRCODE = 'check_violation', CONSTRAINT = 'group_withdrawal_is_agreed';
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER group_withdrawal_is_agreed BEFORE INSERT OR UPDATE ON lending_groupwithdrawal
    FOR EACH ROW EXECUTE FUNCTION lending_group_withdrawal_is_agreed();

-- What is instructed for a group withdrawal is never more than what was agreed, whoever inserts it and when;
-- and no money is asked out of a group's account beside one.
CREATE FUNCTION lending_group_is_paid_once() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    agreed lending_groupwithdrawal;
    instructed numeric;
BEGIN
    IF NEW.withdrawal_id IS NULL THEN
        IF NEW.kind <> 'deposit'
           AND EXISTS (SELECT FROM lending_savingsaccount WHERE id = NEW.account_id AND group_id IS NOT NULL) THEN
            RAISE EXCEPTION 'money leaves a group only by a withdrawal that its members agreed to'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'group_is_paid_once';
        END IF;
        RETURN NEW;
    END IF;
    SELECT * INTO agreed FROM lending_groupwithdrawal WHERE id = NEW.withdrawal_id FOR UPDATE;
    SELECT coalesce(sum(amount_cents), 0) INTO instructed
      FROM lending_savingsinstruction WHERE withdrawal_id = NEW.withdrawal_id;
    IF agreed.state <> 'approved' OR agreed.account_id <> NEW.account_id
       OR instructed + NEW.amount_cents > agreed.amount_cents THEN
        RAISE EXCEPTION 'group withdrawal % is % and of %: cannot pay % after %',
            agreed.id, agreed.state, agreed.amount_cents, NEW.amount_cents, instructed
            USING ERRCODE = 'check_violation', CONSTRAINT = 'group_is_paid_once';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER group_is_paid_once BEFORE INSERT ON lending_savingsinstruction
    FOR EACH ROW EXECUTE FUNCTION lending_group_is_paid_once();

CREATE TRIGGER refund_part_is_history BEFORE UPDATE OR DELETE ON lending_refundpart
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER refund_success_is_final BEFORE UPDATE ON lending_refund
    FOR EACH ROW EXECUTE FUNCTION lending_success_is_final();

-- No part of a refund is more than what its loan or receipt keeps and no other refund speaks for. What a loan
-- gave back already it has counted itself.
CREATE FUNCTION lending_refund_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kept numeric;
    spoken_for numeric;
BEGIN
    IF NEW.loan_id IS NULL THEN
        SELECT over_cents INTO kept FROM lending_receipt WHERE id = NEW.receipt_id FOR NO KEY UPDATE;
    ELSE
        SELECT over_cents INTO kept FROM lending_loan WHERE id = NEW.loan_id FOR NO KEY UPDATE;
        SELECT kept + coalesce(sum(receipt.over_cents), 0) INTO kept
          FROM lending_repayment repayment
          JOIN lending_receipt receipt ON receipt.id = repayment.receipt_id
          LEFT JOIN lending_loanevent undone ON undone.reverses_id = repayment.event_id
         WHERE repayment.loan_id = NEW.loan_id AND undone.id IS NULL;
    END IF;
    SELECT coalesce(sum(part.amount_cents), 0) INTO spoken_for
      FROM lending_refundpart part JOIN lending_refund refund ON refund.id = part.refund_id
     WHERE (part.loan_id = NEW.loan_id AND refund.state = 'open')
        OR (part.receipt_id = NEW.receipt_id AND refund.state IN ('open', 'succeeded'));
    IF NEW.amount_cents > kept - spoken_for THEN
        RAISE EXCEPTION 'refund % takes % of % kept, % spoken for', NEW.refund_id, NEW.amount_cents, kept, spoken_for
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refund_is_kept';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER refund_is_kept BEFORE INSERT ON lending_refundpart
    FOR EACH ROW EXECUTE FUNCTION lending_refund_is_kept();

-- Hot tables whose rows are updated daily keep room on their pages, so that updates touch no index.
ALTER TABLE lending_loan SET (fillfactor = 45);
ALTER TABLE lending_savingsaccount SET (fillfactor = 45);
"""

# TRUNCATE passes by every trigger of a row. Also when it reaches a table by CASCADE it meets these.
NOT_EMPTIED = "".join(
    f"CREATE TRIGGER {table}_is_not_emptied BEFORE TRUNCATE ON lending_{table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION lending_is_history();\n"
    for table in HISTORY
)
MAY_BE_EMPTIED = "".join(f"DROP TRIGGER {table}_is_not_emptied ON lending_{table};\n" for table in HISTORY)

BACKWARD = """
DROP TRIGGER refund_is_kept ON lending_refundpart;
DROP TRIGGER refund_success_is_final ON lending_refund;
DROP TRIGGER refund_part_is_history ON lending_refundpart;
DROP FUNCTION lending_refund_is_kept();
DROP TRIGGER group_is_paid_once ON lending_savingsinstruction;
DROP TRIGGER group_withdrawal_is_agreed ON lending_groupwithdrawal;
DROP TRIGGER group_approval_is_history ON lending_groupapproval;
DROP TRIGGER group_refusal_is_history ON lending_grouprefusal;
DROP TRIGGER group_approval_is_their_word ON lending_groupapproval;
DROP TRIGGER group_refusal_is_their_word ON lending_grouprefusal;
DROP FUNCTION lending_group_says_it_once();
DROP TRIGGER book_reversal_mirrors ON lending_bookentry;
DROP FUNCTION lending_book_reversal_mirrors();
DROP TRIGGER book_entry_stays ON lending_bookentry;
DROP TRIGGER book_entry_is_history ON lending_bookentry;
DROP TRIGGER savings_version_change_is_history ON lending_savingsversionchange;
DROP TRIGGER savings_movement_is_history ON lending_savingsmovement;
DROP FUNCTION lending_group_is_paid_once();
DROP FUNCTION lending_group_withdrawal_is_agreed();
DROP TRIGGER entries_come_with_posting ON lending_entry;
DROP FUNCTION lending_entries_come_with_posting();
ALTER TABLE lending_posting DROP COLUMN booked_in;
DROP TRIGGER attempt_is_history ON lending_paymentattempt;
DROP TRIGGER repayment_is_history ON lending_repayment;
DROP TRIGGER receipt_is_history ON lending_receipt;
DROP TRIGGER attempt_success_is_final ON lending_paymentattempt;
DROP TRIGGER intent_success_is_final ON lending_paymentintent;
DROP TRIGGER savings_product_version_is_history ON lending_savingsproductversion;
DROP TRIGGER country_pack_is_history ON lending_countrypack;
DROP TRIGGER product_version_is_history ON lending_productversion;
DROP TRIGGER report_snapshot_is_history ON lending_reportsnapshot;
DROP TRIGGER decision_is_history ON lending_decision;
DROP TRIGGER access_record_is_history ON lending_accessrecord;
DROP TRIGGER installment_is_history ON lending_installment;
DROP TRIGGER loan_event_is_history ON lending_loanevent;
DROP TRIGGER allocation_is_history ON lending_allocation;
DROP TRIGGER audit_event_is_history ON lending_auditevent;
DROP TRIGGER posting_is_history ON lending_posting;
DROP TRIGGER entry_is_history ON lending_entry;
DROP TRIGGER loan_stays ON lending_loan;
DROP TRIGGER savings_account_stays ON lending_savingsaccount;
DROP TRIGGER savings_movement_has_account ON lending_savingsmovement;
DROP FUNCTION lending_has_savings_account();
DROP TRIGGER account_stays ON lending_account;
DROP TRIGGER installment_has_loan ON lending_installment;
DROP TRIGGER posting_has_loan ON lending_posting;
DROP FUNCTION lending_has_loan();
DROP TRIGGER posting_has_entries ON lending_posting;
DROP TRIGGER posting_balances ON lending_entry;
DROP FUNCTION lending_note_unbalanced();
DROP TABLE lending_unbalanced;
DROP FUNCTION lending_success_is_final();
DROP FUNCTION lending_is_history();
DROP FUNCTION lending_posting_has_entries();
DROP FUNCTION lending_posting_balances();
"""


class Migration(migrations.Migration):
    dependencies = [("lending", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD + NOT_EMPTIED, MAY_BE_EMPTIED + BACKWARD)]
