"""What the conversation keeps about a number, erased at its owner's word."""

from ussd.models import AbuseSign, IncomingSms, Session, SessionEnd, Sms, SmsThread


def forget(*, msisdn: str, borrower_id: int) -> dict[str, int]:
    """Erase dialogues and messages of a number; return how many."""
    sessions = Session.objects.filter(msisdn=msisdn)
    SessionEnd.objects.filter(session__in=sessions).delete()
    SmsThread.objects.filter(msisdn=msisdn).delete()
    AbuseSign.objects.filter(msisdn=msisdn).delete()
    return {
        "dialogues": sessions.delete()[1].get("ussd.Session", 0),
        "messages received": IncomingSms.objects.filter(msisdn=msisdn).delete()[0],
        "messages sent": Sms.objects.filter(borrower_id=borrower_id).delete()[0]
        + Sms.objects.filter(msisdn=msisdn).delete()[0],
    }
