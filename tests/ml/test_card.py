"""The card says what the gate and ml.measures say, to anybody who can read, and the same each time."""

import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest

from ml import card, curves, gate, measures
from ml.card import Card
from ml.curves import figures
from ml.drift import drift
from ml.features import NAMES
from ml.gate import Money
from ml.measures import share_interval
from ml.plots import plots, reached
from tests.ml.portfolio import portfolio

BELOW = 0.15
STRONG, WEAK = NAMES.index("mean_days_late"), NAMES.index("requested_to_inflow")


def odds(x):
    """Two facts, one of them four times as strong as the other."""
    late, asked = (np.nan_to_num(x[:, at].astype(np.float64)) for at in (STRONG, WEAK))
    return -1.2 + 0.08 * late + 0.02 * np.minimum(asked * 10, 50)


def score(x):
    return 1 / (1 + np.exp(-odds(x)))


def dimly(x):
    return 1 / (1 + np.exp(-0.3 * odds(x) + 1))


@pytest.fixture(scope="module")
def later():
    return portfolio(1_500, seed=4)


@pytest.fixture(scope="module")
def reference(later):
    return np.nanmedian(later.x, axis=0)


@pytest.fixture(scope="module")
def on(later):
    return gate.trial(score, dimly, later)


@pytest.fixture(scope="module")
def groups(later):
    return {
        "language": np.where(np.arange(1_500) % 3 == 0, "sw", "en"),
        "country": np.where(np.arange(1_500) < 40, "UG", "KE"),
    }


@pytest.fixture(scope="module")
def money(on):
    currency = np.where(np.arange(1_500) < 900, "KES", "UGX")
    return Money(currency=currency, earned=np.where(on.y == 1, -30_000.0, 9_000.0))


@pytest.fixture(scope="module")
def found(on, later, reference, groups, money):
    return figures(on, later, score, reference, approve_below=BELOW, facts=groups, money=money)


@pytest.fixture(scope="module")
def checks(on, groups, money):
    by_group, small = gate.slices(on, groups, fair=frozenset({"language"}), approve_below=BELOW)
    measured = [
        *gate.accuracy(on), *gate.plausibility(on), gate.calibration(on),
        *gate.profit(on, money, approve_below=BELOW), *by_group,
    ]  # fmt: skip
    weighed = gate.weigh(measured, len(on.y))
    return [asdict(check) for check in (*weighed, *small, gate.score_drift(on, is_better=True))]


@pytest.fixture(scope="module")
def whole(on, found, checks):
    made = {
        "loans": 5_000,
        "seed": 3,
        "data_sha256": "d" * 64,
        "network": {"width": 48},
        "seen_until": 1_700_000_000,
    }
    return Card(
        "2026-03-01T02-00-00-ab12", made, asdict(gate.compare(on)), checks, found, beside="<older & slower>"
    )


@pytest.fixture(scope="module")
def page(whole):
    return card.html(whole).decode()


@pytest.fixture(scope="module")
def paper(whole):
    return card.pdf(whole)


def by_name(checks, name):
    return next(check for check in checks if check["name"] == name)


class TestFigures:
    def test_are_those_of_the_measures(self, on, found):
        ours = found["roc"]["challenger"]
        assert (ours["auc"], ours["ks"]) == (measures.auc(on.y, on.ours), measures.ks(on.y, on.ours))
        area = np.trapezoid(ours["defaulters"], ours["payers"])
        assert area == pytest.approx(ours["auc"], abs=0.002)
        gaps = np.array(ours["defaulters"]) - np.array(ours["payers"])
        assert gaps.max() == pytest.approx(ours["ks"], abs=0.01)
        assert found["roc"]["champion"]["auc"] == measures.auc(on.y, on.theirs)

    def test_of_calibration_add_up_to_its_error(self, on, found):
        bins = found["calibration"]
        error = sum(each["loans"] * abs(each["promised"] - each["share"]) for each in bins) / len(on.y)
        assert error == pytest.approx(measures.calibration_error(on.y, on.ours))
        assert all(each["low"] < each["share"] < each["high"] for each in bins if 0 < each["share"] < 1)
        assert sum(each["loans"] for each in bins) == 1_500
        promised = [each["promised"] for each in bins]
        assert promised == sorted(promised)

    def test_of_the_distribution_count_each_loan_once(self, on, found):
        assert sum(found["distribution"]["defaulters"]) == on.y.sum() == found["defaults"]
        assert sum(found["distribution"]["payers"]) == (on.y == 0).sum()

    def test_of_the_gain_find_all_defaulters_among_all_loans(self, on, found):
        ours = found["gain"]["challenger"]
        riskiest = np.argsort(-on.ours, kind="stable")[:300]
        assert (ours["found"][0], ours["found"][-1]) == (0, 1)
        assert ours["found"][4] == pytest.approx(on.y[riskiest].sum() / on.y.sum(), abs=1e-6)

    def test_of_profit_are_the_gate_s_at_the_threshold_in_force(self, on, found, checks):
        for each in found["profit"]:
            (now,) = [point for point in each["curve"] if point["below"] == BELOW]
            judged = by_name(checks, f"profit_{each['currency']}")
            assert now["earned"] == pytest.approx(judged["figure"])
            assert now["interval"] == pytest.approx(judged["interval"], rel=1e-5)
            champion = by_name(checks, f"profit_of_champion_{each['currency']}")
            assert now["champion"] == pytest.approx(champion["figure"])
        assert [each["currency"] for each in found["profit"]] == ["KES", "UGX"]

    def test_name_what_moves_the_score_and_nothing_else(self, found, later, reference):
        strongest = [each["name"] for each in found["importance"]["features"]]
        assert strongest == ["mean_days_late", "requested_to_inflow"]
        assert sum(each["part"] for each in found["importance"]["features"]) == pytest.approx(1)
        # The score adds the two up, so each Shapley value is what the log-odds change with this fact alone.
        people = later.x[np.linspace(0, 1_499, curves.EXPLAINED).astype(int)]
        usual = np.tile(reference, (len(people), 1))
        usual[:, STRONG] = people[:, STRONG]
        alone = np.abs(odds(usual) - odds(reference[None]))
        assert found["importance"]["features"][0]["log_odds"] == pytest.approx(alone.mean(), rel=1e-3)

    def test_of_groups_are_those_of_their_loans(self, on, groups, found):
        swahili = groups["language"] == "sw"
        (told,) = [each for each in found["groups"]["large"] if each["group"] == "sw"]
        assert told["loans"] == 500
        assert told["lost"]["share"] == on.y[swahili].mean()
        assert told["approved"]["share"] == (on.ours[swahili] < BELOW).mean()
        assert told["promised"] == pytest.approx(on.ours[swahili].mean())
        assert found["groups"]["too_few"] == [{"fact": "country", "group": "UG", "loans": 40}]

    def test_of_drift_are_those_of_the_gate(self, on, found):
        far = drift(on.theirs, on.ours)
        assert (found["drift"]["psi"], found["drift"]["threshold"]) == (far.psi, far.threshold)
        assert sum(found["drift"]["challenger"]) == pytest.approx(1, abs=1e-4)
        assert len(found["drift"]["champion"]) == len(found["drift"]["edges"]) + 1

    def test_without_a_champion_show_none(self, later, reference):
        first = figures(gate.trial(score, None, later), later, score, reference, approve_below=BELOW)
        assert first["drift"] is None and first["profit"] == [] and list(first["roc"]) == ["challenger"]
        titles = [plot.title for plot in plots(first, [])]
        assert titles == ["ROC curve", "Calibration", "Distribution of the score", "Gain", "What moves the score"]
        assert "There was no champion" in card.html(Card("first", figures=first)).decode()

    def test_of_too_few_loans_are_none(self, later, reference):
        few = later.take(np.arange(60))
        told = figures(gate.trial(score, dimly, few), few, score, reference, approve_below=BELOW)
        assert list(told) == ["too_few"]
        page = card.html(Card("few", figures=told)).decode()
        assert "No plot is drawn: needs 200 later loans with 20 defaults, got 60 with" in page
        assert "<img" not in page
        assert card.pdf(Card("few", figures=told)).startswith(b"%PDF")

    def test_hold_no_loan_of_anybody(self, found, later):
        """Whatever is listed is shorter than the loans, and as long for other loans."""

        def longest(value):
            if isinstance(value, dict):
                return max(map(longest, value.values()), default=0)
            return max([len(value), *map(longest, value)]) if isinstance(value, list) else 0

        assert longest(found) <= curves.POINTS + 1


class TestShareInterval:
    def test_is_wilson_s(self):
        # By the formula for 8 of 10, z = 1.6449: (0.8 + 0.1353) / 1.2706 and 0.1833 either way.
        assert share_interval(8, 10) == pytest.approx((0.5404, 0.9318), abs=2e-3)

    def test_leaves_room_where_none_or_all_were_found(self):
        assert share_interval(0, 50)[0] == 0 and 0.03 < share_interval(0, 50)[1] < 0.07
        assert share_interval(50, 50)[1] == 1 and share_interval(0, 0) == (0, 1)

    def test_holds_the_true_share_in_nine_of_ten_draws(self):
        found = np.random.default_rng(1).binomial(150, 0.2, 2_000)
        held = [low <= 0.2 <= high for low, high in (share_interval(int(each), 150) for each in found)]
        assert np.mean(held) == pytest.approx(0.9, abs=0.03)


class Pictures(HTMLParser):
    """Reads what a page asks for, and what its pictures say to whoever cannot see them."""

    def __init__(self, page):
        super().__init__()
        self.asked, self.alts, self.tags = [], [], set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        given = dict(attributes)
        self.asked += [given[name] for name in ("src", "href", "srcset", "data", "action") if name in given]
        if tag == "img":
            self.alts.append(given["alt"])


class TestPage:
    def test_needs_nothing_from_elsewhere(self, page):
        seen = Pictures(page)
        assert seen.asked and all(each.startswith("data:image/svg+xml;base64,") for each in seen.asked)
        assert seen.tags.isdisjoint({"script", "link", "iframe", "object", "form"})
        assert "url(" not in page and "@import" not in page and "http://" not in page and "https://" not in page

    def test_says_in_words_what_the_plots_show(self, page, on, found, checks):
        seen = Pictures(page)
        assert len(seen.alts) == len(plots(found, checks)) == page.count("<figure>") == 11
        assert f"AUC {measures.auc(on.y, on.ours):.3f} (90 % of resamples: " in page
        at_a_tenth = reached(found["roc"]["challenger"], 0.1)
        assert any(f"{at_a_tenth:.0%} of defaulters at 10% of payers" in alt for alt in seen.alts)
        assert all(len(re.findall(r"\d", alt)) > 5 for alt in seen.alts)

    def test_tells_every_check_with_figure_limit_and_interval(self, page, checks):
        assert page.count("<td>passed</td>") + page.count("<td>FAILED</td>") == len(checks)
        skill = by_name(checks, "skill")
        row = f"<td>{card.amount(skill['figure'])}</td><td>0.55</td><td>{skill['interval'][0]:.3g} to "
        assert row in page

    def test_writes_names_as_text(self, page):
        assert "&lt;older &amp; slower&gt;" in page and "<older" not in page

    def test_says_how_it_was_made(self, page):
        for words in (
            "<td>Loans</td><td>5,000</td>",
            "d" * 64,
            "<td>Seed</td><td>3</td>",
            "width 48",
            "2023-11-14",
        ):
            assert words in page
        assert "Fewer than 200 later loans each: country UG (40)." in page

    def test_fits_a_phone(self, page):
        assert 'name="viewport"' in page


class TestPaper:
    def test_opens_and_holds_every_page(self, paper):
        assert paper.startswith(b"%PDF-1.") and paper.rstrip().endswith(b"%%EOF")
        (pages,) = re.findall(rb"/Count (\d+)", paper)
        assert int(pages) == len(re.findall(rb"/Type /Page\b", paper)) >= 4

    def test_is_text_and_not_a_picture_of_it(self, paper):
        streams = re.findall(rb"/FlateDecode >>\s*stream\r?\n(.*?)\r?\nendstream", paper, flags=re.DOTALL)
        drawn = b"".join(zlib.decompress(stream) for stream in streams)
        # Letters stand in brackets, two bytes each, with what moves them closer together in between.
        written = b"".join(re.findall(rb"\(((?:[^()\\]|\\.)*)\)", drawn)).replace(b"\0", b"")
        assert b"ROC curve" in written and b"What it never knows" in written
        assert b"/FontFile2" in paper and b"/ToUnicode" in paper
        assert b"/Subtype /Image" not in paper


class TestSameEachTime:
    def test_in_the_same_bytes(self, whole, page, paper):
        assert card.html(whole).decode() == page
        assert card.pdf(whole) == paper
        assert b"CreationDate" not in paper

    def test_whatever_style_somebody_has_set(self, whole, page):
        with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "other"}):
            assert card.html(whole).decode() == page
            assert matplotlib.rcParams["font.size"] == 30

    def test_whoever_draws_at_the_same_time(self, whole, page):
        with ThreadPoolExecutor(2) as threads:
            assert [each.decode() for each in threads.map(card.html, [whole] * 2)] == [page] * 2


def test_writes_both_files_beside_each_other(whole, tmp_path):
    few = replace(whole, figures={}, checks=[])
    paths = card.write(few, tmp_path / "cards")
    assert [path.name for path in paths] == [f"{whole.name}.html", f"{whole.name}.pdf"]
    assert paths[0].read_bytes() == card.html(few) and paths[1].read_bytes() == card.pdf(few)
    assert "no figures were kept when this version was judged" in paths[0].read_text()
