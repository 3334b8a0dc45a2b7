"""What is set aside for bad loans, in both views side by side. Source: docs/domain/metrics.md."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.conf import settings

from lending.rules import money
from lending.rules.arrears import BUCKETS
from lending.rules.provisions import chances_of_loss, expected_loss, provision_table
from lending.selectors import products
from lending.selectors.metrics.asking import Row, ask
from lending.selectors.metrics.months import steps_back
from lending.selectors.metrics.portfolio import AGEING
from lending.selectors.metrics.report import Column, Report, Unit
from lending.selectors.metrics.rolls import ROLLS, steps

# A loan is in default when it is more than 90 days late (IFRS 9, B5.5.37, rebuttable).
DEFAULT_DAYS = 90
LOST = ("written off", *(name for name, first, _ in BUCKETS if first > DEFAULT_DAYS))
OBSERVED_MONTHS = 12
RECOVERY_DAYS = 730
PLACES = Decimal("0.000001")

CURRENCY = Column("currency", Unit.TEXT, "ISO code of the currency")

_CLASSES = """class AS (
    SELECT * FROM unnest(%(names)s::text[], %(from_days)s::int[], %(until)s::int[])
        WITH ORDINALITY AS class(name, from_days, until, place)
)"""
_BY_CLASS = """
    SELECT currency.code, class.name, count(standing.loan_id), coalesce(sum(standing.principal), 0)::bigint
      FROM currency CROSS JOIN class
      LEFT JOIN standing ON standing.currency = currency.code
                        AND standing.days_past_due >= class.from_days
                        AND (class.until IS NULL OR standing.days_past_due < class.until)
     GROUP BY currency.code, class.place, class.name ORDER BY currency.code, class.place
"""


def _by_class(on: date) -> Iterator[Row]:
    table = {one.name: one for one in provision_table(products.country_rules(settings.COUNTRY, on))}
    from_days = [one.from_days for one in table.values()]
    classes: dict[str, Any] = {"names": list(table), "from_days": from_days, "until": [*from_days[1:], None]}
    for currency, name, loans, cents in ask(_BY_CLASS, on, facts=[_CLASSES], **classes):
        rate = table[name].rate
        yield currency, name, table[name].from_days, loans, cents, rate.quantize(PLACES), money.share(cents, rate)


PROVISIONS = Report(
    name="provisions",
    title="Provisions: the regulator's view",
    words="Principal outstanding by class of days past due, times the rate of the country pack in force that day.",
    columns=(
        CURRENCY,
        Column("class", Unit.TEXT, "class of the country pack"),
        Column("from_days", Unit.DAYS, "days past due from which it applies"),
        Column("loans", Unit.COUNT, "loans in the class"),
        Column("principal_cents", Unit.CENTS, "their principal outstanding"),
        Column("rate", Unit.SHARE, "what the country pack asks for"),
        Column("provision_cents", Unit.CENTS, "principal outstanding x rate, rounded half up to a cent"),
    ),
    compute=_by_class,
)

_ROLLED = """
    SELECT roll.currency, roll.bucket, roll.to_bucket, sum(roll.cents)::bigint
      FROM roll GROUP BY roll.currency, roll.bucket, roll.to_bucket
"""
_DEFAULTED = f"""
    defaulted AS (
        SELECT lent.loan_id, lent.currency, lent.lent, first_plan.last_due_on + {DEFAULT_DAYS + 1} AS day
          FROM lent JOIN first_plan ON first_plan.loan_id = lent.loan_id
         WHERE first_plan.last_due_on + {DEFAULT_DAYS + 1} BETWEEN %(on)s::date - {RECOVERY_DAYS} AND %(on)s
    ),
    repaid AS (
        SELECT defaulted.loan_id,
               sum(cover.principal) FILTER (WHERE cover.covered_on <= defaulted.day) AS before,
               sum(cover.principal) FILTER (WHERE cover.covered_on > defaulted.day) AS after
          FROM defaulted
          JOIN cover ON cover.loan_id = defaulted.loan_id AND cover.covered_on <= %(on)s
         WHERE cover.kind IN ('paid', 'recovered')
         GROUP BY defaulted.loan_id
    )
"""  # noqa: S608
_RECOVERED = """
    SELECT defaulted.currency, sum(defaulted.lent - coalesce(repaid.before, 0))::bigint,
           coalesce(sum(repaid.after), 0)::bigint
      FROM defaulted LEFT JOIN repaid ON repaid.loan_id = defaulted.loan_id
     GROUP BY defaulted.currency
"""


def _observed_days(on: date) -> list[date]:
    return steps_back(on, OBSERVED_MONTHS)


def _expected(on: date) -> Iterator[Row]:
    rolled: dict[str, dict[tuple[str, str], int]] = {}
    days = _observed_days(on)
    for currency, start, end, cents in ask(_ROLLED, on, days=days, facts=ROLLS, **steps(days)):
        rolled.setdefault(currency, {})[start, end] = cents
    recovered = {
        currency: Fraction(later, unpaid) if unpaid else Fraction(0)
        for currency, unpaid, later in ask(_RECOVERED, on, facts=[_DEFAULTED])
    }
    names = [name for name, _, _ in BUCKETS]
    for row in AGEING.records(on):
        seen, back = rolled.get(row["currency"], {}), recovered.get(row["currency"], Fraction(0))
        chance = chances_of_loss(seen, names, LOST)[row["bucket"]]
        yield (
            row["currency"],
            row["bucket"],
            row["principal_cents"],
            sum(cents for (start, _), cents in seen.items() if start == row["bucket"]),
            _six_places(chance),
            _six_places(back),
            expected_loss(row["principal_cents"], chance, back),
        )


def _six_places(value: Fraction) -> Decimal:
    return Decimal(money.round_half_up(value * 1_000_000)).scaleb(-6)


EXPECTED_LOSS = Report(
    name="expected_loss",
    title="Provisions: expected loss",
    words=f"What the own past lets expect: principal outstanding x chance of loss x (1 - recovery). Money is"
    f" followed through the roll rates of the {OBSERVED_MONTHS} months until the day; it is lost when it is written"
    f" off or more than {DEFAULT_DAYS} days late. A bucket without a past has the chance of the next worse one.",
    columns=(
        CURRENCY,
        Column("bucket", Unit.TEXT, "days past due"),
        Column("principal_cents", Unit.CENTS, "principal outstanding on the day"),
        Column("observed_cents", Unit.CENTS, "principal in this bucket at the beginnings of the months looked at"),
        Column("chance_of_loss", Unit.SHARE, "share of a cent in this bucket that is lost in the end"),
        Column(
            "recovery",
            Unit.SHARE,
            f"repaid until the day of what was unpaid {DEFAULT_DAYS + 1} days after the last due date, over loans"
            f" that came so far in the {RECOVERY_DAYS} days until the day",
        ),
        Column("expected_loss_cents", Unit.CENTS, "their product, rounded half up to a cent"),
    ),
    days=_observed_days,
    compute=_expected,
)
