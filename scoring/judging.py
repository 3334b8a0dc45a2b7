"""The verdict on a challenger, from everything that the gate looks at.

ml/gate.py measures it on later loans beside the champion, ml/suspicion.py looks at the loans it learnt from,
ml/behaviour.py tries it on real applicants. What only the books know is read here: facts that set borrowers apart,
which no model ever sees, what the money of each loan became, and who stands behind it. Limits: docs/gate.md.
"""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import connection

from lending.models import Decision
from lending.selectors.limits import BLOCK_DIGITS
from ml import curves, forward, gate, parity, suspicion
from ml import features as feature_list
from ml.artifact import Artifact, ArtifactRefused, without_nan
from ml.behaviour import MOST_VECTORS, behaviours
from ml.data import Dataset
from ml.events import Events
from ml.gate import Check, Comparison, Groups, Money
from ml.predict import PATHS, Scorer
from scoring import features, policy

if TYPE_CHECKING:
    from ml.train import Trained

logger = logging.getLogger(__name__)

Rows = npt.NDArray[np.float32]
# By these nobody may be approved less often. Sex, age and region belong here and are in no table of ours.
FAIR = frozenset({"language"})
# Vectors of so many decisions are read at once.
BLOCK = 2_000


@dataclass(frozen=True)
class Judgement:
    """Whether a challenger may serve, and why or why not, in words for officers.

    report: ready for JSON, each check with `name`, `passed`, `words`, `figure`, `limit`, `interval`; `card` is what
    the plots of its model card show.
    """

    better: bool
    why: tuple[str, ...]
    comparison: Comparison
    report: dict[str, Any]


@dataclass(frozen=True)
class Books:
    """What the books know of n loans and the model does not; an empty text where they do not know.

    facts: the group of each loan (n,) by what sets borrowers apart. people, payers, places: who took it, who paid
    most of it back, and the block of numbers and the hour in which its borrower registered.
    """

    facts: dict[str, Groups]
    money: Money
    people: Groups
    payers: Groups
    places: Groups


def judge(
    trained: "Trained",
    reigning: Artifact | None,
    loans: Dataset,
    *,
    first: bool,
    has_rival: bool,
    any_size: bool = False,
) -> Judgement:
    """Return whether a challenger may take over from the model that reigns; with none, only if `first` asks for it.

    any_size: somebody has said that there are rightly many more or fewer loans than before.
    loans: what the challenger was trained and tested on. Every check is made, also after one has failed: the report
    says all that is wrong. Those on later loans need enough of them.
    """
    seen_until = max(trained.seen_until, reigning.seen_until if reigning else 0)
    is_later = gate.to_be_judged_on(loans, seen_until)
    later, books = loans.take(is_later), books_of(loans)
    of_later = taken(books, is_later)
    ours, theirs = scores_of(trained.weights), scores_of(reigning.weights) if reigning else None
    on = gate.trial(ours, theirs, later)
    comparison = gate.compare(on, seed=trained.seed)
    checks = [
        asked_for(first=first, has_rival=has_rival),
        *about_loans(trained, reigning, loans, books, any_size=any_size),
        as_decisions_saw(loans),
        gate.enough(on),
    ]
    if on.is_enough:
        checks += on_later_loans(on, later, of_later, ours, comparison, seed=trained.seed)
    model = Artifact({"network": trained.network, "answers": trained.answers}, trained.weights)
    latest = np.arange(len(loans))[-MOST_VECTORS:]
    checks += how_it_behaves(model, *loans.in_time_order().take(latest).told)
    against = tuple(check.words for check in checks if not check.passed)
    why = against or comparison.why
    return Judgement(
        better=not against,
        why=why,
        comparison=replace(comparison, better=not against, why=why),
        report={
            "later_loans": len(later),
            "checks": [as_json(check) for check in checks],
            "card": for_the_card(trained, on, later, of_later),
            "refused": without_nan(gate.with_and_without(on, propensities(later))),
        },
    )


def asked_for(*, first: bool, has_rival: bool) -> Check:
    """A first model decides from one moment to the next what officers decided: somebody has to want it."""
    words = "nobody can serve, and a first model is promoted by `retrain --first`"
    return Check("asked_for", has_rival or first, words)


def about_loans(
    trained: "Trained", reigning: Artifact | None, loans: Dataset, books: Books, *, any_size: bool
) -> list[Check]:
    """Look at what the challenger learnt from: how much, of whom, and what became of it."""
    found = [suspicion.share_lost(loans.default)]
    for fact, groups in books.facts.items():
        found += suspicion.shares_lost(loans.default, fact, groups)
    if reigning:
        before = int(reigning.manifest["loans"])
        expected = suspicion.expected_rows(loans, before, reigning.seen_until, trained.seen_until)
        found += [] if any_size else [suspicion.rows(len(loans), expected)]
        found.append(suspicion.shift(loans, reigning.seen_until))
    behind = {"person": books.people, "payer": books.payers, "block of new numbers": books.places}
    return found + [suspicion.one_behind_many(who, of) for who, of in behind.items()]


def on_later_loans(
    on: gate.Trial, later: Dataset, books: Books, ours: gate.ScoreRows, comparison: Comparison, *, seed: int
) -> list[Check]:
    """Measure challenger and champion on loans that neither has learnt from."""
    approve_below = policy.IN_FORCE.approve_below
    by_group, too_small = gate.slices(on, books.facts, fair=FAIR, approve_below=approve_below)
    measures = [
        *gate.accuracy(on),
        *gate.plausibility(on),
        gate.calibration(on, seed=seed),
        *gate.profit(on, books.money, approve_below=approve_below),
        *by_group,
    ]
    is_better = comparison.log_loss_gain > 0
    return [
        *gate.weigh(measures, len(later), seed=seed),
        *too_small,
        suspicion.one_feature(ours, later, on, seed=seed),
        *([gate.score_drift(on, is_better=is_better)] if on.has_champion else []),
    ]


def for_the_card(trained: "Trained", on: gate.Trial, later: Dataset, books: Books) -> dict[str, Any]:
    """Return what the model card shows of this day; nothing where it cannot be worked out: that is no verdict."""
    try:
        figures = curves.figures(
            on,
            later,
            scores_of(trained.weights),
            trained.weights["encode/reference"],
            approve_below=policy.IN_FORCE.approve_below,
            facts=books.facts,
            money=books.money,
            seed=trained.seed,
        )
    except Exception:
        logger.exception("the model card of a challenger goes without plots")
        figures = {}
    made = {"network": trained.network, "calibration_of_scores": asdict(trained.calibration)}
    return dict(without_nan(figures | made))


def how_it_behaves(model: Artifact, people: Rows, happened: Events | None = None) -> list[Check]:
    """Try a model on applicants (n, n_features) and their events (n, 128, 4), as it is judged and by each path on
    which it can serve."""
    score = scores_of(model.weights)
    try:
        paths = {path: Scorer(model, path) for path in PATHS}
    except ArtifactRefused as error:
        return [Check("same_as_trained", False, str(error)), *behaviours(score, people, happened)]
    served = {path: gate.as_score_rows(scorer.predict) for path, scorer in paths.items()}
    apart, limit = max(scorer.apart for scorer in paths.values()), parity.LIMIT
    words = f"on every path the answers are {apart:.1e} from those that Keras gave in training, at most {limit:.0e}"
    return [
        Check("same_as_trained", True, words, apart, limit),
        *behaviours(score, people, happened, served=served),
    ]


def scores_of(weights: dict[str, Rows]) -> gate.ScoreRows:
    """Return the NumPy path of a model, which needs no second TensorFlow graph and says the same."""
    return lambda *told: forward.scores(weights, *told)


# --- what the books know ----------------------------------------------------------------------------------------
# An application whose row is gone still has its place, with nothing known of it.
BOOKS = """
SELECT
    coalesce(application.key_facts_language, '') AS language,
    coalesce(product.country, '') AS country,
    coalesce(product.code, '') AS product,
    coalesce(loan.currency, '') AS currency,
    coalesce(loan.principal_cents - loan.deducted_cents, 0) AS lent,
    coalesce(loan.fee_cents + loan.tax_cents + loan.interest_cents, 0) AS price,
    coalesce(loan.tax_cents, 0) AS tax,
    coalesce(loan.identity_index, '') AS person,
    coalesce(payer.party, '') AS payer,
    coalesce(
        left(borrower.msisdn, -%(digits)s)
            || to_char(borrower.registered_at AT TIME ZONE %(zone)s, ' YYYY-MM-DD HH24'), ''
    ) AS place
FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS given (id, position)
LEFT JOIN lending_application application ON application.id::text = given.id
LEFT JOIN lending_borrower borrower ON borrower.id = application.borrower_id
LEFT JOIN lending_productversion product ON product.id = application.product_version_id
LEFT JOIN lending_loan loan ON loan.application_id = application.id
LEFT JOIN LATERAL (
    SELECT receipt.party
    FROM lending_repayment repayment
    JOIN lending_receipt receipt ON receipt.id = repayment.receipt_id
    WHERE repayment.loan_id = loan.id AND receipt.party <> ''
    ORDER BY repayment.amount_cents DESC, receipt.id
    LIMIT 1
) payer ON TRUE
ORDER BY position
"""


def books_of(loans: Dataset) -> Books:
    """Return what the books know of each loan, in the order of `loans`."""
    given = {"ids": loans.ids.tolist(), "digits": BLOCK_DIGITS, "zone": settings.TIME_ZONE}
    with connection.cursor() as cursor:
        cursor.execute(BOOKS, given)
        rows = cursor.fetchall()
    languages, countries, products, currencies = (texts(rows, at) for at in range(4))
    lent, price, tax = (np.array([row[at] for row in rows], np.float64) for at in range(4, 7))
    known = np.isfinite(loans.repaid_share)
    return Books(
        facts={
            "language": languages,
            "country": countries,
            "product": products,
            "loan": np.where(loans.x[:, loans.names.index("loans_taken")] > 0, "repeated", "first"),
        },
        money=Money(
            currency=np.where(known, currencies, gate.UNKNOWN_GROUP),
            earned=np.where(known, loans.repaid_share, 0) * (lent + price) - lent - tax,
        ),
        people=texts(rows, 7),
        payers=texts(rows, 8),
        places=texts(rows, 9),
    )


def texts(rows: Sequence[Sequence[Any]], at: int) -> Groups:
    return np.array([row[at] for row in rows], dtype=np.str_)


def taken(books: Books, which: npt.NDArray[np.bool_]) -> Books:
    """Return what the books know of some of the loans."""
    return Books(
        facts={fact: groups[which] for fact, groups in books.facts.items()},
        money=Money(currency=books.money.currency[which], earned=books.money.earned[which]),
        people=books.people[which],
        payers=books.payers[which],
        places=books.places[which],
    )


def propensities(loans: Dataset) -> npt.NDArray[np.float64]:
    """Return the chance that each loan had of being made (n,): of the computer's loans as their decision kept it; 1
    for what a person approved, whose chance nobody knows, and for what came before the first decision."""
    lots = Decision.objects.filter(outcome=Decision.Outcome.APPROVE, propensity__lt=1)
    chances = {str(key): chance for key, chance in lots.values_list("application_id", "propensity")}
    return np.array([chances.get(key, 1.0) for key in loans.ids.tolist()])


SEEN = """
SELECT position - 1, decision.inputs -> 'features', decision.inputs -> 'events'
FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS given (id, position)
JOIN lending_decision decision ON decision.application_id::text = given.id
WHERE decision.feature_version = %(version)s
"""


def as_decisions_saw(loans: Dataset) -> Check:
    """Hold each loan to the vector that its decision kept: one that differs was changed since it was read."""
    changed = seen = 0
    for start in range(0, len(loans), BLOCK):
        block = loans.take(np.arange(start, min(start + BLOCK, len(loans))))
        with connection.cursor() as cursor:
            cursor.execute(SEEN, {"ids": block.ids.tolist(), "version": feature_list.VERSION})
            for position, values, listed in cursor.fetchall():
                if kept := json.loads(values or "null"):
                    seen += 1
                    x, happened = features.told({"features": kept, "events": json.loads(listed or "[]")})
                    same = block.x[position].tobytes() == x.tobytes()
                    if block.events is not None:
                        same &= block.events[position].tobytes() == happened.tobytes()
                    changed += not same
    words = f"{changed} of {seen} loans have other features or events than their decision saw, at most 0"
    return Check("as_decisions_saw", not changed, words, float(changed), 0.0)


def as_json(check: Check) -> dict[str, Any]:
    """Return a check for JSON, which knows no number that is none."""
    found = asdict(check)
    for name in ("figure", "limit"):
        found[name] = found[name] if found[name] is not None and math.isfinite(found[name]) else None
    found["interval"] = list(check.interval) if check.interval and all(map(math.isfinite, check.interval)) else None
    return found
