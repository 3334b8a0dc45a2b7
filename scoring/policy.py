"""From a chance of default to a decision that can be told to a person.

Pure: no Django, no clock, no network. RULES is the whole policy, in order of precedence; the first rule that
has an answer gives it. No rule approves without a score, and every answer but an approval has a reason and a
next step. Source: docs/domain/decisions.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    """The numbers of one version of the policy; a changed number is a new version.

    What has a default was not asked for by every version: the default is what such a version did.
    """

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
    # What a loan has to earn on average for the computer to lend it; None: nothing has to be earned.
    least_profit_cents: int | None = None
    # What the money costs in a year, as a share of it, and what one loan costs in payouts and messages.
    money_rate: float = 0.0
    serve_cents: int = 0
    # What it is worth that a payer comes back, as a share of the amount: who is known is lent to at less risk.
    return_rate: float = 0.0
    # Of what is lent to a defaulter so much is lost: where the model does not say, and whatever it says at least.
    usual_loss_share: float = 1.0
    least_loss_share: float = 0.0
    # Most that may be expected to be lost of what the computer lends, as a share of it.
    loss_rate_target: float = 1.0
    # First loans lent to learn: this share of them by lot, up to this chance of default and this amount; no more
    # than so many and so much in a day over all products of a country; one lot a person in so many days.
    explore_share: float = 0.0
    explore_below: float = 0.0
    explore_most_cents: int = 0
    explore_loans_per_day: int = 0
    explore_cents_per_day: int = 0
    explore_again_days: int = 30
    # A weekly saving that we name: this share of what comes into the wallet in a poor week, in steps, from one step
    # to the most; no step where it would be more than that other share.
    save_share: float = 0.0
    save_step_cents: int = 10_00
    save_most_cents: int = 200_00
    save_most_share: float = 0.05
    # Chance of default by the scorecard below which it may lend again what was repaid before; 0: it is not asked.
    scorecard_below: float = 0.0


IN_FORCE = Policy(
    version="2026-11-3",
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
    least_profit_cents=0,
    money_rate=0.14,
    serve_cents=5_00,
    return_rate=0.05,
    usual_loss_share=0.45,
    least_loss_share=0.30,
    loss_rate_target=0.07,
    explore_share=0.10,
    explore_below=0.35,
    explore_most_cents=500_00,
    explore_loans_per_day=10,
    explore_cents_per_day=5_000_00,
    save_share=0.02,
    scorecard_below=0.05,
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

    prices: fee and interest, in cents, of the amount that was asked for and of the smaller ones that may be named,
    by amount in cents. term_days: until the last installment. weekly_inflow_cents: what comes into the wallet in a
    poor week (the lower quartile), None where nothing was seen. draw: the lot of this application, from [0, 1).
    drew_lately: a lot of this person decided an application lately. pot_loans, pot_cents: what the day's pot for
    learning still holds.
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
    prices: Mapping[str, int] = field(default_factory=dict)
    term_days: int = 0
    weekly_inflow_cents: int | None = None
    draw: float = 1.0
    drew_lately: bool = False
    pot_loans: int = 0
    pot_cents: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer. `limit_cents` is the most that the borrower may have now; 0 when nothing.

    propensity: the chance that it had, of this outcome, before the lot was looked at. otherwise: for an approval by
    lot, what is answered when the pot turns out to be empty.
    """

    outcome: str
    limit_cents: int
    reasons: tuple[Reason, ...] = ()
    next_step: str = ""
    step_values: Mapping[str, Any] = field(default_factory=dict)
    propensity: float = 1.0
    otherwise: "Judgement | None" = None


@dataclass(frozen=True, slots=True)
class Asking:
    """One application as the rules see it.

    against: features that raised the chance of default, worst first. safer_cents: the smaller amount that earns
    most among those that this policy would lend by the score, None for no such amount. repaid_share: what the model
    expects to come back of what is owed, None where it does not say. offer: the weight of each next best offer.
    by_scorecard: the score is the scorecard's, for want of the model's.
    """

    features: Mapping[str, float | None]
    score: float | None
    facts: Facts
    policy: Policy
    against: Sequence[str] = ()
    safer_cents: int | None = None
    repaid_share: float | None = None
    offer: Mapping[str, float] = field(default_factory=dict)
    by_scorecard: bool = False

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

    @property
    def weekly_target_cents(self) -> int | None:
        """A small weekly saving from their own flow, None where there is no flow that carries one."""
        inflow = self.facts.weekly_inflow_cents if self.facts.shares_wallet else None
        policy = self.policy
        if not inflow or not policy.save_share or policy.save_step_cents > policy.save_most_share * inflow:
            return None
        steps = int(policy.save_share * inflow) // policy.save_step_cents
        return min(max(1, steps) * policy.save_step_cents, policy.save_most_cents)


def judge(
    features: Mapping[str, float | None],
    score: float | None,
    facts: Facts,
    policy: Policy = IN_FORCE,
    against: Sequence[str] = (),
    safer_cents: int | None = None,
    repaid_share: float | None = None,
    offer: Mapping[str, float] | None = None,
    by_scorecard: bool = False,
) -> Judgement:
    """Return the first answer of RULES, with the chance that a lot had in it and the amount to save.

    `features` is by name with None for a missing value, and empty when no row could be built; `score` is None
    when there is no model, and anything but a chance counts as none.
    """
    if score is not None and not (math.isfinite(score) and 0 <= score <= 1):
        score = None
    asking = Asking(
        features, score, facts, policy, against, safer_cents, repaid_share, offer or {}, by_scorecard=by_scorecard
    )
    answer = _first(RULES, asking)
    if answer.otherwise is None and may_be_drawn(asking):
        answer = replace(answer, propensity=1 - policy.explore_share)
    return answer


def _first(rules: "Sequence[Rule]", asking: Asking) -> Judgement:
    """Return the first answer; one that is told to save is told how much."""
    answer = next(answer for rule in rules if (answer := rule(asking)) is not None)
    target = asking.weekly_target_cents
    if answer.next_step == "save_weekly" and target is not None:
        answer = replace(answer, step_values={"amount_cents": target})
    return answer


# --- what a loan is expected to earn ------------------------------------------------------------------------
def loss_share(chance: float, repaid_share: float | None, policy: Policy) -> float:
    """Return how much of what is lent to a defaulter is lost, 0 to 1.

    Who does not default has repaid all by 30 days after the due date, so what is expected to come back of what is
    owed is (1 - PD) + PD (1 - LGD): the loss given default follows from the model's two outputs. They are learnt
    apart and may disagree, hence the least.

    >>> [round(loss_share(chance, share, IN_FORCE), 3) for chance, share in [(0.1, 0.95), (0.1, 0.99), (0.1, None)]]
    [0.5, 0.3, 0.45]
    """
    if repaid_share is None or not chance or not math.isfinite(repaid_share):
        return max(policy.least_loss_share, policy.usual_loss_share)
    return min(1.0, max(policy.least_loss_share, (1 - repaid_share) / chance))


def expected_loss_rate(chance: float, repaid_share: float | None, policy: Policy) -> float:
    """Return the share of what is lent that is expected to be lost: PD x LGD."""
    return chance * loss_share(chance, repaid_share, policy)


def expected_profit_cents(
    principal_cents: int, chance: float, repaid_share: float | None, facts: Facts, policy: Policy
) -> float:
    """Return what a loan of an amount earns on average, in cents.

    (1 - PD) (price + worth of a payer's return) - PD LGD principal - cost of the money - cost of serving. The money
    is counted as out until the last installment. An amount whose price is not among the facts costs in proportion.
    """
    price = facts.prices.get(str(principal_cents))
    if price is None:
        asked = facts.prices.get(str(facts.requested_cents), facts.total_cents - facts.requested_cents)
        price = asked * principal_cents // facts.requested_cents
    earned = (1 - chance) * (price + policy.return_rate * principal_cents)
    lost = expected_loss_rate(chance, repaid_share, policy) * principal_cents
    return earned - lost - policy.money_rate * facts.term_days / 365 * principal_cents - policy.serve_cents


def would_lend(
    principal_cents: int, chance: float, repaid_share: float | None, facts: Facts, policy: Policy
) -> float | None:
    """Return the profit of an amount that the rules about the score let pass; None for one that they do not."""
    profit = expected_profit_cents(principal_cents, chance, repaid_share, facts, policy)
    passes = (
        chance < policy.approve_below
        and expected_loss_rate(chance, repaid_share, policy) <= policy.loss_rate_target
        and (policy.least_profit_cents is None or profit >= policy.least_profit_cents)
    )
    return profit if passes else None


def smaller_amounts(requested_cents: int, min_cents: int, step_cents: int) -> list[int]:
    """Return what may be named instead of an amount, largest first: its eighths, rounded down to whole steps.

    >>> smaller_amounts(50_000, 20_000, 5_000)
    [40000, 35000, 30000, 25000]
    """
    eighths = {requested_cents * n // 8 // step_cents * step_cents for n in range(1, 8)}
    return sorted((cents for cents in eighths if cents >= min_cents), reverse=True)


def best_amount(
    amounts: Sequence[int],
    chances: Sequence[float],
    repaid_shares: Sequence[float],
    facts: Facts,
    policy: Policy,
) -> int | None:
    """Return the amount that is expected to earn most of those that would be lent, None where none would.

    Of several that earn the same it is the largest, and so it is where nothing has to be earned.
    """
    found = [
        (0.0 if policy.least_profit_cents is None else profit, cents)
        for cents, chance, share in zip(amounts, chances, repaid_shares, strict=True)
        if (profit := would_lend(cents, chance, share, facts, policy)) is not None
    ]
    return max(found)[1] if found else None


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
    """An impossible feature, or nothing that scores: a person decides, never the absence of an answer."""
    return _refer(asking, Reason("data_missing")) if asking.score is None else None


def only_the_scorecard(asking: Asking) -> Judgement | None:
    """Without the model: what was repaid once, up to the first rung, by who has never been late; else a person."""
    if not asking.by_scorecard or asking.score is None:
        return None
    worst = asking.features.get("worst_days_late")
    repaid = asking.features.get("repaid_max_cents") or 0
    most = min(repaid, asking.facts.first_rung_cents) if worst is not None and worst <= 0 else 0
    if asking.facts.requested_cents <= most and asking.score < asking.policy.scorecard_below:
        return None
    return _refer(asking, Reason("data_missing"))


def drawn_to_learn(asking: Asking) -> Judgement | None:
    """A small first loan that nothing but the want of a record speaks against, lent by lot: whom we never lend to,
    we never learn about."""
    if not may_be_drawn(asking) or asking.facts.draw >= asking.policy.explore_share:
        return None
    return Judgement(
        APPROVE,
        asking.facts.requested_cents,
        propensity=asking.policy.explore_share,
        otherwise=_first(_after(drawn_to_learn), asking),
    )


def too_risky(asking: Asking) -> Judgement | None:
    if asking.score is None or asking.score < asking.policy.refer_below:
        return None
    return _decline_by_score(asking)


def neither_clear_nor_hopeless(asking: Asking) -> Judgement | None:
    if asking.score is None or asking.score < asking.policy.approve_below:
        return None
    return _refer(asking, *reasons_from(asking))


def costs_more_than_it_earns(asking: Asking) -> Judgement | None:
    """Nobody is lent a sum that is expected to lose money; a smaller one may not. More is never named."""
    least, facts = asking.policy.least_profit_cents, asking.facts
    if least is None or asking.score is None:
        return None
    profit = expected_profit_cents(facts.requested_cents, asking.score, asking.repaid_share, facts, asking.policy)
    return None if profit >= least else _decline_by_score(asking)


def above_the_loss_target(asking: Asking) -> Judgement | None:
    """The chance is small enough, but too much would be lost with it."""
    if asking.score is None:
        return None
    rate = expected_loss_rate(asking.score, asking.repaid_share, asking.policy)
    return None if rate <= asking.policy.loss_rate_target else _refer(asking, *reasons_from(asking))


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


Rule = Callable[[Asking], Judgement | None]
# rule                       | answer            | reason                 | next step
RULES: tuple[Rule, ...] = (
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
    only_the_scorecard,  # refer                 | data_missing           | wait_officer
    drawn_to_learn,  # approve
    too_risky,  # decline                        | what hurt the score    | ask_less, or by the first reason
    neither_clear_nor_hopeless,  # refer         | what hurt the score    | wait_officer
    costs_more_than_it_earns,  # decline         | what hurt the score    | ask_less, or by the first reason
    above_the_loss_target,  # refer              | what hurt the score    | wait_officer
    climbed_too_fast,  # refer                   | climbed_fast           | wait_officer
    no_income_seen,  # refer                     | no_wallet_history      | wait_officer
    on_the_top_rungs,  # refer                   | asked_above_policy     | wait_officer
    nothing_against,  # approve
)
# What a record of one's own would cure; whatever else speaks against a loan, no lot overrules.
CURED_BY_A_RECORD: frozenset[Rule] = frozenset(
    {too_risky, neither_clear_nor_hopeless, costs_more_than_it_earns, above_the_loss_target, no_income_seen}
)


def _after(rule: Rule) -> Sequence[Rule]:
    return RULES[RULES.index(rule) + 1 :]


def may_be_drawn(asking: Asking) -> bool:
    """Say whether a lot decides: a first loan that is small, scored not too badly, and refused for want of a record
    alone, of somebody who has neither borrowed on another number nor drawn lately, while the day's pot holds as
    much."""
    facts, policy = asking.facts, asking.policy
    if not policy.explore_share or asking.score is None or not asking.is_new:
        return False
    if (
        facts.drew_lately
        or asking.features.get("loans_by_other_numbers")
        or facts.pot_loans < 1
        or facts.requested_cents > min(facts.pot_cents, policy.explore_most_cents)
    ):
        return False
    before = RULES[: RULES.index(drawn_to_learn)]
    if asking.score >= policy.explore_below or any(rule(asking) is not None for rule in before):
        return False
    against = {rule for rule in _after(drawn_to_learn)[:-1] if rule(asking) is not None}
    return bool(against) and against <= CURED_BY_A_RECORD


def _decline_by_score(asking: Asking) -> Judgement:
    """Decline for what hurt the score: name the smaller amount that would do, else what cures the first reason.

    Whom the model would rather offer savings is told to save, where no behaviour of theirs has to change first.
    """
    reasons = reasons_from(asking)
    if asking.safer_cents is not None and asking.safer_cents <= asking.ceiling_cents:
        return Judgement(DECLINE, asking.safer_cents, reasons, "ask_less")
    step = NEXT_STEPS[reasons[0].code]
    saves = step == "try_later" and asking.offer and max(asking.offer, key=asking.offer.__getitem__) == "savings"
    return _decline(*reasons, step="save_weekly" if saves else step)


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
