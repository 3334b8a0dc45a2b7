"""Every hop rewrites its session: room on the page keeps the next version of the row there, away from the indexes."""

from django.db import migrations


class Migration(migrations.Migration):
    """Leave half of each page free."""

    dependencies = [("ussd", "0001_initial")]

    operations = [
        migrations.RunSQL("ALTER TABLE ussd_session SET (fillfactor = 50)", "ALTER TABLE ussd_session RESET (fillfactor)")
    ]
