"""The story is the same for the same seed, keeps its own calendar, and has causes in it."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest

from lending.demo import economy
from lending.demo.economy import Setting
from lending.demo.population import OCCUPATIONS
from lending.demo.story import Asked, PaidOut, PaybillPaid, PromptPaid, Registered
from lending.rules.pricing import key_facts
from lending.rules.terms import read_terms
from tests.factories import FLAT_30

TERMS = read_terms(FLAT_30)
LADDER = (100_000, 150_000, 200_000, 300_000, 400_000, 600_000, 800_000, 1_200_000, 1_600_000, 2_400_000)
SETTING = Setting(date(2026, 11, 23), "Africa/Nairobi", TERMS, LADDER, 0.5, borrowers=400, days=548, seed=11)


@pytest.fixture(scope="module")
def portfolio():
    return economy.tell(SETTING)


@pytest.fixture(scope="module")
def loans(portfolio):
    """For each loan that is over: whose, when paid out, and days late (None when it never was repaid)."""
    asked, owed, found = {}, {}, []
    for event in portfolio.events:
        if isinstance(event, Asked):
            asked[event.who] = event
        elif isinstance(event, PaidOut):
            due_on = event.completed_at.date() + timedelta(days=30)
            cents = key_facts(TERMS, asked[event.who].principal_cents, event.completed_at.date()).total_cents
            owed[event.who] = (cents, due_on, event.completed_at)
        elif isinstance(event, PromptPaid | PaybillPaid) and event.who in owed:
            cents, due_on, out_at = owed.pop(event.who)
            if cents > event.amount_cents:
                owed[event.who] = (cents - event.amount_cents, due_on, out_at)
            else:
                found.append((event.who, out_at, (event.paid_at.date() - due_on).days))
    long_due = [
        (who, out_at, None) for who, (_, due_on, out_at) in owed.items() if (SETTING.as_of - due_on).days > 30
    ]
    return found + long_due


def is_lost(loan):
    return loan[2] is None or loan[2] > 30


def test_the_same_seed_tells_the_same_story(portfolio):
    again = economy.tell(SETTING)
    assert again.events == portfolio.events
    assert np.array_equal(again.wallet.cents, portfolio.wallet.cents)
    assert (
        economy.tell(replace(SETTING, borrowers=20, seed=12)).events
        != economy.tell(replace(SETTING, borrowers=20)).events
    )


def test_events_come_in_order_of_time_and_before_the_end(portfolio):
    assert all(one.at <= other.at for one, other in pairwise(portfolio.events))
    assert portfolio.events[-1].on == SETTING.as_of - timedelta(days=1)
    assert portfolio.wallet.second.max() < SETTING.end


def test_numbers_are_distinct_and_leave_the_handsets_free(portfolio):
    people = portfolio.population.people
    assert len({person.msisdn for person in people}) == len({person.national_id for person in people}) == 400
    assert [person.full_name for person in people if person.msisdn.startswith("254711000")] == ["Brian Otieno"]


def test_about_one_loan_in_ten_ends_over_thirty_days_late(loans):
    assert len(loans) > 1500
    assert 0.05 < sum(map(is_lost, loans)) / len(loans) < 0.15


def test_who_pays_early_pays_the_next_time_too(loans):
    """Lateness tells something: without this no model could learn."""
    later = {True: [], False: []}
    ordered = sorted(loans, key=lambda loan: (loan[0], loan[1]))
    for last, following in pairwise(ordered):
        if last[0] == following[0] and last[2] is not None:
            later[last[2] <= -7].append(is_lost(following))
    assert np.mean(later[True]) < 0.6 * np.mean(later[False])


def test_farmers_earn_in_the_harvest_and_night_traders_move_money_at_night(portfolio):
    rng = np.random.default_rng(1)
    money = economy.income.earn(portfolio.population, SETTING.first_day, SETTING.days, rng)
    names = np.array([one.name for one in OCCUPATIONS])[portfolio.population.occupation]
    starts = [SETTING.first_day + timedelta(weeks=week - 13) for week in range(money.income.shape[1])]
    month = np.array([(start + timedelta(days=3)).month for start in starts])
    farmers = money.income[names == "farmer"].mean(axis=0)
    assert farmers[month == 8].mean() > 2 * farmers[month == 5].mean()

    wallet, night = portfolio.wallet, {}
    for name in ("night trader", "market trader"):
        hours = wallet.second[names[wallet.who] == name] % 86_400 // 3600
        night[name] = np.mean(hours < 6)
    assert night["night trader"] > 0.4 and night["market trader"] < 0.05


def test_wallets_stay_small_enough_to_load_fast(portfolio):
    registered = sum(isinstance(event, Registered) for event in portfolio.events)
    assert registered == 400
    assert len(portfolio.wallet) / registered < 150


def test_starter_policy_declines_some_and_refers_a_handful(portfolio):
    outcomes = Counter(event.verdict.outcome for event in portfolio.events if isinstance(event, Asked))
    assert outcomes["decline"] > 50 and 1 <= outcomes["refer"] <= 8
    for event in portfolio.events:
        if isinstance(event, Asked) and event.verdict.outcome != "approve":
            assert event.verdict.reasons and event.verdict.next_step
