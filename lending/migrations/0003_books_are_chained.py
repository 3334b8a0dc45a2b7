"""The chain over postings: how a hash follows from the one before, and that no hash is ever changed."""

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
"""

BACKWARD = """
DROP TRIGGER posting_hash_is_history ON lending_postinghash;
DROP AGGREGATE lending_chain(bytea, text);
DROP FUNCTION lending_next_hash(bytea, bytea, text);
"""


class Migration(migrations.Migration):
    dependencies = [("lending", "0002_books_are_append_only")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
