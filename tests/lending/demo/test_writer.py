"""The demo portfolio is in the books as the services would have written it, row by row."""

import re
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, models, transaction
from psycopg2.errors import CheckViolation

from lending.demo import story, writer
from lending.demo.economy import Portfolio
from lending.models import (
    Application,
    Borrower,
    Checkpoint,
    Decision,
    Loan,
    OutboxMessage,
    PaymentAttempt,
    Posting,
    WalletMovement,
)
from lending.payments.attempts import reference_of
from lending.rules import accounting
from lending.services import people
from lending.services.references import new_reference
from tests.lending.demo.player import Player, StoryRail, references

pytestmark = pytest.mark.django_db

TABLES = [model for model in writer.LOADED if model is not WalletMovement]
# Chosen by chance or by the wall clock, in the services as in the writer.
BY_CHANCE = {
    Borrower: {"pin_hash", "pin_failures"},
    Decision: {"latency_ms"},
    Posting: {"booked_at"},
    PaymentAttempt: {"provider_ref"},
}


@pytest.fixture
def by_the_story(settings: Any) -> None:
    settings.CREDIT_SCORER = "tests.lending.demo.player.StoryScorer"
    settings.PAYMENT_PROVIDERS = {"daraja": "tests.lending.demo.player.StoryRail"}
    StoryRail.request_id = ""


def snapshot() -> dict[str, list[dict[str, Any]]]:
    """Return all rows in order of id; an id reads as the place of its row, a told code as its application's."""
    places = {
        model: {pk: place for place, pk in enumerate(model.objects.order_by("id").values_list("id", flat=True))}
        for model in TABLES
    }
    return {model.__name__: _rows(model, places, references()) for model in TABLES}


def _rows(
    model: type[models.Model], places: dict[Any, dict[int, int]], told: dict[str, int]
) -> list[dict[str, Any]]:
    fields = [field for field in model._meta.concrete_fields if field.name not in BY_CHANCE.get(model, ())]
    named = {name.lower(): where for name, where in ((model.__name__, where) for model, where in places.items())}

    def plain(field: Any, value: Any) -> Any:
        if field.primary_key and not isinstance(field, models.SlugField):
            return places[model][value]
        if field.name == "actor":  # who agreed to a write-off is left out with the rest of the trail
            return None
        if field.is_relation:
            return places.get(field.related_model, {}).get(value, value) if value is not None else None
        if field.name == "last_entry_id":
            return places[writer.Entry][value]
        if field.name == "result":  # warnings before a bureau listing are messages, and those are left out
            return value | {"bureau_notices": 0}
        if isinstance(value, str):
            value = re.sub(r":proposal:\d+", "", value)
            value = re.sub(
                r"(loan|receipt):(\d+)(?=:|$)", lambda hit: f"{hit[1]}:{named[hit[1]][int(hit[2])]}", value
            )
            return f"told to {told[value]}" if value in told else value
        return value

    columns = [field.attname for field in fields]
    found = model.objects.order_by("id").values_list(*columns)
    rows = [{f.attname: plain(f, value) for f, value in zip(fields, row, strict=True)} for row in found]
    if model is Checkpoint:  # one night's checkpoints have no order among themselves
        rows = sorted(
            ({k: v for k, v in row.items() if k != "id"} for row in rows),
            key=lambda row: (row["last_entry_id"], row["account_id"], row["business_date"]),
        )
    return rows


@pytest.fixture
def closed_now_and_then(portfolio: Portfolio) -> Portfolio:
    """The same story with nine nights in ten left unclosed: a close catches up, and the test stays short."""

    def is_kept(event: story.Event) -> bool:
        return not isinstance(event, story.DayClosed) or (portfolio.setting.as_of - event.on).days % 10 == 1

    return replace(portfolio, events=[event for event in portfolio.events if is_kept(event)])


def test_every_row_is_what_the_services_would_have_written(closed_now_and_then, product, pack, by_the_story, quiet):
    portfolio = closed_now_and_then
    with transaction.atomic():
        Player(portfolio, product, pack).play_all()
        by_services = snapshot()
        transaction.set_rollback(True)

    writer.load(portfolio, product, pack, quiet)
    by_writer = snapshot()

    for table, rows in by_services.items():
        assert len(by_writer[table]) == len(rows), table
        for written, expected in zip(by_writer[table], rows, strict=True):
            assert written == expected, table
    assert all(by_services[table] for table in by_services), "the story is too poor: a table stayed empty"


def test_the_story_holds_every_kind_of_event(portfolio):
    kinds = {type(event) for event in portfolio.events}
    assert kinds == set(story.Event.__args__)
    assert {event.verdict.outcome for event in portfolio.events if isinstance(event, story.Asked)} == {
        "approve",
        "decline",
        "refer",
    }
    assert any(isinstance(event, story.PaybillPaid) and event.who is None for event in portfolio.events)


@pytest.mark.parametrize(
    ("lines", "refused", "wrong"),
    [
        (
            [accounting.debit("mpesa_payout", 100), accounting.credit("paid_in_capital", 99)],
            CheckViolation,
            "does not balance in KES: debits 100, credits 99",
        ),
        ([], writer.BadBooks, "has fewer than two entries"),
    ],
)
def test_a_story_with_a_bad_posting_is_not_loaded(
    portfolio, product, pack, quiet, monkeypatch, lines, refused, wrong
):
    monkeypatch.setattr(writer.accounting, "capital", lambda cents: lines)
    with pytest.raises(refused, match=wrong):
        writer.load(portfolio, product, pack, quiet)
    assert not Posting.objects.exists()


class TestLoad:
    @pytest.fixture(autouse=True)
    def loaded(self, portfolio, product, pack, quiet):
        self.portfolio = portfolio
        writer.load(portfolio, product, pack, quiet)

    def test_leaves_books_in_which_every_invariant_holds(self, books_balance):
        books_balance()

    def test_names_each_attempt_as_the_engine_would(self):
        attempts = PaymentAttempt.objects.select_related("intent")
        assert attempts
        for attempt in attempts:
            assert attempt.provider_ref == reference_of(attempt.intent, attempt.number)

    def test_speaks_codes_like_those_of_the_services(self):
        codes = list(Loan.objects.values_list("reference", flat=True))
        assert len(set(codes)) == len(codes)
        assert set(writer.SPOKEN) >= set("".join(codes)) and set(writer.SPOKEN) >= set(new_reference())

    def test_owes_nobody_a_message_about_the_past(self):
        assert not OutboxMessage.objects.exists()

    def test_keeps_national_ids_sealed_and_readable(self):
        for person in self.portfolio.population.people:
            borrower = Borrower.objects.get(msisdn=person.msisdn)
            assert borrower.national_id == person.national_id
            assert borrower.identity_index == people.identity_index(person.national_id)

    def test_lets_brian_borrow_again_at_once(self):
        brian = Borrower.objects.get(msisdn="254711000002")
        people.check_pin(borrower_id=brian.id, pin="2580", at=self.portfolio.started_at)
        taken = Loan.objects.filter(borrower=brian)
        assert {loan.state for loan in taken} == {"settled"}
        assert all(loan.worst_days_past_due == 0 for loan in taken)
        assert (brian.language, brian.rung) == ("en", taken.count())

    def test_asks_everybody_else_to_choose_a_pin_first(self):
        assert set(Borrower.objects.exclude(msisdn="254711000002").values_list("pin_hash", flat=True)) == {""}

    def test_leaves_the_sequences_behind_the_rows(self, law):
        borrower = people.register_borrower(
            msisdn="254711000001", full_name="Amina Wanjiru", national_id="12345678", pin="8642", language="en",
            consents={"service": True}, text_version="1", origin="test", at=self.portfolio.started_at,
        )  # fmt: skip
        assert borrower.id > Borrower.objects.exclude(id=borrower.id).latest("id").id

    def test_refers_somebody_to_an_officer_who_waits_now(self):
        referred = Application.objects.filter(state="referred")
        assert referred
        for application in referred:
            assert application.decision.next_step == "wait_officer"

    def test_shows_wallets_only_of_those_who_agreed(self):
        shown = set(WalletMovement.objects.values_list("borrower__msisdn", flat=True))
        agreed = {person.msisdn for person in self.portfolio.population.people if person.consents["wallet"]}
        assert shown and shown <= agreed

    def test_leaves_postgres_on_guard_over_the_books(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_trigger WHERE tgname IN ('posting_balances', 'posting_has_entries')"
                " AND tgenabled = 'O'"
            )
            assert cursor.fetchone() == (2,)
