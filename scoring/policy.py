"""From a chance of default to a decision that can be told to a person.

Pure: no Django, no clock, no network. RULES is the whole policy, in order of precedence; the first rule that
has an answer gives it. No rule approves without a score, and every answer but an approval has a reason and a
next step. Source: docs/domain/decisions.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from lending.rules import limits
from ml.features import BY_NAME, LOW

APPROVE, REFER, DECLINE = "approve", "refer", "decline"


class Reason(NamedTuple):
    """Why, as a code with values for the sentence."""

    code: str
    values: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers of one version of the policy; a changed number is a new version."""

    version: str
    # Chance of default below which the computer says yes, and from which it says no; between them a person.
    approve_below: float
    refer_below: float
    # Days after a default ended in which nothing is lent.
    cool_off_days: int
    # So many of the highest rungs are never lent without a person.
    top_rungs_referred: int
    # The most while the wallet may be read and was not seen yet, unless more was repaid; without that consent, the
    # smallest.
    unseen_cents: int
    # So many applications and payouts of one person in a day and in a week; the next one is too soon.
    applications_per_day: int
    applications_per_week: int
    payouts_per_day: int
    payouts_per_week: int
    # So many rungs climbed in so many days are explained; what lies above is lent by a person.
    climb_window_days: int
    climb_rungs: int
    # So many others, registered within the hour from one block of numbers, are no coincidence.
    alike_referred: int
    # An amount that we name is a multiple of this: people remember round sums.
    offer_step_cents: int
    most_reasons: int = 3


IN_FORCE = Policy(
    version="2026-11-2",
    approve_below=0.15,
    refer_below=0.25,
    cool_off_days=90,
    top_rungs_referred=3,
    unseen_cents=500_00,
    applications_per_day=5,
    applications_per_week=12,
    payouts_per_day=2,
    payouts_per_week=5,
    climb_window_days=30,
    climb_rungs=3,
    alike_referred=10,
    offer_step_cents=50_00,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is true of the borrower and the law beside the model's features, as of the application.

    total_cents: what would have to be repaid. limit_cents: the borrower's own rung, or less at their wish.
    automatic_cents: the most that is lent without a person. explained_cents: the limit at the rung that their
    clean loans explain. max_share_of_inflow: of a month's inflow, from the country pack. monthly_inflow_cents:
    what usually comes into the wallet, None where nothing was seen. owing_cents: over all products and numbers.
    days_since_default: since a loan over 30 days late was settled, None for never. registered_alike: others who
    registered within the hour from the same block of numbers.
    """

    requested_cents: int
    total_cents: int
    limit_cents: int
    min_cents: int
    first_rung_cents: int
    automatic_cents: int
    explained_cents: int
    max_share_of_inflow: str
    may_score: bool
    shares_wallet: bool
    monthly_inflow_cents: int | None = None
    owing_cents: int = 0
    days_in_arrears: int = 0
    has_open_loan: bool = False
    unpaid_write_off: bool = False
    days_since_default: int | None = None
    identity_in_conflict: bool = False
    applications_in_day: int = 0
    applications_in_week: int = 0
    payouts_in_day: int = 0
    payouts_in_week: int = 0
    registered_alike: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer. `limit_cents` is the most that the borrower may have now; 0 when nothing."""

    outcome: str
    limit_cents: int
    reasons: tuple[Reason, ...] = ()
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Asking:
    """One application as the rules see it.

    against: features that raised the chance of default, worst first. safer_cents: the largest smaller amount
    that the model itself would have approved, None for no such amount.
    """

    features: Mapping[str, float | None]
    score: float | None
    facts: Facts
    policy: Policy
    against: Sequence[str] = ()
    safer_cents: int | None = None

    @property
    def is_new(self) -> bool:
        """Nothing was ever repaid to us."""
        return not self.features.get("loans_settled")

    @property
    def monthly_inflow_cents(self) -> int | None:
        """What usually comes in within a month, None where the wallet is not shared or was not seen yet."""
        return self.facts.monthly_inflow_cents if self.facts.shares_wallet else None

    @property
    def affordable_cents(self) -> int | None:
        """The principal whose repayment, with what is owed already, stays inside the country's share of a
        month's inflow."""
        if self.monthly_inflow_cents is None:
            return None
        share = Decimal(self.facts.max_share_of_inflow)
        repayable = limits.repayable_cents(self.monthly_inflow_cents, share, self.facts.owing_cents)
        principal = repayable * self.facts.requested_cents // self.facts.total_cents
        return principal // self.policy.offer_step_cents * self.policy.offer_step_cents

    @property
    def ceiling_cents(self) -> int:
        """The most that limit, income and a first loan's caution leave."""
        ceilings = [limits.room_cents(self.facts.limit_cents, self.facts.owing_cents)]
        if self.affordable_cents is not None:
            ceilings.append(self.affordable_cents)
        if self.is_new:
            ceilings.append(self.facts.first_rung_cents)
        return min(ceilings)


def judge(
    features: Mapping[str, float | None],
    score: float | None,
    facts: Facts,
    policy: Policy = IN_FORCE,
    against: Sequence[str] = (),
    safer_cents: int | None = None,
) -> Judgement:
    """Return the first answer of RULES.

    `features` is by name with None for a missing value, and empty when no row could be built; `score` is None
    when there is no model, and anything but a chance counts as none.
    """
    if score is not None and not (math.isfinite(score) and 0 <= score <= 1):
        score = None
    asking = Asking(features, score, facts, policy, against, safer_cents)
    return next(answer for rule in RULES if (answer := rule(asking)) is not None)


# --- the rules, in order of precedence ----------------------------------------------------------------------
def computer_may_not_decide(asking: Asking) -> Judgement | None:
    """Without consent to scoring a person decides; the law gives everybody that right."""
    return None if asking.facts.may_score else _refer(asking, Reason("not_consented"), step="allow_scoring")


def late_on_another_loan(asking: Asking) -> Judgement | None:
    if asking.facts.days_in_arrears <= 0:
        return None
    return _decline(Reason("open_arrears", {"days": asking.facts.days_in_arrears}), step="pay_on_time")


def one_loan_at_a_time(asking: Asking) -> Judgement | None:
    """One person, one loan, whichever SIM it was asked from."""
    return _decline(Reason("open_loan"), step="pay_on_time") if asking.facts.has_open_loan else None


def written_off_and_not_repaid(asking: Asking) -> Judgement | None:
    return _decline(Reason("defaulted_before"), step="pay_on_time") if asking.facts.unpaid_write_off else None


def defaulted_lately(asking: Asking) -> Judgement | None:
    days = asking.facts.days_since_default
    if days is None or days >= asking.policy.cool_off_days:
        return None
    return _decline(Reason("defaulted_before", {"days": days}), step="save_weekly")


def asked_too_often(asking: Asking) -> Judgement | None:
    facts, policy = asking.facts, asking.policy
    if not limits.too_many(
        facts.applications_in_day,
        facts.applications_in_week,
        per_day=policy.applications_per_day,
        per_week=policy.applications_per_week,
    ):
        return None
    in_a_week = facts.applications_in_week >= policy.applications_per_week
    return _decline(Reason("asked_often"), step="try_next_week" if in_a_week else "try_tomorrow")


def borrowed_too_often(asking: Asking) -> Judgement | None:
    facts, policy = asking.facts, asking.policy
    if not limits.too_many(
        facts.payouts_in_day,
        facts.payouts_in_week,
        per_day=policy.payouts_per_day,
        per_week=policy.payouts_per_week,
    ):
        return None
    in_a_week = facts.payouts_in_week >= policy.payouts_per_week
    return _decline(Reason("borrowed_often"), step="try_next_week" if in_a_week else "try_tomorrow")


def nothing_on_this_rung(asking: Asking) -> Judgement | None:
    facts = asking.facts
    if facts.limit_cents >= facts.min_cents:
        return None
    return _decline(Reason("limit_reached", {"limit_cents": facts.limit_cents}), step="try_later")


def above_own_limit(asking: Asking) -> Judgement | None:
    facts = asking.facts
    if facts.requested_cents <= facts.limit_cents:
        return None
    return _ask_less(asking, Reason("limit_reached", {"limit_cents": facts.limit_cents}))


def owes_enough(asking: Asking) -> Judgement | None:
    """One limit over all products of a person."""
    facts = asking.facts
    if facts.requested_cents <= limits.room_cents(facts.limit_cents, facts.owing_cents):
        return None
    return _ask_less(asking, Reason("owes_enough"), otherwise="pay_on_time")


def more_than_income_carries(asking: Asking) -> Judgement | None:
    affordable = asking.affordable_cents
    if affordable is None or asking.facts.requested_cents <= affordable:
        return None
    if affordable < asking.facts.min_cents:
        return _decline(Reason("low_inflow"), step="use_wallet")
    return _ask_less(asking, Reason("amount_high_for_inflow", {"amount_cents": affordable}))


def first_loan_too_large(asking: Asking) -> Judgement | None:
    facts = asking.facts
    if not asking.is_new or facts.requested_cents <= facts.first_rung_cents:
        return None
    return _ask_less(asking, Reason("new_customer"))


def records_disagree(asking: Asking) -> Judgement | None:
    return _refer(asking, Reason("data_missing")) if asking.facts.identity_in_conflict else None


def many_alike(asking: Asking) -> Judgement | None:
    """A burst of new numbers from one block: farmed identities look like this."""
    if not asking.is_new or asking.facts.registered_alike < asking.policy.alike_referred:
        return None
    return _refer(asking, Reason("many_alike"))


def not_scored(asking: Asking) -> Judgement | None:
    """No model, an impossible feature, a failure inside: a person decides, never the absence of an answer."""
    return _refer(asking, Reason("data_missing")) if asking.score is None else None


def too_risky(asking: Asking) -> Judgement | None:
    if asking.score is None or asking.score < asking.policy.refer_below:
        return None
    reasons = reasons_from(asking)
    if asking.safer_cents is not None and asking.safer_cents <= asking.ceiling_cents:
        return Judgement(DECLINE, asking.safer_cents, reasons, "ask_less")
    return _decline(*reasons, step=NEXT_STEPS[reasons[0].code])


def neither_clear_nor_hopeless(asking: Asking) -> Judgement | None:
    if asking.score is None or asking.score < asking.policy.approve_below:
        return None
    return _refer(asking, *reasons_from(asking))


def climbed_too_fast(asking: Asking) -> Judgement | None:
    """Small quick loans up to the largest, and then gone: what the climb does not explain, a person lends."""
    facts = asking.facts
    if facts.requested_cents <= max(facts.explained_cents, facts.first_rung_cents):
        return None
    return _refer(asking, Reason("climbed_fast"))


def no_income_seen(asking: Asking) -> Judgement | None:
    """Without a wallet to look at: as much as a newcomer would get, or as the last loan where that was more."""
    facts = asking.facts
    if asking.monthly_inflow_cents is not None:
        return None
    unseen = asking.policy.unseen_cents if facts.shares_wallet else 0
    repaid = 0 if asking.is_new else int(asking.features.get("principal_last_cents") or 0)
    if facts.requested_cents <= max(facts.min_cents, unseen, repaid):
        return None
    return _refer(asking, Reason("no_wallet_history"))


def on_the_top_rungs(asking: Asking) -> Judgement | None:
    facts = asking.facts
    if facts.requested_cents <= facts.automatic_cents:
        return None
    return _refer(asking, Reason("asked_above_policy", {"limit_cents": facts.automatic_cents}))


def nothing_against(asking: Asking) -> Judgement | None:
    return Judgement(APPROVE, asking.ceiling_cents)


# rule                       | answer            | reason                 | next step
RULES: tuple[Callable[[Asking], Judgement | None], ...] = (
    computer_may_not_decide,  # refer            | not_consented          | allow_scoring
    late_on_another_loan,  # decline             | open_arrears           | pay_on_time
    one_loan_at_a_time,  # decline               | open_loan              | pay_on_time
    written_off_and_not_repaid,  # decline       | defaulted_before       | pay_on_time
    defaulted_lately,  # decline                 | defaulted_before       | save_weekly
    asked_too_often,  # decline                  | asked_often            | try_tomorrow, try_next_week
    borrowed_too_often,  # decline               | borrowed_often         | try_tomorrow, try_next_week
    nothing_on_this_rung,  # decline             | limit_reached          | try_later
    above_own_limit,  # decline                  | limit_reached          | ask_less
    owes_enough,  # decline                      | owes_enough            | ask_less, pay_on_time
    more_than_income_carries,  # decline         | low_inflow,            | use_wallet,
    #                                            | amount_high_for_inflow | ask_less
    first_loan_too_large,  # decline             | new_customer           | ask_less
    records_disagree,  # refer                   | data_missing           | wait_officer
    many_alike,  # refer                         | many_alike             | wait_officer
    not_scored,  # refer                         | data_missing           | wait_officer
    too_risky,  # decline                        | what hurt the score    | ask_less, or by the first reason
    neither_clear_nor_hopeless,  # refer         | what hurt the score    | wait_officer
    climbed_too_fast,  # refer                   | climbed_fast           | wait_officer
    no_income_seen,  # refer                     | no_wallet_history      | wait_officer
    on_the_top_rungs,  # refer                   | asked_above_policy     | wait_officer
    nothing_against,  # approve
)


def _decline(*reasons: Reason, step: str) -> Judgement:
    return Judgement(DECLINE, 0, reasons, step)


def _ask_less(asking: Asking, reason: Reason, otherwise: str = "use_wallet") -> Judgement:
    """Decline this amount and name one that nothing speaks against yet, where there is such an amount."""
    if asking.ceiling_cents < asking.facts.min_cents:
        return _decline(reason, step=otherwise)
    return Judgement(DECLINE, asking.ceiling_cents, (reason,), "ask_less")


def _refer(asking: Asking, *reasons: Reason, step: str = "wait_officer") -> Judgement:
    return Judgement(REFER, asking.ceiling_cents, reasons, step)


# --- what hurt the score, in codes that have a sentence -----------------------------------------------------
NEXT_STEPS = {
    "late_before": "pay_on_time",
    "defaulted_before": "pay_on_time",
    "low_inflow": "use_wallet",
    "no_wallet_history": "use_wallet",
    "irregular_income": "use_wallet",
    "dropping_income": "try_later",
    # Where a smaller amount would do, `too_risky` names it; here it would still be above the ceiling.
    "amount_high_for_inflow": "try_later",
    "asked_above_policy": "try_later",
    "few_savings": "save_weekly",
    "new_customer": "save_weekly",
    "short_history": "save_weekly",
    "many_part_payments": "pay_on_time",
    "score_low": "try_later",
}


def speaks_truly(name: str, value: float | None, usual: float | None) -> bool:
    """Say whether a feature that hurt did so in the direction of its sentence, measured by the usual value."""
    hurts = BY_NAME[name].hurts
    if usual is None and value is not None and hurts == LOW:
        return False  # most have none of it at all
    if value is None or usual is None or not hurts:
        return True
    return value < usual if hurts == LOW else value > usual


def reasons_from(asking: Asking) -> tuple[Reason, ...]:
    """Return up to `most_reasons` different reasons for the features that hurt most; never none.

    A feature speaks only where its sentence is true of the borrower: nobody who never paid late reads that
    they did. What has no sentence (hours, airtime) ends in the general one.
    """
    found: dict[str, Reason] = {}
    for name in asking.against:
        reason = _reason_for(name, asking)
        if reason is not None:
            found.setdefault(reason.code, reason)
    return tuple(found.values())[: asking.policy.most_reasons] or (Reason("score_low"),)


def _reason_for(name: str, asking: Asking) -> Reason | None:
    if name not in CODES:
        return None
    return CODES[name](asking)


def _late(asking: Asking) -> Reason | None:
    days = int(asking.features.get("worst_days_late") or 0)
    return Reason("late_before", {"days": days}) if days > 0 else None


def _defaulted(asking: Asking) -> Reason | None:
    known = asking.features.get("defaults_90") or asking.features.get("loans_written_off")
    return Reason("defaulted_before") if known else None


def _young(asking: Asking) -> Reason:
    return Reason("new_customer" if asking.is_new else "short_history")


def _inflow(asking: Asking) -> Reason:
    return Reason("no_wallet_history" if asking.monthly_inflow_cents is None else "low_inflow")


def _known_inflow(code: str) -> Callable[[Asking], Reason]:
    return lambda asking: Reason(code) if asking.monthly_inflow_cents else _inflow(asking)


def _amount(asking: Asking) -> Reason | None:
    """Too much for this borrower: only where less would have done."""
    if asking.safer_cents is None:
        return None
    if asking.monthly_inflow_cents:
        return Reason("amount_high_for_inflow", {"amount_cents": asking.safer_cents})
    return Reason("asked_above_policy", {"limit_cents": asking.safer_cents})


def _always(code: str) -> Callable[[Asking], Reason]:
    return lambda asking: Reason(code)


def _in_parts(asking: Asking) -> Reason | None:
    return Reason("many_part_payments") if (asking.features.get("part_payments_mean") or 0) > 1 else None


# What each feature that hurt is told as. What is not here, such as an hour or airtime, ends in the general one.
SAID: dict[Callable[[Asking], Reason | None], tuple[str, ...]] = {
    _late: (
        "on_time_share",
        "on_time_streak",
        "early_share",
        "worst_days_late",
        "mean_days_late",
        "last_days_late",
        "late_of_last_3",
        "late_streak",
        "late_week_share",
        "days_since_last_late",
        "days_late_spread",
        "days_late_shift",
        "paid_by_due_share",
    ),
    _defaulted: ("defaults_90", "loans_written_off"),
    _young: (
        "days_since_registered",
        "loans_taken",
        "loans_settled",
    ),
    _in_parts: ("part_payments_mean",),
    _always("few_savings"): (
        "savings_balance_cents",
        "savings_deposits_30d",
        "savings_deposits_90d",
        "savings_deposited_90d_cents",
        "savings_withdrawn_90d_cents",
        "days_since_last_deposit",
        "savings_weeks_12",
        "savings_weeks_26",
    ),
    _inflow: (
        "wallet_in_7d_cents",
        "wallet_in_30d_cents",
        "wallet_in_90d_cents",
        "wallet_ins_30d",
        "wallet_active_days_30d",
        "days_since_last_inflow",
    ),
    _known_inflow("irregular_income"): (
        "wallet_in_variation",
        "wallet_in_gap_days",
        "wallet_in_max_share",
        "wallet_best_week_share",
    ),
    _known_inflow("dropping_income"): ("wallet_trend",),
    _amount: (
        "requested_cents",
        "requested_to_inflow",
        "requested_to_mean_inflow",
        "requested_to_last",
        "requested_to_repaid_max",
        "principal_growth",
    ),
}
CODES: dict[str, Callable[[Asking], Reason | None]] = {name: said for said, names in SAID.items() for name in names}
