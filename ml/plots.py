"""The plots of a model card: what `ml.curves` worked out, drawn on axes that are handed in.

Each plot says its figures in words as well, for whoever cannot see it. Nothing is worked out here. How to read
each: docs/model-card.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

Figures = Mapping[str, Any]

# Okabe and Ito 2008, "Color Universal Design": told apart by everybody; line styles and markers differ, too.
BLUE, ORANGE, GREY, LIGHT = "#0072B2", "#D55E00", "#595959", "#D9D9D9"
SIDES = {"challenger": ("this model", BLUE, "-"), "champion": ("champion", ORANGE, "--")}
HINTS = {
    "ROC curve": "Nearer to the upper left is better: more defaulters are found for as many payers turned away.",
    "Calibration": "On the dotted line the chances come true. Below it they were too high, above it too low.",
    "Distribution of the score": "The less the two overlap, the better they are told apart.",
    "Gain": "How much of all that is lost stands behind the riskiest loans.",
    "Profit by threshold": "What these loans would have earned, had those below a threshold been made and no "
    "others. The refused are not in it.",
    "What moves the score": "How far each number moves the score from the usual applicant's, up or down. Not "
    "why people default.",
    "Approved, by group": "Groups whose bars do not overlap are approved unequally beyond chance. Newcomers may "
    "be, for good reason.",
    "Promised and lost, by group": "A diamond outside of its bar: the chances that this group is given do not come "
    "true. One in ten lies outside by luck.",
    "AUC, by group": "Left of the dashed line a group's payers and defaulters are told apart too badly to serve.",
    "Drift against the champion": "How differently from the champion it spreads the same loans. Different is not "
    "worse, but has to be explained.",
}
AMOUNT = FuncFormatter(lambda value, _: f"{value:,.0f}")


@dataclass(frozen=True)
class Plot:
    """One plot: its name in docs/model-card.md, how to read it, its main figures, its shape in figures."""

    title: str
    hint: str
    says: str
    alt: str
    draw: Callable[[Axes], None]


def plots(found: Figures, checks: Sequence[Figures]) -> list[Plot]:
    """Return every plot that there is something to show in, in the order of docs/model-card.md.

    found: as `ml.curves.figures` returns it. checks: as `ml.gate.Check`, by name.
    """
    if "roc" not in found:
        return []
    by_name = {check["name"]: check for check in checks}
    drawn = [
        roc(found["roc"], by_name.get("skill")),
        calibration(found["calibration"], by_name.get("calibration")),
        distribution(found["distribution"], found["approve_below"]),
        gain(found["gain"]),
        *(profit(each, found["approve_below"]) for each in found["profit"]),
        importance(found["importance"]),
    ]
    if found["groups"]["large"]:
        drawn += [approvals(found["groups"]["large"], checks), losses(found["groups"]["large"])]
        drawn += aucs(checks)
    return drawn + ([drift(found["drift"])] if found["drift"] else [])


def between(check: Figures | None, digits: int = 3) -> str:
    """Return the interval of a check in words, with a space before; nothing where it has none."""
    if not check or not check.get("interval"):
        return ""
    low, high = check["interval"]
    return f" (90 % of resamples: {low:.{digits}f} to {high:.{digits}f})"


def percent(share: float) -> str:
    return f"{share:.0%}" if share in (0, 1) or share >= 0.1 else f"{share:.1%}"


def sides(found: Figures) -> list[tuple[str, Figures]]:
    """Return the two models in our order: a database keeps none."""
    return [(side, found[side]) for side in SIDES if side in found]


def framed(ax: Axes, x: str, y: str, *, legend: bool = True) -> None:
    """Give a plot its labels and a frame that does not shout."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color=LIGHT, linewidth=0.5)
    ax.set_axisbelow(True)
    if legend:  # above the plot, where it hides nothing
        ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)


def in_percent(ax: Axes, *axes: str) -> None:
    for name in axes or ("x", "y"):
        getattr(ax, f"{name}axis").set_major_formatter(PercentFormatter(1.0, decimals=0))


# --- how well it tells --------------------------------------------------------------------------------------------
def roc(found: Figures, skill: Figures | None) -> Plot:
    def draw(ax: Axes) -> None:
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":", label="a coin (AUC 0.5)")
        for side, curve in sides(found):
            name, colour, style = SIDES[side]
            label = f"{name} (AUC {curve['auc']:.3f})"
            ax.plot(curve["payers"], curve["defaulters"], color=colour, linestyle=style, label=label)
        in_percent(ax)
        framed(ax, "payers scored at least so risky", "defaulters scored at least so risky")

    ours = found["challenger"]
    says = f"AUC {ours['auc']:.3f}{between(skill)}, KS {ours['ks']:.3f}"
    if "champion" in found:
        theirs = found["champion"]
        says += f"; the champion's {theirs['auc']:.3f} and {theirs['ks']:.3f}"
    at = (f"{percent(reached(ours, part))} of defaulters at {part:.0%} of payers" for part in (0.1, 0.2, 0.5))
    return Plot(
        "ROC curve", HINTS["ROC curve"], f"{says}.", f"ROC curve of this model: it reaches {', '.join(at)}.", draw
    )


def reached(curve: Figures, payers: float) -> float:
    """Return which share of defaulters a ROC curve has reached where it refuses so many payers at most."""
    pairs = zip(curve["payers"], curve["defaulters"], strict=True)
    return max(defaulters for x, defaulters in pairs if x <= payers)


def calibration(bins: Sequence[Figures], check: Figures | None) -> Plot:
    promised = [each["promised"] for each in bins]

    def draw(ax: Axes) -> None:
        most = max(*promised, *(each["high"] for each in bins)) * 1.05
        ax.plot([0, most], [0, most], color=GREY, linewidth=0.8, linestyle=":", label="promises come true")
        bars(ax, promised, bins)
        ax.set_xlim(0, most)
        ax.set_ylim(0, most)
        in_percent(ax)
        framed(ax, "chance of default that was promised", "share that defaulted")

    sizes = sorted({each["loans"] for each in bins})
    loans = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} or {sizes[-1]:,}"
    outside = sum(not each["low"] <= each["promised"] <= each["high"] for each in bins)
    says = (
        f"{outside} of {len(bins)} groups of {loans} loans lie outside their 90 % interval; about 1 does by luck."
    )
    if check:
        says = f"Calibration error {check['figure']:.3f}, at most {check['limit']:.3f} passes. {says}"
    alt = "; ".join(f"promised {percent(each['promised'])}, lost {interval(each)}" for each in bins)
    return Plot(
        "Calibration", HINTS["Calibration"], says, f"Calibration by tenths of the score, lowest first: {alt}.", draw
    )


def bars(ax: Axes, x: Sequence[float], shares: Sequence[Figures]) -> None:
    """Draw shares as points with their intervals."""
    y = [each["share"] for each in shares]
    low = [each["share"] - each["low"] for each in shares]
    high = [each["high"] - each["share"] for each in shares]
    ax.errorbar(x, y, yerr=[low, high], fmt="o", markersize=4, color=BLUE, capsize=2, label="a tenth of the loans")


def interval(share: Figures) -> str:
    return f"{percent(share['share'])} ({percent(share['low'])} to {percent(share['high'])})"


def distribution(found: Figures, approve_below: float) -> Plot:
    used = max(at for side in found.values() for at, count in enumerate(side) if count) + 1
    width = 1 / len(found["payers"])
    edges = [at * width for at in range(used + 1)]
    parts = {side: [count / max(sum(counts), 1) for count in counts[:used]] for side, counts in found.items()}

    def draw(ax: Axes) -> None:
        ax.stairs(parts["payers"], edges, fill=True, color=BLUE, alpha=0.35, label="payers")
        ax.stairs(parts["defaulters"], edges, color=ORANGE, linewidth=1.5, label="defaulters")
        threshold(ax, approve_below)
        in_percent(ax)
        framed(ax, "chance of default", "share of the payers, of the defaulters")

    middles = {side: median(edges, parts[side]) for side in parts}
    payers, defaulters = (sum(found[side]) for side in ("payers", "defaulters"))
    says = (
        f"{payers:,} payers, half of them below about {percent(middles['payers'])}; "
        f"{defaulters:,} defaulters, half of them above about {percent(middles['defaulters'])}."
    )
    told = "; ".join(
        f"{percent(low)} to {percent(high)}: {percent(of_payers)} of payers, {percent(of_defaulters)} of defaulters"
        for (low, high), of_payers, of_defaulters in zip(
            pairwise(edges), parts["payers"], parts["defaulters"], strict=True
        )
        if of_payers or of_defaulters
    )
    return Plot(
        "Distribution of the score", HINTS["Distribution of the score"], says, f"Scores by outcome. {told}.", draw
    )


def threshold(ax: Axes, approve_below: float) -> None:
    ax.axvline(
        approve_below, color=GREY, linewidth=0.8, linestyle="-.", label=f"approved below {approve_below:.0%}"
    )


def median(edges: Sequence[float], parts: Sequence[float]) -> float:
    """Return the edge at which half of all is reached."""
    total = 0.0
    for high, part in zip(edges[1:], parts, strict=True):
        total += part
        if total >= 0.5:
            return high
    return edges[-1]


def gain(found: Figures) -> Plot:
    def draw(ax: Axes) -> None:
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":", label="by lot")
        for side, curve in sides(found):
            name, colour, style = SIDES[side]
            ax.plot(curve["riskiest"], curve["found"], color=colour, linestyle=style, label=name)
        in_percent(ax)
        framed(ax, "riskiest loans", "defaulters among them")

    ours = found["challenger"]
    at = {round(part, 2): share for part, share in zip(ours["riskiest"], ours["found"], strict=True)}
    says = (
        f"Among the riskiest tenth are {percent(at[0.1])} of all defaulters, {at[0.1] / 0.1:.1f} times as many as "
        f"by lot; among the riskiest fifth {percent(at[0.2])}."
    )
    alt = "; ".join(f"riskiest {part:.0%}: {percent(at[part])}" for part in (0.1, 0.2, 0.3, 0.5, 0.7, 0.9))
    return Plot("Gain", HINTS["Gain"], says, f"Share of all defaulters among the riskiest loans. {alt}.", draw)


def profit(found: Figures, approve_below: float) -> Plot:
    curve, currency = found["curve"], found["currency"]
    below = [each["below"] for each in curve]

    def draw(ax: Axes) -> None:
        low, high = ([each["interval"][end] for each in curve] for end in (0, 1))
        ax.fill_between(below, low, high, color=BLUE, alpha=0.15, linewidth=0, label="90 % of resamples")
        for side, key in (("challenger", "earned"), ("champion", "champion")):
            name, colour, style = SIDES[side]
            if key in curve[0]:
                ax.plot(below, [each[key] for each in curve], color=colour, linestyle=style, label=name)
        threshold(ax, approve_below)
        ax.axhline(0, color=GREY, linewidth=0.8)
        in_percent(ax, "x")
        ax.yaxis.set_major_formatter(AMOUNT)
        framed(ax, "approved below this chance of default", f"earned, {currency}")

    now = min(curve, key=lambda point: abs(point["below"] - approve_below))
    best = max(curve, key=lambda point: point["earned"])
    low, high = now["interval"]
    says = (
        f"Approving below {approve_below:.0%} lends {percent(now['approved'])} of these loans and earns {currency} "
        f"{now['earned']:,.0f} (90 % of resamples: {low:,.0f} to {high:,.0f})"
    )
    if "champion" in now:
        says += f"; the champion {now['champion']:,.0f}"
    says += f". Most, {best['earned']:,.0f}, is earned below {best['below']:.1%}."
    shown = curve[:: max(len(curve) // 8, 1)]
    alt = "; ".join(f"below {each['below']:.1%}: {each['earned']:,.0f}" for each in shown)
    return Plot(
        f"Profit by threshold, {currency}",
        HINTS["Profit by threshold"],
        says,
        f"{currency} earned by threshold. {alt}.",
        draw,
    )


# --- what it goes by, and whom it treats how ----------------------------------------------------------------------
def importance(found: Figures) -> Plot:
    strongest = found["features"]

    def draw(ax: Axes) -> None:
        names = [each["name"] for each in reversed(strongest)]
        ax.barh(range(len(names)), [each["log_odds"] for each in reversed(strongest)], color=BLUE, height=0.7)
        ax.set_yticks(range(len(names)), names, fontsize=7)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        framed(ax, "mean change of the log-odds, either way", "", legend=False)
        ax.grid(axis="y", visible=False)

    first = ", ".join(f"{each['name']} ({each['part']:.0%})" for each in strongest[:3])
    says = (
        f"The strongest of what moves the score, as a part of all: {first or 'none'}. "
        f"Mean of Shapley values without their sign over {found['applicants']} applicants."
    )
    alt = "; ".join(f"{each['name']} {each['log_odds']:.2f}" for each in strongest)
    return Plot(
        "What moves the score",
        HINTS["What moves the score"],
        says,
        f"Mean change of the log-odds by feature. {alt}.",
        draw,
    )


def called(group: Figures) -> str:
    return f"{group['fact']} {group['group']}"


def rows(ax: Axes, names: Sequence[str]) -> list[int]:
    """Give each name a row of its own, the first on top, and return where."""
    places = list(range(len(names)))
    ax.set_yticks(places, names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    return places


def spread(ax: Axes, figures: Sequence[float], intervals: Sequence[Sequence[float]], label: str) -> None:
    low = [max(figure - one[0], 0) for figure, one in zip(figures, intervals, strict=True)]
    high = [max(one[1] - figure, 0) for figure, one in zip(figures, intervals, strict=True)]
    places = range(len(figures))
    ax.margins(x=0.1)
    ax.xaxis.set_major_locator(MaxNLocator(6, prune="both"))
    ax.errorbar(figures, places, xerr=[low, high], fmt="o", markersize=4, color=BLUE, capsize=2, label=label)


def approvals(groups: Sequence[Figures], checks: Sequence[Figures]) -> Plot:
    def draw(ax: Axes) -> None:
        shares = [each["approved"] for each in groups]
        rows(ax, [called(each) for each in groups])
        spread(ax, [one["share"] for one in shares], [(one["low"], one["high"]) for one in shares], "approved")
        in_percent(ax, "x")
        framed(ax, "share of the loans that it approves, 90 % interval", "", legend=False)

    held = [check for check in checks if check["name"].startswith("approvals_") and check["interval"]]
    says = "; ".join(f"{check['words']}{between(check, 2)}" for check in held)
    alt = "; ".join(f"{called(each)} {interval(each['approved'])}" for each in groups)
    none = "No two groups that must be approved alike are large enough to compare"
    return Plot(
        "Approved, by group",
        HINTS["Approved, by group"],
        f"{says or none}.",
        f"Share approved by group: {alt}.",
        draw,
    )


def losses(groups: Sequence[Figures]) -> Plot:
    def draw(ax: Axes) -> None:
        places = rows(ax, [called(each) for each in groups])
        lost = [each["lost"] for each in groups]
        spread(ax, [one["share"] for one in lost], [(one["low"], one["high"]) for one in lost], "lost")
        promised = [each["promised"] for each in groups]
        ax.plot(
            promised,
            places,
            linestyle="",
            marker="D",
            markersize=5,
            color=ORANGE,
            fillstyle="none",
            label="promised",
        )
        in_percent(ax, "x")
        framed(ax, "share lost, with its 90 % interval, and promised", "")

    off = [called(each) for each in groups if not each["lost"]["low"] <= each["promised"] <= each["lost"]["high"]]
    says = f"Promised and lost are further apart than chance explains for: {', '.join(off) or 'no group'}."
    alt = "; ".join(
        f"{called(each)}: promised {percent(each['promised'])}, lost {interval(each['lost'])}" for each in groups
    )
    return Plot(
        "Promised and lost, by group",
        HINTS["Promised and lost, by group"],
        says,
        f"Share lost by group. {alt}.",
        draw,
    )


def aucs(checks: Sequence[Figures]) -> list[Plot]:
    """Return how well it tells within each group, beside the champion where there is one."""
    held = [check for check in checks if check["name"].startswith("auc_") and check["interval"]]
    if not held:
        return []
    beside = held[0]["limit"] < 0

    def draw(ax: Axes) -> None:
        rows(ax, [check["words"].split(":")[0] for check in held])
        spread(ax, [check["figure"] for check in held], [check["interval"] for check in held], "this model")
        ax.axvline(held[0]["limit"], color=ORANGE, linewidth=1, linestyle="--", label="the gate's limit")
        framed(ax, "AUC less the champion's" if beside else "AUC", "")

    lowest = min(held, key=lambda check: check["figure"])
    says = f"Lowest: {lowest['words']}{between(lowest)}"
    alt = "; ".join(f"{check['words'].split(':')[0]} {check['figure']:+.3f}{between(check)}" for check in held)
    return [
        Plot(
            "AUC, by group",
            HINTS["AUC, by group"],
            f"{says}.",
            f"AUC by group{', less that of the champion' * beside}. {alt}.",
            draw,
        )
    ]


def drift(found: Figures) -> Plot:
    places = range(len(found["champion"]))

    def draw(ax: Axes) -> None:
        for shift, side in ((-0.2, "champion"), (0.2, "challenger")):
            name, colour, _ = SIDES[side]
            ax.bar([at + shift for at in places], found[side], width=0.4, color=colour, label=name)
        ax.set_xticks([at + 0.5 for at in places][:-1], [f"{edge:.1%}" for edge in found["edges"]], rotation=60)
        in_percent(ax, "y")
        framed(ax, "chance of default, by tenths of the champion's", "share of the loans")

    beyond = "more than chance explains" if found["psi"] > found["threshold"] else "no more than chance explains"
    says = f"PSI {found['psi']:.3f}, where chance leaves {found['threshold']:.3f} in 99 of 100 cases: {beyond}."
    alt = "; ".join(
        f"{percent(theirs)} of the champion's, {percent(ours)} of this model's"
        for theirs, ours in zip(found["champion"], found["challenger"], strict=True)
    )
    return Plot(
        "Drift against the champion",
        HINTS["Drift against the champion"],
        says,
        f"Shares of the scores by tenth, lowest first: {alt}.",
        draw,
    )
