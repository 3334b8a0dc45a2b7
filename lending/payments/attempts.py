"""The tries of an intent: which one goes out next, and the id under which the rail knows it."""

import uuid
from datetime import datetime

from django.db.models import Q

from lending.models import PaymentAttempt, PaymentIntent

State = PaymentAttempt.State
# May be sent: never sent yet or unknown to the rail, which takes an id only once; or certainly failed.
AT_REST = (State.CREATED, State.FAILED)
# Sent, asked about and not known to the rail: it may be sent again, but nobody can say that it will not arrive.
SENT_BEFORE = Q(state=State.CREATED, queries__gt=0)


def reference_of(intent: PaymentIntent, number: int) -> uuid.UUID:
    """Return the id of the n-th try, the same whoever works it out and whenever.

    The moment of creation is part of it: an operator that outlives our database must not take a new loan 1
    for the old loan 1, while a database restored from a backup sends the very ids that it sent before.
    """
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{intent.business_key}|{intent.created_at.isoformat()}|{number}")


def next_attempt(intent: PaymentIntent, at: datetime) -> PaymentAttempt:
    """Return the try that is to be sent, else a new one; only a certain failure allows a new id.

    The caller has locked the intent, none of whose tries is under way.
    """
    last = intent.attempts.order_by("-number").first()
    if last is not None and last.state == State.CREATED:
        last.intent = intent
        return last
    number = last.number + 1 if last else 1
    return PaymentAttempt.objects.create(
        intent=intent,
        number=number,
        provider=intent.provider,
        provider_ref=reference_of(intent, number),
        created_at=at,
    )
