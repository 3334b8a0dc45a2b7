"""Celery's view of the conversation."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from ussd import campaigns, sessions


@shared_task(ignore_result=True)
def forget_answers(queue: str = "messages") -> int:
    """Empty the answers of dialogues that dropped: national IDs are among them, and nobody will come back."""
    return sessions.forget_answers(timezone.now(), begun_within=timedelta(days=1))


@shared_task(ignore_result=True)
def forget_all_answers() -> int:
    """Empty what was left because nobody looked for a day: it reads every session, so it runs at night."""
    return sessions.forget_answers(timezone.now())


@shared_task(ignore_result=True)
def run_campaigns() -> int:
    """Assign today's members of every campaign, and judge those whose week is over."""
    return campaigns.run(timezone.now())
