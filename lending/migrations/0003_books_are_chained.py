"""The chain over postings: how a hash follows from the one before. The closed period: nothing is booked into it."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION lending_next_hash(state bytea, first bytea, content text) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
    RETURN sha256(coalesce(state, first) || convert_to(content, 'UTF8'));
END $$;

-- As a window over contents in order: the hash of each row, the first of them after the hash `first`.
CREATE AGGREGATE lending_chain(first bytea, content text) (SFUNC = lending_next_hash, STYPE = bytea);

CREATE TRIGGER posting_hash_is_history BEFORE UPDATE OR DELETE ON lending_postinghash
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();

CREATE TRIGGER period_closing_is_history BEFORE UPDATE OR DELETE ON lending_periodclosing
    FOR EACH ROW EXECUTE FUNCTION lending_is_history();

-- Once for each statement, not for each row: a million postings at once ask once.
CREATE FUNCTION lending_period_is_open() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    closed date;
    wrong record;
BEGIN
    SELECT max(last_on) INTO closed FROM lending_periodclosing;
    IF closed IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_TABLE_NAME = 'lending_posting' THEN
        SELECT id, business_date INTO wrong FROM added WHERE business_date <= closed LIMIT 1;
    ELSE
        SELECT posting.id, business_date INTO wrong
          FROM added JOIN lending_posting posting ON posting.id = added.posting_id
         WHERE business_date <= closed LIMIT 1;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION 'posting % is dated %, and the books are closed until %',
            wrong.id, wrong.business_date, closed
            USING ERRCODE = 'check_violation', CONSTRAINT = 'period_is_open';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER posting_period_is_open AFTER INSERT ON lending_posting
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION lending_period_is_open();
CREATE TRIGGER entry_period_is_open AFTER INSERT ON lending_entry
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION lending_period_is_open();
"""

BACKWARD = """
DROP TRIGGER entry_period_is_open ON lending_entry;
DROP TRIGGER posting_period_is_open ON lending_posting;
DROP FUNCTION lending_period_is_open();
DROP TRIGGER period_closing_is_history ON lending_periodclosing;
DROP TRIGGER posting_hash_is_history ON lending_postinghash;
DROP AGGREGATE lending_chain(bytea, text);
DROP FUNCTION lending_next_hash(bytea, bytea, text);
"""


class Migration(migrations.Migration):
    dependencies = [("lending", "0002_books_are_append_only")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
