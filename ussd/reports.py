"""How the conversation fares, screen by screen and network by network: where people leave, how long they wait, what
it costs. Hops are joined to the gateways' reports on the ends of their sessions. Source: docs/conversation.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from ussd.sessions import RESUME_WITHIN

ALL_NETWORKS = "all"


@dataclass(frozen=True)
class ScreenReport:
    """One screen on one network.

    `left`: dialogues that ended here although we had not said the last word. `resumed`: of these, those whose
    number dialled again in time to go on. Times are ours, in milliseconds; `cost` is what gateways reported of the
    sessions that passed here, in the currency that they name, shared among the hops of each.
    """

    screen: str
    network: str
    shown: int
    left: int
    resumed: int
    p50_ms: float
    p99_ms: float
    cost: Decimal
    currency: str

    @property
    def drop_off(self) -> float:
        """Return the share of showings after which a dialogue ended without our having ended it."""
        return self.left / self.shown


SCREENS = """
    WITH ended AS (
        SELECT DISTINCT ON (session_id) session_id, cost FROM ussd_sessionend
         WHERE session_id IS NOT NULL ORDER BY session_id, id
    ), dialogue AS (
        SELECT session.id, session.msisdn, session.last_hop_at, session.hops_answered, session.ended_at,
               CASE WHEN session.network = '' THEN 'unknown' ELSE session.network END AS network,
               substring(ended.cost FROM '[0-9]+(?:[.][0-9]+)?')::numeric AS cost,
               coalesce(substring(ended.cost FROM '[A-Z]{3}'), '') AS currency,
               EXISTS (SELECT 1 FROM ussd_session next
                        WHERE next.msisdn = session.msisdn AND next.id <> session.id
                          AND next.began_at > session.last_hop_at
                          AND next.began_at <= session.last_hop_at + %(resume_within)s) AS is_resumed
          FROM ussd_session session LEFT JOIN ended ON ended.session_id = session.id
         -- Whoever may still type has not left.
         WHERE session.began_at >= %(since)s AND session.began_at < %(until)s AND session.last_hop_at < %(silent)s
    ), seen AS (
        SELECT hop.screen, hop.duration_ms, dialogue.network, dialogue.currency,
               dialogue.cost / nullif(dialogue.hops_answered, 0) AS cost,
               dialogue.ended_at IS NULL AND hop.position = dialogue.hops_answered AS is_left,
               dialogue.is_resumed
          FROM dialogue JOIN ussd_hop hop ON hop.session_id = dialogue.id
    )
    SELECT screen, coalesce(network, 'all'), count(*), count(*) FILTER (WHERE is_left),
           count(*) FILTER (WHERE is_left AND is_resumed),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms),
           percentile_cont(0.99) WITHIN GROUP (ORDER BY duration_ms),
           coalesce(sum(cost), 0), max(currency)
      FROM seen GROUP BY GROUPING SETS ((screen, network), (screen))
     ORDER BY screen, network NULLS FIRST
"""


def by_screen(since: datetime, until: datetime, at: datetime) -> Iterator[ScreenReport]:
    """Yield each screen over all networks and on each of them, for dialogues that began in a span of time."""
    facts: dict[str, Any] = {
        "since": since,
        "until": until,
        "silent": at - RESUME_WITHIN,
        "resume_within": RESUME_WITHIN,
    }
    with connection.cursor() as cursor:
        cursor.execute(SCREENS, facts)
        for row in cursor.fetchall():
            yield ScreenReport(*row)


def last_days(days: int, at: datetime) -> list[ScreenReport]:
    """Return the report on the last days, the screens that lose most people first."""
    found = by_screen(at - timedelta(days=days), at, at)
    return sorted(found, key=lambda one: (-one.left, one.screen, one.network))
