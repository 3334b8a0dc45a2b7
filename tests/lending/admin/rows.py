"""One row for every room, so that each can be knocked at."""

from datetime import timedelta

from django.contrib.auth.models import User

from lending.models import (
    AuditEvent,
    Borrower,
    Erasure,
    JobRun,
    PaymentAttempt,
    PeriodClosing,
    Proposal,
    ProviderEvent,
    Refund,
)
from lending.services import access, agents, business, complaints, groups, promises, savings, savings_sweeps
from scoring.models import HealthCheck, ModelVersion, PipelineRun, Promotion
from tests import factories
from tests.factories import NOON
from ussd.models import AbuseSign, DeliveryReport, Hop, IncomingSms, Session, SessionEnd, Sms


def fill(borrower: Borrower) -> None:
    """Write what services have not written: messages, events, jobs, models. The borrower has a live loan."""
    factories.pay("nobody", 700_00, "SUSPENSE1")
    factories.pay(borrower.msisdn, 100_00, "PART1")
    attempt = PaymentAttempt.objects.get(intent__borrower=borrower)
    ProviderEvent.objects.create(
        provider="daraja", kind="b2c_result", dedupe_key="1", attempt=attempt, body="{}", received_at=NOON
    )
    Refund.objects.create(
        borrower=borrower, identity_index=borrower.identity_index, way="rounded", origin="test", amount_cents=30,
        currency="KES", state="failed", asked_at=NOON,
    )  # fmt: skip
    promises.make_promise(
        borrower_id=borrower.id, amount_cents=10_000, promised_on=NOON.date() + timedelta(days=3), origin="test",
        at=NOON,
    )  # fmt: skip
    save(borrower)
    agents.ask_to_be_agent(borrower_id=borrower.id, at=NOON)
    access.record_look(borrower_id=borrower.id, officer=User.objects.create_user("looker"), at=NOON)
    complaints.complain(msisdn=borrower.msisdn, topic="price", language="en", at=NOON)
    Erasure.objects.create(borrower=borrower, asked_at=NOON, done_at=NOON)
    business.write(borrower_id=borrower.id, kind="sale", amount_cents=50_000, origin="book", at=NOON)
    AuditEvent.objects.create(action="registered", subject="x", borrower=borrower, happened_at=NOON)
    JobRun.objects.create(job="close_of_business", business_date=NOON.date(), started_at=NOON)
    people = [User.objects.create_user(name) for name in ("maker", "checker")]
    PeriodClosing.objects.create(
        last_on=NOON.date() - timedelta(days=2), maker=people[0], checker=people[1], head_posting_id=0,
        head_hash=bytes(32), closed_at=NOON,
    )  # fmt: skip
    Proposal.objects.create(
        act="loan_waive", subject="loan:0", borrower=borrower, details={}, maker=people[0], reason="x", made_at=NOON
    )
    version = ModelVersion.objects.create(
        name="m1", artifact="m1", sha256="0", feature_version="1", data_sha256="0", loans=1, seed=1,
        seen_until=NOON, trained_at=NOON,
    )  # fmt: skip
    run = PipelineRun.objects.create(business_date=NOON.date(), number=1, started_at=NOON, version=version)
    run.steps.create(name="ingest", started_at=NOON, report={"loans": 1})
    Promotion.objects.create(version=version, promoted_at=NOON)
    checked = HealthCheck.objects.create(business_date=NOON.date(), checked_at=NOON)
    checked.figures.create(
        measure="auc", n=300, value=0.7, low=0.6, high=0.8, threshold=0.55, words="AUC", state="ok"
    )
    sms = Sms.objects.create(
        borrower=borrower, msisdn=borrower.msisdn, kind="receipt", reference=f"r{borrower.id}", language="en",
        text="Received.", segments=1, due_at=NOON,
    )  # fmt: skip
    IncomingSms.objects.create(
        gateway="at", message_id="1", msisdn=borrower.msisdn, text="BAL", received_at=NOON, answer=sms
    )
    DeliveryReport.objects.create(provider_message_id="1", status="Success", received_at=NOON)
    session = Session.objects.create(
        gateway="at", gateway_session="s1", msisdn=borrower.msisdn, service_code="*384*77#", flow_version="1",
        screen="home", language="en", answers="23456781", began_at=NOON, last_hop_at=NOON + timedelta(seconds=4),
    )  # fmt: skip
    Hop.objects.create(
        session=session, position=1, text_mac="m", screen="home", answer="CON Jirani", ends=False, answered_at=NOON
    )
    SessionEnd.objects.create(gateway="at", gateway_session="s1", session=session, received_at=NOON)
    AbuseSign.objects.create(kind="forged", gateway="at", hour=NOON, times=9, first_at=NOON, last_at=NOON)


def save(borrower: Borrower, name: str = "") -> None:
    """Let the borrower save alone and in a group, which agrees to pay something out."""
    account = savings.open_account(product_code="jirani-goal", borrower=borrower, goal="Cow", at=NOON)
    savings.record_movement(
        account_id=account.id, kind="deposit", amount_cents=50_000, reference=f"UB1{name}", moved_at=NOON
    )
    savings_sweeps.allow_sweep(account_id=account.id, keep_cents=10_000, text_version="1", language="en", at=NOON)
    group = groups.form_group(
        name="Tumaini", members=[borrower], approvals_needed=1, product_code="jirani-group", at=NOON
    )
    groups.contribute(
        group_id=group.id, borrower_id=borrower.id, amount_cents=9_000, reference=f"UB2{name}", moved_at=NOON
    )
    asked = groups.ask_withdrawal(
        group_id=group.id, asked_by=borrower.id, to=borrower.id, amount_cents=5_000, purpose="Roof",
        origin=f"roof{name}", at=NOON,
    )  # fmt: skip
    groups.approve(withdrawal_id=asked.id, borrower_id=borrower.id, at=NOON)
