"""PostgreSQL itself refuses bad books: every posting balances per currency, nothing written is changed."""

from django.db import migrations

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

BACKWARD = """
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
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
