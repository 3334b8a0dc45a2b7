"""No PIN anywhere: a whole dialogue, then every table and every log line is searched for it."""

import logging
import re
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection

from tests import factories
from tests.phone import Phone

FIRST, WRONG, SECOND = "7391", "8642", "5173"


def everything_stored() -> str:
    """Return every cell of every table as text."""
    cells = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT to_jsonb(t)::text FROM "{table}" t')
            cells += [f"{table}: {row[0]}" for row in cursor.fetchall()]
    return "\n".join(cells)


def hide_what_is_random(stored: str) -> str:
    """Take out ids, fingerprints, hashes, sealed values and times: four digits stand in some of them by chance."""
    stored = re.sub(r'"(\w+_)?id": \d+', "", stored)
    stored = re.sub(r"\b(borrower|loan|sms|application|case|receipt|member):\d+", "", stored)
    stored = re.sub(r"\$argon2id\$[^,\")]+", "", stored)
    stored = re.sub(r"k1:[A-Za-z0-9+/=]+", "", stored)
    stored = re.sub(r"ATUid_[0-9a-f]+|[0-9a-f]{32,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", stored)
    return re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?", "", stored)


def test_no_pin_is_stored_or_logged(
    phone: Phone, fixed_scorer: Any, deciding_worker: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    factories.FixedScorer.says = factories.verdict("approve")
    phone.dials("*384*77#").types("1", "1", "1", "1", "Amina Wanjiru", "23456781", FIRST, FIRST)
    phone.types("5", "2", "1", WRONG).sees("Wrong PIN").types(FIRST, SECOND, FIRST).sees("Not the same")
    phone.types(SECOND).ends_with("Your PIN is changed")
    phone.dials(f"*384*77*1*500*5*2*{SECOND}#").types(WRONG, SECOND).ends_with("Approved")
    path = f"/gateways/africastalking/{settings.AFRICASTALKING_SECRET}"
    phone.client.post(
        f"{path}/ussd-events",
        {
            "sessionId": phone.session_id,
            "input": "*".join(phone.typed),
            "lastAppResponse": SECOND,
            "errorMessage": SECOND,
        },
    )
    phone.client.post(
        f"{path}/sms", {"id": "1", "from": "+254711000101", "to": "20384", "text": f"LOAN 500 {SECOND}"}
    )

    assert apps.get_model("ussd", "Hop").objects.count() > 15
    stored = hide_what_is_random(everything_stored())
    for pin in (FIRST, WRONG, SECOND):
        assert pin not in stored, [line for line in stored.splitlines() if pin in line]
        assert pin not in caplog.text


def test_the_search_would_find_a_pin(phone: Phone) -> None:
    phone.dials("*384*77#").types("1", "1", "1", "1", "Amina Wanjiru")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ussd_session SET network = %s", [FIRST])
    assert FIRST in hide_what_is_random(everything_stored())
