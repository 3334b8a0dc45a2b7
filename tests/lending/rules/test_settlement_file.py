"""A partner's file is read whole or refused with its line."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lending.rules.settlement_file import Answer, Asked, FileRefused, read_answers, write_asked

HEADER = "partner_reference,reference,account,kind,amount_cents,outcome,value_on"
GOOD = "P1,w1,12,withdrawal,40000,confirmed,2026-03-02"


def test_lines_are_read() -> None:
    assert read_answers(f"\ufeff{HEADER}\r\n{GOOD}\r\n") == [
        Answer("P1", "w1", 12, "withdrawal", 40_000, "confirmed", date(2026, 3, 2))
    ]
    assert read_answers(HEADER) == []


def test_what_we_ask_is_written_with_a_header() -> None:
    asked = Asked("interest:5:2026-01-31", 5, "interest", 241, date(2026, 1, 31))
    assert write_asked([asked]) == (
        "reference,account,kind,amount_cents,asked_on\ninterest:5:2026-01-31,5,interest,241,2026-01-31\n"
    )


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("P1,w1,12,withdrawal,40000,confirmed", "need 7 fields, got 6"),
        ("", "need 7 fields, got 0"),
        (",w1,12,withdrawal,40000,confirmed,2026-03-02", "partner_reference must be"),
        ("=cmd(),w1,12,withdrawal,40000,confirmed,2026-03-02", "partner_reference must be"),
        ("P1,w1,x,withdrawal,40000,confirmed,2026-03-02", "account must be a whole number above 0, got 'x'"),
        ("P1,w1,12,loan,40000,confirmed,2026-03-02", "kind must be one of"),
        ("P1,w1,12,withdrawal,0,confirmed,2026-03-02", "amount_cents must be"),
        ("P1,w1,12,withdrawal,-5,confirmed,2026-03-02", "amount_cents must be"),
        ("P1,w1,12,withdrawal,400.00,confirmed,2026-03-02", "amount_cents must be"),
        ("P1,w1,12,withdrawal,9223372036854775808,confirmed,2026-03-02", "amount_cents must be"),
        ("P1,w1,12,withdrawal,٤٠,confirmed,2026-03-02", "amount_cents must be"),
        ("P1,w1,12,withdrawal,40000,maybe,2026-03-02", "outcome must be one of"),
        ("P1,w1,12,withdrawal,40000,confirmed,2026-02-29", "value_on must be a date"),
        ("P1,w1,12,withdrawal,40000,confirmed,02/03/2026", "value_on must be a date"),
        ("P0,w1,12,withdrawal,40000,confirmed,2026-03-02", "partner_reference 'P0' came before"),
        ('P1,w1,12,"withdrawal"x,40000,confirmed,2026-03-02', "expected after"),
    ],
)
def test_a_bad_line_refuses_the_file_and_is_named(line: str, fault: str) -> None:
    with pytest.raises(FileRefused, match=fault) as refused:
        read_answers(f"{HEADER}\nP0,w0,12,withdrawal,40000,confirmed,2026-03-02\n{line}\n{GOOD}\n")
    assert refused.value.line == 3


@pytest.mark.parametrize("text", ["", GOOD, HEADER.upper(), HEADER + ",more", "\x00"])
def test_a_file_without_its_header_is_refused(text: str) -> None:
    with pytest.raises(FileRefused):
        read_answers(text)


@given(text=st.text())
def test_nothing_but_a_refusal_comes_of_noise(text: str) -> None:
    try:
        assert read_answers(f"{HEADER}\n{text}") == []
    except FileRefused as refused:
        assert refused.line >= 1
