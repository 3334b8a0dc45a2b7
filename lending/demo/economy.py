"""The economic story: who asks for how much and when, who can repay, who wants to, and what gets in the way.

Pure: a seed and a calendar in, events out. Whether a loan is repaid follows from money (income in season, shocks,
what is kept), from character (discipline, plan) and a little from luck; so the past tells something about the
future, as it does in life, and never everything.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from random import Random

import numpy as np

from lending.demo import income
from lending.demo.income import LEAD_WEEKS, Money, Wallet
from lending.demo.population import OCCUPATIONS, Population, populate
from lending.demo.story import (
    Asked,
    DayClosed,
    Event,
    Funded,
    PaidOut,
    PaybillPaid,
    PayoutFailed,
    PromptFailed,
    PromptPaid,
    Registered,
    SavingsMoved,
    Verdict,
    WrittenOff,
)
from lending.rules import arrears, calendar, limits, pricing
from lending.rules.pricing import KeyFacts
from lending.rules.terms import Terms

DAY = 86_400
SHILLING = 100
WRITE_OFF_AFTER_DAYS = 180
# Nothing begins so shortly before the end that it could not be finished.
LAST_START = 300
COOL_OFF_DAYS = 90
FLOAT_KEPT_CENTS = 2_000_000_00


@dataclass(frozen=True)
class Setting:
    """When the story plays, under which product and law. `days` end with the day before `as_of`."""

    as_of: date
    zone: str
    terms: Terms
    ladder_cents: Sequence[int]
    max_share_of_inflow: float
    borrowers: int = 3000
    days: int = 548
    seed: int = 7

    @property
    def first_day(self) -> date:
        return self.first_day_of(self.as_of, self.days)

    @staticmethod
    def first_day_of(as_of: date, days: int) -> date:
        """Return the day on which a story of so many days begins."""
        return as_of - timedelta(days=days)

    @property
    def end(self) -> int:
        """Return the last second plus one, counted from the first midnight."""
        return self.days * DAY


@dataclass(frozen=True)
class Portfolio:
    """The whole story. `started_at` is the moment from which the wallet's seconds count."""

    setting: Setting
    started_at: datetime
    population: Population
    wallet: Wallet
    events: list[Event]


def tell(setting: Setting) -> Portfolio:
    """Return the story of a seed: the same seed and setting, the same story."""
    # Nothing here guards a secret: a story has to be repeatable.
    rng, luck = np.random.default_rng(setting.seed), Random(setting.seed)  # noqa: S311
    people = populate(setting.borrowers, rng, luck)
    registered = _registrations(setting, rng)
    money = income.earn(people, setting.first_day, setting.days, rng)
    statement_week = np.maximum(registered // (7 * DAY), 0).astype(np.int64)
    wallet = _until(income.move(people, money, statement_week, rng), setting.end)
    started_at = calendar.start_of(setting.first_day, setting.zone).astimezone(UTC)
    world = World(setting, started_at, people, money, wallet, Tickets(luck, started_at))
    events: list[Event] = [*_days(world), *_strangers(world)]
    for who in range(len(people)):
        events.extend(Life(world, who, int(registered[who])).events())
    events.sort(key=attrgetter("at"))  # stable: what one life does at one moment keeps its order
    return Portfolio(setting, started_at, people, wallet, [*_funding(world, events), *events])


def _registrations(setting: Setting, rng: np.random.Generator) -> np.ndarray:
    """Return the second at which each registers: many at the start, then a steady growth."""
    day = np.where(
        rng.random(setting.borrowers) < 0.42,
        rng.uniform(0.2, min(75, setting.days / 2), setting.borrowers),
        rng.uniform(0.2, setting.days - 3, setting.borrowers),
    )
    day[0] = setting.days * 0.45
    hour = rng.uniform(7, 20, setting.borrowers)
    return (day.astype(int) * DAY + hour * 3600).astype(np.int64)


def _until(wallet: Wallet, end: int) -> Wallet:
    kept = wallet.second < end
    return Wallet(wallet.who[kept], wallet.second[kept], wallet.cents[kept], wallet.kind[kept], wallet.inflow)


class Tickets:
    """The numbers that the world gives out: receipts, requests, sessions."""

    LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

    def __init__(self, luck: Random, started_at: datetime) -> None:
        self.luck = luck
        self.started_at = started_at
        self._given: set[str] = set()

    def receipt_no(self, at: datetime) -> str:
        """Return a receipt number as M-PESA makes them: year, month, day, seven more."""
        head = f"{chr(65 + (at.year - 2006) % 26)}{chr(64 + at.month)}{'0123456789ABCDEFGHIJKLMNOPQRSTUV'[at.day]}"
        while (number := head + "".join(self.luck.choices(self.LETTERS, k=7))) in self._given:
            pass
        self._given.add(number)
        return number

    def conversation(self, at: datetime) -> str:
        return f"AG_{at:%Y%m%d}_{self.luck.getrandbits(80):020x}"

    def checkout(self, at: datetime) -> str:
        return f"ws_CO_{at:%d%m%Y%H%M%S}{self.luck.getrandbits(40):010x}"

    def session(self) -> str:
        return f"ATUid_{self.luck.getrandbits(128):032x}"


@dataclass(frozen=True)
class World:
    """What every life in the story shares."""

    setting: Setting
    started_at: datetime
    people: Population
    money: Money
    wallet: Wallet
    tickets: Tickets
    referred: list[int] = field(default_factory=list)

    def at(self, second: float) -> datetime:
        return self.started_at + timedelta(seconds=int(second))


@lru_cache(maxsize=4096)
def _price(principal_cents: int, terms: Terms) -> KeyFacts:
    """Price a loan; on which day it is paid out changes nothing for a term in days."""
    return pricing.key_facts(terms, principal_cents, date(2024, 1, 1))


@dataclass
class Payment:
    """Money that somebody means to pay at a second of the story."""

    second: int
    cents: int
    by_prompt: bool


class Life:
    """One borrower from registration to the end of the story, loan after loan."""

    def __init__(self, world: World, who: int, registered: int) -> None:
        self.world, self.who, self.now = world, who, registered
        people = world.people
        self.setting = world.setting
        self.luck = Random(f"{world.setting.seed}:{who}")  # noqa: S311 - a repeatable story
        self.person = people.people[who]
        self.work = OCCUPATIONS[int(people.occupation[who])]
        self.plan = people.plan[who]
        self.monthly = float(people.monthly_cents[who])
        self.discipline = float(people.discipline[who])
        self.forgetful = bool(people.forgetful[who])
        self.eagerness = float(people.eagerness[who])
        self.wants = float(people.wants[who])
        self.saver = float(people.saver[who])
        self.is_brian = who == 0
        self.rung = 0
        self.settled = 0
        self.defaulted_at: int | None = None
        self.lost_one = False

    # -- the thread of a life ----------------------------------------------------------------------------
    def events(self) -> Iterator[Event]:
        """Yield what happens to this person: borrowing in order of time, then saving in order of time."""
        registered = self.now
        yield from self._borrowing()
        yield from self._saving(registered)

    def _borrowing(self) -> Iterator[Event]:
        yield Registered(self._at(self.now), self.who)
        last_start = self.setting.end - (45 * DAY if self.is_brian else LAST_START)
        self._wait(self.luck.choice((0.0, 0.0, 0.1, 0.5, 2.0, 6.0)))
        wanted: int | None = None
        while self.now < last_start:
            principal = wanted or self._wish()
            wanted = None
            asked = self._ask(principal)
            yield asked
            if asked.verdict.outcome == "approve":
                yield from self._loan(principal)
            elif asked.verdict.outcome == "refer":
                return  # with an officer when the story ends
            elif asked.verdict.next_step == "ask_less" and self.luck.random() < 0.75:
                wanted = int(asked.verdict.reasons[0][1]["amount_cents"])
                self.now += self.luck.randrange(120, 900)
                continue
            elif self.luck.random() < 0.35 or self.lost_one:
                return
            else:
                self._wait(self.luck.uniform(15, 60))
            if self.luck.random() < 0.022 and not self.is_brian:
                return  # moved away, found cheaper, needs it no more
            self._wait(self._pause())

    def _pause(self) -> float:
        """Return days until the next need: traders turn stock over fast, others borrow now and then."""
        if self.plan == "busts out":
            return self.luck.uniform(0.1, 2)
        return min(self.luck.expovariate(1 / (17 * self.eagerness)), 120)

    def _wait(self, days: float) -> None:
        """Move on, to an hour at which this person is at the phone."""
        start = self.now + 600
        day = (start + int(days * DAY)) // DAY
        low, high = (2.0, 5.0) if self.work.hours[1] <= 6 and self.luck.random() < 0.7 else (6.5, 21.5)
        second = day * DAY + int((low + self.luck.betavariate(1.7, 1.7) * (high - low)) * 3600)
        self.now = second if second > start else second + DAY

    def _at(self, second: float) -> datetime:
        return self.world.at(second)

    def _week(self, second: int) -> int:
        return min(second // (7 * DAY) + LEAD_WEEKS, self.world.money.slack.shape[1] - 1)

    # -- asking ------------------------------------------------------------------------------------------
    @property
    def limit_cents(self) -> int:
        return min(limits.limit_at(self.rung, self.setting.ladder_cents), self.setting.terms.max_cents)

    def _wish(self) -> int:
        """Return how much this person asks for: need within the limit; who means to run takes all there is."""
        if self.plan != "honest":
            return self.limit_cents
        # Who is short asks for more of what the limit allows: need and risk come together.
        need = self.monthly * self.wants * math.exp(self.luck.gauss(0, 0.3))
        if self._means(self.now) < need:
            need *= 1.25
        cents = int(need) // (50 * SHILLING) * (50 * SHILLING)
        return max(self.setting.terms.min_cents, min(cents, self.limit_cents))

    def _monthly_inflow(self) -> int | None:
        if not self.person.consents["wallet"]:
            return None
        week = self._week(self.now)
        return int(self.world.wallet.inflow[self.who, max(0, week - 13) : week].sum() / 3)

    def _ask(self, principal: int) -> Asked:
        shown = self.now - self.luck.randrange(12, 70)
        decided = self.now + self.luck.randrange(1, 3)
        asked = Asked(
            at=self._at(self.now),
            who=self.who,
            principal_cents=principal,
            origin=f"ussd:{self.world.tickets.session()}:{self.luck.randrange(5, 9)}",
            shown_at=self._at(shown),
            terms_read=self.luck.random() < 0.15,
            decided_at=self._at(decided),
            verdict=self._starter_policy(principal),
        )
        self.now = decided
        return asked

    def _starter_policy(self, principal: int) -> Verdict:
        """Decide as a young lender does before there is a model: a few plain rules."""
        inflow = self._monthly_inflow()
        inputs = {
            "requested_cents": principal,
            "limit_cents": self.limit_cents,
            "monthly_inflow_cents": inflow,
            "loans_settled": self.settled,
        }
        if self.lost_one:
            return Verdict("decline", 0, inputs, (("defaulted_before", {}),), "pay_on_time")
        if self.defaulted_at is not None and self.now - self.defaulted_at < COOL_OFF_DAYS * DAY:
            days = (self.now - self.defaulted_at) // DAY
            return Verdict("decline", 0, inputs, (("defaulted_before", {"days": days}),), "save_weekly")
        if inflow is not None and not self.is_brian:
            affordable = self._affordable(principal, inflow)
            if affordable < self.setting.terms.min_cents:
                return Verdict("decline", 0, inputs, (("low_inflow", {}),), "use_wallet")
            if principal > affordable:
                reason = ("amount_high_for_inflow", {"amount_cents": affordable})
                return Verdict("decline", affordable, inputs, (reason,), "ask_less")
        if self._is_for_an_officer():
            self.world.referred.append(self.who)
            code = "no_wallet_history" if inflow is None else "irregular_income"
            return Verdict("refer", self.limit_cents, inputs, ((code, {}),), "wait_officer")
        return Verdict("approve", self.limit_cents, inputs)

    def _affordable(self, principal: int, inflow: int) -> int:
        total = _price(principal, self.setting.terms).total_cents
        step = 50 * SHILLING
        carried = int(inflow * self.setting.max_share_of_inflow * principal / total)
        return min(self.limit_cents, carried // step * step)

    def _is_for_an_officer(self) -> bool:
        """Send a handful of the last requests to a person, so that somebody's work is waiting."""
        late = self.now > self.setting.end - 2 * DAY
        return late and not self.is_brian and len(self.world.referred) < 8 and self.luck.random() < 0.25

    # -- one loan ----------------------------------------------------------------------------------------
    def _loan(self, principal: int) -> Iterator[Event]:
        sent = self.now + self.luck.randrange(1, 3)
        request_id = self.world.tickets.conversation(self._at(sent))
        completed = sent + self.luck.randrange(2, 9)
        settled = completed + self.luck.randrange(1, 4)
        self.now = settled
        if self.luck.random() < 0.004:
            text = "The receiver wallet cannot take this amount."
            yield PayoutFailed(self._at(sent), self.who, request_id, "8006", text, self._at(settled))
            return
        yield PaidOut(
            self._at(sent),
            self.who,
            request_id,
            self.world.tickets.receipt_no(self._at(completed)),
            self._at(completed),
            self._at(settled),
        )
        yield from self._repayment(principal, completed // DAY + self.setting.terms.term.every)

    def _repayment(self, principal: int, due_day: int) -> Iterator[Event]:
        """Play the loan to its end: settled, written off, or still open when the story stops."""
        total = _price(principal, self.setting.terms).total_cents
        plan = self._intentions(total, due_day)
        owed = total
        write_off = (due_day + WRITE_OFF_AFTER_DAYS + 1) * DAY + 10 * 3600 + self.who % 3600
        for payment in plan:
            if payment.second >= min(self.setting.end - LAST_START, write_off):
                break
            self.now = max(self.now + 60, payment.second)
            yield from self._pay(payment, owed)
            owed -= payment.cents
            if owed <= 0:
                self._settle(due_day)
                return
        if write_off < self.setting.end:
            self.now, self.lost_one, self.rung = write_off, True, 0
            reason = f"{WRITE_OFF_AFTER_DAYS} days late, not reached"
            yield WrittenOff(self._at(write_off), self.who, reason)
            self._wait(self.luck.uniform(20, 90))
            if self.luck.random() < 0.6:
                self.now = self.setting.end
        else:
            self.now = self.setting.end

    def _settle(self, due_day: int) -> None:
        late = max(0, self.now // DAY - due_day)
        self.settled += 1
        self.rung = limits.next_rung(self.rung, late, top=len(self.setting.ladder_cents) - 1)
        if arrears.classify(late) != "normal":
            self.defaulted_at = self.now

    def _pay(self, payment: Payment, owed: int) -> Iterator[Event]:
        if not payment.by_prompt or payment.cents > owed:
            yield self._to_paybill(payment.cents)
            return
        if self.luck.random() < 0.05:
            yield self._refused_prompt(payment.cents)
            self.now += self.luck.randrange(120, 1800)
        yield self._prompt(payment.cents)

    def _prompt(self, cents: int) -> PromptPaid:
        asked, sent = self.now, self.now + 6 + self.luck.randrange(0, 3)
        paid = sent + self.luck.randrange(5, 25)
        self.now = paid + self.luck.randrange(1, 3)
        return PromptPaid(
            at=self._at(asked),
            who=self.who,
            amount_cents=cents,
            origin=f"ussd:{self.world.tickets.session()}:{self.luck.randrange(3, 6)}",
            sent_at=self._at(sent),
            request_id=self.world.tickets.checkout(self._at(sent)),
            receipt_no=self.world.tickets.receipt_no(self._at(paid)),
            paid_at=self._at(paid),
            settled_at=self._at(self.now),
        )

    def _refused_prompt(self, cents: int) -> PromptFailed:
        asked, sent = self.now, self.now + 6 + self.luck.randrange(0, 3)
        self.now = sent + self.luck.randrange(10, 60)
        code, text = self.luck.choice((("1032", "Request cancelled by user."), ("2001", "Wrong PIN.")))
        return PromptFailed(
            at=self._at(asked),
            who=self.who,
            amount_cents=cents,
            origin=f"ussd:{self.world.tickets.session()}:{self.luck.randrange(3, 6)}",
            sent_at=self._at(sent),
            request_id=self.world.tickets.checkout(self._at(sent)),
            code=code,
            text=text,
            settled_at=self._at(self.now),
        )

    def _to_paybill(self, cents: int) -> PaybillPaid:
        paid = self.now
        self.now = paid + self.luck.randrange(1, 5)
        msisdn = self.person.msisdn
        typed = self.luck.choice((f"0{msisdn[3:]}", msisdn, f"0{msisdn[3:6]} {msisdn[6:9]} {msisdn[9:]}"))
        return PaybillPaid(
            at=self._at(self.now),
            who=self.who,
            party=_masked(msisdn),
            account=typed,
            amount_cents=cents,
            receipt_no=self.world.tickets.receipt_no(self._at(paid)),
            paid_at=self._at(paid),
        )

    # -- whether and when it is repaid -------------------------------------------------------------------
    def _means(self, second: int) -> float:
        """Return what could be put together by a second: what was kept lately, and part of what came in."""
        week = self._week(second)
        slack, earned = self.world.money.slack, self.world.money.income
        kept = slack[self.who, week - 4 : week + 1].mean()
        return float(kept + 0.17 * earned[self.who, week - 5 : week + 1].sum())

    def _strength(self, total: int, due_day: int) -> float:
        """Return how surely this loan is repaid in time: money against the debt, then character, then luck."""
        if self.is_brian:
            return 3.0
        if self.plan == "vanishes" or (self.plan == "busts out" and self.rung >= 4):
            return -9.0
        if self.plan == "busts out":
            return 2.5
        means = self._means(due_day * DAY) / total
        return (
            1.6 * math.log(means + 0.05)
            + 5.0 * (self.discipline - 0.62)
            + 0.5 * self.saver
            + self.luck.gauss(0, 0.20)
            + STRENGTH_OFFSET
        )

    def _intentions(self, total: int, due_day: int) -> list[Payment]:
        strength = self._strength(total, due_day)
        if strength <= -9:
            return []
        late = self._days_late(strength)
        if late is None:
            return self._some_of_it(total, due_day)
        first = self.now // DAY + 1
        day = max(first, due_day + late)
        hour = self.luck.uniform(6.5, 21.5) if late < 0 else self.luck.choice((9, 12, 17.6, 18.2, 19, 20))
        last = day * DAY + int((hour + self.luck.random() * 0.5) * 3600)
        return self._in_parts(total, max(last, self.now + 3600))

    def _days_late(self, strength: float) -> int | None:
        """Return the day of the last payment against the due date; None when it will not be paid whole."""
        if self.forgetful and 0 < strength < 2 and self.luck.random() < 0.4:
            return self.luck.randrange(1, 6)
        if strength > 0:
            # Who has plenty pays days before; who has just enough pays on the day.
            return -min(27, int(strength * self.luck.uniform(2, 8)))
        if strength > -0.55:
            return self.luck.randrange(1, 8)
        if strength > -1.0:
            return self.luck.randrange(5, 29)
        return self.luck.randrange(31, 130) if self.luck.random() < 0.5 else None

    def _some_of_it(self, total: int, due_day: int) -> list[Payment]:
        """Pay a part, late, or nothing at all."""
        if self.luck.random() < 0.55:
            return []
        part = int(total * self.luck.uniform(0.1, 0.7)) // (10 * SHILLING) * (10 * SHILLING)
        second = (due_day + self.luck.randrange(-5, 40)) * DAY + self.luck.randrange(7 * 3600, 20 * 3600)
        return [Payment(max(second, self.now + 3600), max(part, SHILLING), self.luck.random() < 0.4)]

    def _in_parts(self, total: int, last: int) -> list[Payment]:
        """Split a repayment that ends at `last` into one to four payments in whole shillings."""
        parts = 1
        if self.world.people.part_payer[self.who] and total >= 500_00:
            parts = self.luck.choice((1, 2, 2, 3, 4))
        shillings, payments, left = total // SHILLING, [], total
        seconds = sorted(self.luck.uniform(self.now + 7200, last) for _ in range(parts - 1))
        for second in seconds:
            cents = int(shillings * self.luck.uniform(0.15, 0.9 / parts)) * SHILLING
            if 0 < cents < left:
                payments.append(Payment(int(second), cents, self.luck.random() < 0.55))
                left -= cents
        by_prompt = self.luck.random() < 0.6
        if not by_prompt and self.luck.random() < 0.10:
            left = -(-left // (50 * SHILLING)) * 50 * SHILLING  # rounds up; what is over stays theirs
        return [*payments, Payment(last, left, by_prompt)]

    # -- saving ------------------------------------------------------------------------------------------
    def _saving(self, registered: int) -> Iterator[SavingsMoved]:
        """Yield deposits in weeks with something left, and withdrawals in weeks without."""
        if self.saver <= 0:
            return
        luck = Random(f"{self.setting.seed}:saving:{self.who}")  # noqa: S311
        slack = self.world.money.slack[self.who]
        balance, first = 0, registered // (7 * DAY) + 1
        for week in range(first, self.setting.days // 7):
            second = week * 7 * DAY + luck.randrange(7) * DAY + luck.randrange(7 * 3600, 20 * 3600)
            plenty = float(slack[week + LEAD_WEEKS]) / self.monthly
            if second >= self.setting.end - LAST_START:
                return
            if plenty < 0.05 and balance >= 200_00 and luck.random() < 0.6:
                cents = max(100_00, int(balance * luck.uniform(0.3, 1.0)) // (10 * SHILLING) * (10 * SHILLING))
                balance -= cents
                yield self._savings_moved(second, "withdrawal", cents)
            elif luck.random() < self.saver * min(1.0, 0.25 + 2 * plenty) * 0.75:
                cents = max(50_00, int(self.monthly * self.saver * 0.03 * (0.3 + plenty)) // (10 * SHILLING) * 1000)
                balance += cents
                yield self._savings_moved(second, "deposit", cents)

    def _savings_moved(self, second: int, kind: str, cents: int) -> SavingsMoved:
        at = self._at(second)
        return SavingsMoved(at, self.who, kind, cents, f"SV{self.who:05d}{second:09d}")


# Where the middle of the portfolio stands; chosen so that about one loan in ten is over 30 days late.
STRENGTH_OFFSET = -2.8


def _masked(msisdn: str) -> str:
    return f"{msisdn[:4]} ***** {msisdn[-3:]}"


def _days(world: World) -> Iterator[DayClosed]:
    """Yield the close of each business date, ten minutes after its midnight; the last one is yesterday."""
    for number in range(world.setting.days):
        at = world.at((number + 1) * DAY + 600)
        yield DayClosed(at, world.setting.first_day + timedelta(days=number))


def _strangers(world: World) -> Iterator[PaybillPaid]:
    """Yield money that comes to the paybill and fits nobody: a wrong account, a rent, a school."""
    luck = Random(f"{world.setting.seed}:strangers")  # noqa: S311
    second = 20 * DAY
    while (second := second + int(luck.expovariate(1 / 40) * DAY) + 3600) < world.setting.end - LAST_START:
        yield PaybillPaid(
            at=world.at(second + 3),
            who=None,
            party=_masked(f"2547{luck.randrange(10**8):08d}"),
            account=luck.choice(("RENT 14B", "SCHOOL FEES", "K. MWANGI", "0", "ACC 4471", "HARAMBEE")),
            amount_cents=luck.randrange(2, 40) * 50 * SHILLING,
            receipt_no=world.tickets.receipt_no(world.at(second)),
            paid_at=world.at(second),
        )


def _funding(world: World, events: Sequence[Event]) -> list[Funded]:
    """Return one payment of the owners before the first payout, enough for all of them and a float beyond."""
    approved: dict[int, int] = {}
    paid_out = 0
    for event in events:
        if isinstance(event, Asked):
            approved[event.who] = event.principal_cents
        elif isinstance(event, PaidOut):
            paid_out += approved[event.who]
    return [Funded(world.at(0), f"capital:demo:{world.setting.seed}", paid_out + FLOAT_KEPT_CENTS)]
