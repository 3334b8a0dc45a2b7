"""PostgreSQL itself refuses bad books: every posting balances per currency, nothing written is changed."""

from django.db import migrations

HISTORY = ("entry", "posting", "auditevent", "allocation", "decision", "receipt", "repayment", "paymentattempt")

FORWARD = """
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
    RETURN NULL;
END $$;

-- Deferred: the legs of a posting arrive one by one and must balance when the transaction commits.
CREATE CONSTRAINT TRIGGER posting_balances AFTER INSERT ON lending_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lending_posting_balances();

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
    late record;
BEGIN
    SELECT posting.id INTO late
      FROM added JOIN lending_posting posting ON posting.id = added.posting_id
     WHERE posting.booked_in <> pg_current_xact_id() LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'posting % is history: it takes no more entries, correct it with a new one', late.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_come_with_posting';
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

CREATE TRIGGER entry_is_history BEFORE UPDATE OR DELETE ON lending_entry
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER posting_is_history BEFORE UPDATE OR DELETE ON lending_posting
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER audit_event_is_history BEFORE UPDATE OR DELETE ON lending_auditevent
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER allocation_is_history BEFORE UPDATE OR DELETE ON lending_allocation
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();
CREATE TRIGGER decision_is_history BEFORE UPDATE OR DELETE ON lending_decision
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

-- A hot table whose rows are updated daily keeps room on its pages, so that updates touch no index.
ALTER TABLE lending_loan SET (fillfactor = 70);
"""

# TRUNCATE passes by every trigger of a row. Also when it reaches a table by CASCADE it meets these.
NOT_EMPTIED = "".join(
    f"CREATE TRIGGER {table}_is_not_emptied BEFORE TRUNCATE ON lending_{table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION lending_is_history();\n"
    for table in HISTORY
)
MAY_BE_EMPTIED = "".join(f"DROP TRIGGER {table}_is_not_emptied ON lending_{table};\n" for table in HISTORY)

BACKWARD = """
DROP TRIGGER entries_come_with_posting ON lending_entry;
DROP FUNCTION lending_entries_come_with_posting();
ALTER TABLE lending_posting DROP COLUMN booked_in;
DROP TRIGGER attempt_is_history ON lending_paymentattempt;
DROP TRIGGER repayment_is_history ON lending_repayment;
DROP TRIGGER receipt_is_history ON lending_receipt;
DROP TRIGGER attempt_success_is_final ON lending_paymentattempt;
DROP TRIGGER intent_success_is_final ON lending_paymentintent;
DROP TRIGGER decision_is_history ON lending_decision;
DROP TRIGGER allocation_is_history ON lending_allocation;
DROP TRIGGER audit_event_is_history ON lending_auditevent;
DROP TRIGGER posting_is_history ON lending_posting;
DROP TRIGGER entry_is_history ON lending_entry;
DROP TRIGGER posting_has_entries ON lending_posting;
DROP TRIGGER posting_balances ON lending_entry;
DROP FUNCTION lending_success_is_final();
DROP FUNCTION lending_is_history();
DROP FUNCTION lending_posting_has_entries();
DROP FUNCTION lending_posting_balances();
"""


class Migration(migrations.Migration):
    dependencies = [("lending", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD + NOT_EMPTIED, MAY_BE_EMPTIED + BACKWARD)]
