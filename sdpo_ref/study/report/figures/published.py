"""The publication's own experiments, P01 to P07: its numbers as hollow diamonds beside ours."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdpo_ref.study.experiment import Observation
from sdpo_ref.study.observations import by_seed, names_along, numbers_along, select
from sdpo_ref.study.report.figures.beside import (
    NOUNS,
    READ,
    Cell,
    Column,
    column,
    diamond,
    diamonds,
    numbers,
    published_effects,
    rows,
)
from sdpo_ref.study.report.figures.comparisons import along
from sdpo_ref.study.report.figures.figure import ReportFigure
from sdpo_ref.study.report.figures.marks import row, sweep
from sdpo_ref.study.report.figures.panels import finished, grid
from sdpo_ref.study.report.figures.style import FAINT, INK, in_order, label_of, look, marked_line
from sdpo_ref.study.report.outside import Published
from sdpo_ref.study.summary import Estimate, differences, estimate, standard_deviation

SCALE = "The reward is the true one, on its own scale from 0 to 1; axes do not begin at 0."


def lead(observations: Sequence[Observation]) -> Estimate | None:
    """SDPO's final reward minus REINFORCE's, paired by seed.

    Args:
        observations: distinguished by ``method`` alone.
    """
    return estimate(list(lead_by_seed(observations).values()))


def lead_by_seed(observations: Sequence[Observation]) -> dict[int, float]:
    """The same, seed by seed."""
    own, others = (by_seed(select(observations, method=name), "final_reward") for name in ("sdpo", "reinforce"))
    return differences(own, others)


def _kinds(observations: Sequence[Observation], published: Sequence[Published]) -> Figure:
    """Reward, credit and entropy; a row for each method under each kind of feedback."""
    feedbacks, methods = names_along(observations, "feedback"), in_order(names_along(observations, "method"))
    cells = [
        Cell(f"{label_of(method)}, {feedback}", {"method": method, "feedback": feedback}, look(method))
        for method in methods
        for feedback in feedbacks
    ]
    panels = [
        column(observations, metric, numbers(published, "P01", metric), line=0.0 if metric == "credit" else None)
        for metric in ("final_reward", "credit", "final_entropy")
    ]
    return rows(cells, panels, gaps=range(len(feedbacks), len(cells), len(feedbacks)))


def _pull(observations: Sequence[Observation], published: Sequence[Published]) -> Figure:
    """Left reward, right entropy, along the weight."""
    figure, [panels] = grid(1, 2, height=2.9, sharey=False)
    for axes, metric in zip(panels, ("final_reward", "final_entropy"), strict=True):
        sweep(axes, along(observations, "pull", metric), look("sdpo"))
        diamonds(axes, numbers(published, "P02", metric), "pull")
        axes.set_xscale("log")
        weights = numbers_along(observations, "pull")
        axes.set_xticks(weights, [f"{weight:g}" for weight in weights])
        axes.minorticks_off()
        axes.set_ylabel(NOUNS[metric])
    figure.supxlabel("weight of the pull towards the start")
    return finished(figure, [panels], _named(["sdpo"], published, "P02"))


def _noise(observations: Sequence[Observation], published: Sequence[Published]) -> Figure:
    """Rewards, the lead, and credit, along the noise."""
    methods = in_order(names_along(observations, "method"))
    figure, [panels] = grid(1, 3, height=3.0, sharey=False)
    rewards, leads, credits_ = panels
    for method in reversed(methods):
        own = select(observations, method=method)
        sweep(rewards, along(own, "noise", "final_reward"), look(method))
        sweep(credits_, along(own, "noise", "credit"), look(method))
    levels = numbers_along(observations, "noise")
    sweep(leads, {level: lead(select(observations, noise=level)) for level in levels}, look("sdpo"))
    leads.set_ylim(bottom=0.0)
    for axes, metric, kind in ((rewards, "final_reward", "value"), (leads, "final_reward", "lead")):
        diamonds(axes, numbers(published, "P03", metric, kind), "noise")
    diamonds(credits_, numbers(published, "P03", "credit"), "noise")
    for axes, title in zip(panels, ("final reward", "lead over REINFORCE", "credit"), strict=True):
        axes.set_ylabel(title)
        axes.set_xticks([0.0, 0.1, 0.2, 0.3, 0.5], ["0", ".1", ".2", ".3", ".5"])
    figure.supxlabel("standard deviation of the noise in ratings (of a scale from 0 to 1)")
    return finished(figure, [panels], _named(methods, published, "P03"))


def _bias(observations: Sequence[Observation], published: Sequence[Published]) -> Figure:
    """Rewards and credit of both methods, and the lead; a pair of rows for each bias."""
    biases, methods = names_along(observations, "bias"), in_order(names_along(observations, "method"))
    cells = [
        Cell(f"{'no bias' if bias == 'none' else bias}, {label_of(method)}", {"bias": bias, "method": method}, its)
        for bias in biases
        for method, its in ((method, look(method)) for method in methods)
    ]

    def of_sdpo(cell: Cell) -> bool:
        return cell.labels["method"] == "sdpo"

    leads = numbers(published, "P04", "final_reward", "lead")
    panels = [
        column(observations, "final_reward", numbers(published, "P04", "final_reward")),
        Column(
            "lead over REINFORCE",
            lambda cell: lead_by_seed(select(observations, bias=cell.labels["bias"])) if of_sdpo(cell) else {},
            lambda cell: [one for one in leads if one.cell.items() <= cell.labels.items()],
            0.0,
        ),
        column(observations, "credit", numbers(published, "P04", "credit")),
    ]
    return rows(cells, panels, gaps=range(len(methods), len(cells), len(methods)))


def _size(observations: Sequence[Observation], published: Sequence[Published]) -> Figure:
    """The lead along the vocabulary; a panel for each length, and one for their mean."""
    lengths, sizes = numbers_along(observations, "time"), numbers_along(observations, "vocab")
    figure, [panels] = grid(1, len(lengths) + 1, height=2.9)
    leads = numbers(published, "P05", "final_reward", "lead")
    for axes, length in zip(panels, lengths, strict=False):
        here = select(observations, time=length)
        sweep(axes, {size: lead(select(here, vocab=size)) for size in sizes}, look("sdpo"))
        diamonds(axes, [one for one in leads if one.cell.get("time") == length], "vocab")
        axes.set_title(f"length {length:g}")
    each = [{size: lead_by_seed(select(observations, time=length, vocab=size)) for size in sizes} for length in lengths]
    sweep(panels[-1], {size: _mean_lead([by_size[size] for by_size in each]) for size in sizes}, look("sdpo"))
    diamonds(panels[-1], [one for one in leads if one.mean_over], "vocab")
    panels[-1].set_title("mean of these")
    for axes in panels:
        sizes_along(axes, sizes)
    panels[0].set_ylim(bottom=0.0)
    panels[0].set_ylabel("lead over REINFORCE")
    figure.supxlabel("size of the vocabulary (tokens)")
    return finished(figure, [panels], _named(["sdpo"], published, "P05"))


def _mean_lead(leads: Sequence[dict[int, float]]) -> Estimate | None:
    seeds = sorted(set.intersection(*map(set, leads))) if leads else []
    return estimate([sum(one[seed] for one in leads) / len(leads) for seed in seeds])


def sizes_along(axes: Axes, sizes: Sequence[float]) -> None:
    """A tick at each size of the vocabulary, one doubling as wide as another."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(sizes), [f"{size:g}" for size in sizes])
    axes.minorticks_off()


def _hybrid(observations: Sequence[Observation], published: Sequence[Published]) -> Figure:
    """Reward, entropy, and the hybrid's weight at both ends of the run."""
    feedbacks, methods = names_along(observations, "feedback"), in_order(names_along(observations, "method"))
    cells = [
        Cell(f"{label_of(method)}, {feedback}", {"method": method, "feedback": feedback}, look(method))
        for feedback in feedbacks
        for method in methods
    ]
    metrics = ("final_reward", "final_entropy", "weight_first", "weight_last")
    panels = [column(observations, metric, numbers(published, "P06", metric)) for metric in metrics]
    drawn = rows(cells, panels, gaps=range(len(methods), len(cells), len(methods)))
    for axes in drawn.axes[2:]:
        axes.set_xlim(0.4, 1.04)
    return drawn


def _seeds(observations: Sequence[Observation], published: Sequence[Published]) -> Figure:
    """Left learning curves with the spread over seeds, right every seed's final reward."""
    methods = in_order(names_along(observations, "method"))
    figure, [[left, right]] = grid(1, 2, height=3.3, sharex=False, sharey=False)
    left.axvspan(30, 50, color=FAINT, alpha=0.18, linewidth=0)
    left.annotate(
        "steps 30 to 50",
        (50, 0.94),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=7.5,
    )
    for method in reversed(methods):
        _spread(left, select(observations, method=method), method)
    means = numbers(published, "P07", "final_reward")
    spreads = [one for one in published if one.experiment == "P07" and one.statistic == "deviation"]
    for place, method in enumerate(methods):
        row(right, float(place), by_seed(select(observations, method=method), "final_reward"), look(method))
        for one in (one for one in means if one.cell["method"] == method):
            for spread in (spread for spread in spreads if spread.cell["method"] == method):
                ends = [one.middle - spread.middle, one.middle + spread.middle]
                right.plot(ends, [place - 0.24] * 2, color=INK, linewidth=0.9)
            diamond(right, one.middle, place - 0.24)
    left.set_xlabel("step")
    left.set_ylabel("reward of what is sampled")
    right.set_xlabel("final reward")
    right.set_yticks(range(len(methods)), [label_of(method) for method in methods])
    right.set_ylim(len(methods) - 0.5, -0.6)
    right.grid(visible=False, axis="y")
    return finished(figure, [[left, right]], _named(methods, published, "P07"))


def _spread(axes: Axes, observations: Sequence[Observation], method: str) -> None:
    """Mean curve, and one standard deviation over seeds to both sides."""
    curves = [one.outcome.curve for one in observations if one.outcome.curve is not None and one.outcome.error is None]
    if not curves:
        return
    steps = curves[0].step
    columns = [[curve.reward[place] for curve in curves] for place in range(len(steps))]
    means = [sum(values) / len(values) for values in columns]
    axes.plot(steps, means, **marked_line(look(method), size=3.5), markevery=6)
    spreads = [standard_deviation(values) or 0.0 for values in columns]
    low, high = ([mean + sign * spread for mean, spread in zip(means, spreads, strict=True)] for sign in (-1, 1))
    axes.fill_between(steps, low, high, color=look(method).color, alpha=0.15, linewidth=0)


def _named(names: Sequence[str], published: Sequence[Published], experiment: str) -> list[str]:
    """For the legend."""
    return [*names, *(["published"] if any(one.experiment == experiment for one in published) else [])]


_POINTS = "Marks are our means over seeds with 95 % intervals; hollow diamonds are the published numbers."


def published_figures(published: Sequence[Published]) -> tuple[ReportFigure, ...]:
    """Figures of P01 to P07.

    Args:
        published: numbers to be marked in them.
    """
    return (
        ReportFigure(
            name="kinds",
            experiment="P01",
            title="Reward, credit and entropy (published study)",
            question="Who ends with more reward, whose update tracks what tokens are worth, and at which entropy?",
            caption=(
                f"{READ} {SCALE} Credit is the correlation of the update of the logits with true advantages; where "
                "diamonds lie as far left of the line as our marks lie right of it, the publication prints the "
                "credit of the gradient in place of its negative (C04)."
            ),
            draw=partial(_kinds, published=published),
            effects=partial(published_effects, published=published, experiment="P01"),
        ),
        ReportFigure(
            name="pull",
            experiment="P02",
            title="The pull (published study)",
            question="Does the weight of the pull trade reward for entropy?",
            caption=(
                f"{_POINTS} {SCALE} Ours differ from weight to weight by thousandths on the same seeds, and single "
                "seeds by a tenth: intervals are those of the seeds and not of the differences."
            ),
            draw=partial(_pull, published=published),
            effects=partial(published_effects, published=published, experiment="P02"),
        ),
        ReportFigure(
            name="published_noise",
            experiment="P03",
            title="Noise (published study)",
            question="How much do reward, lead and credit lose as ratings get noisier?",
            caption=(
                f"{_POINTS} {SCALE} The publication gives two numbers for credit at noise .5, one in its text and "
                "one in its figure."
            ),
            draw=partial(_noise, published=published),
            effects=partial(published_effects, published=published, experiment="P03"),
        ),
        ReportFigure(
            name="published_bias",
            experiment="P04",
            title="Biases (published study)",
            question="Does SDPO stay ahead when ratings are biased, and is it helped by positivity?",
            caption=f"{READ} {SCALE}",
            draw=partial(_bias, published=published),
            effects=partial(published_effects, published=published, experiment="P04"),
        ),
        ReportFigure(
            name="size",
            experiment="P05",
            title="Size (published study)",
            question="Does the lead shrink with the vocabulary and the length?",
            caption=(
                f"{_POINTS} One learning rate for all sizes, as published. The next figure has the same axis with "
                "equal steps."
            ),
            draw=partial(_size, published=published),
            effects=partial(published_effects, published=published, experiment="P05"),
        ),
        ReportFigure(
            name="published_hybrid",
            experiment="P06",
            title="The hybrid (published study)",
            question="Does the hybrid do better than SDPO under noise, and how does its weight move?",
            caption=(
                f"{READ} Noise is .2. The weight is the share of SDPO in the hybrid's gradient; a published range is "
                f"marked at its middle. {SCALE}"
            ),
            draw=partial(_hybrid, published=published),
            effects=partial(published_effects, published=published, experiment="P06"),
        ),
        ReportFigure(
            name="published_seeds",
            experiment="P07",
            title="Seeds and convergence (published study)",
            question="How far do seeds differ, and how early is SDPO ahead?",
            caption=(
                "Left: mean reward of what is sampled, and as a band one standard deviation over seeds to both "
                "sides. Right: large marks are our means with 95 % intervals, small dots single seeds, hollow "
                "diamonds the published means over five seeds, with one published standard deviation to both sides."
            ),
            draw=partial(_seeds, published=published),
            effects=partial(published_effects, published=published, experiment="P07"),
        ),
    )
