"""The published study's experiments P01 to P07, what hangs on its open constants (P00), and the controls C01 to C08.

Cells of one experiment differ in what its table or control is about (spec/09-published-study, F and G).
"""

from collections.abc import Callable, Iterator, Mapping

from sdpo_ref.published.settings import BiasName, Constants, Control, FeedbackName, MethodName, PublishedSettings
from sdpo_ref.study.experiment import Cell, Experiment, Label

FEEDBACKS: tuple[FeedbackName, ...] = ("binary", "ordinal", "continuous", "critique")
METHODS: tuple[MethodName, ...] = ("sdpo", "reinforce", "advantage_weighted")
"""The three that the publication's tables compare."""

RATES = (0.02, 0.06, 0.2, 0.6, 2.0, 6.0, 20.0)
"""Learning rates of control C03; the first is the published one."""


def _cell(settings: PublishedSettings, **labels: Label) -> Cell:
    return Cell(labels=labels, settings=settings)


def p00() -> Experiment:
    """What hangs on each open constant: the lead, and the lead under the two controls that explain it."""
    choices: Mapping[str, tuple[Constants, ...]] = {
        "strength": tuple(Constants(strength=value) for value in (1.0, 1.25, 1.5, 1.75, 2.0)),
        "pattern_weight": tuple(Constants(pattern_weight=value) for value in (0.0, 0.25, 0.5, 1.0)),
        "neighbour_spread": tuple(Constants(neighbour_spread=value) for value in (0.0, 0.3, 0.6)),
    }

    def cells() -> Iterator[Cell]:
        for name, constants in choices.items():
            for one in constants:
                value = getattr(one, name)
                arms = {
                    "sdpo": PublishedSettings(constants=one),
                    "constant feedback": PublishedSettings(constants=one, control=Control(feedback=0.5)),
                    "untold teacher": PublishedSettings(constants=one, control=Control(told=0.0)),
                    "reinforce": PublishedSettings(constants=one, method="reinforce"),
                }
                for arm, settings in arms.items():
                    yield _cell(settings, constant=name, value=value, arm=arm)
        for reading in ("all", "without token 0"):
            of_length = Constants.model_validate({"effective_length": reading})
            yield _cell(
                PublishedSettings(constants=of_length, bias="length"),
                constant="effective_length",
                value=reading,
                arm="sdpo",
            )

    return Experiment(
        name="P00",
        title="What is left open",
        question="How much do the published lead and its controls depend on what the publication does not state?",
        cells=tuple(cells()),
    )


def p01() -> Experiment:
    """Three methods under four kinds of feedback. Implements: PUB-040."""
    return Experiment(
        name="P01",
        title="Four kinds of feedback (published)",
        question="Does SDPO end with more reward and better credit than the baselines, and at which entropy?",
        cells=tuple(
            _cell(PublishedSettings(method=method, feedback=feedback), method=method, feedback=feedback)
            for feedback in FEEDBACKS
            for method in METHODS
        ),
    )


def p02() -> Experiment:
    """The pull towards the start."""
    return Experiment(
        name="P02",
        title="The pull (published)",
        question="Does the weight of the pull trade reward for entropy?",
        cells=tuple(_cell(PublishedSettings(pull=pull), pull=pull) for pull in (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)),
    )


def p03() -> Experiment:
    """Noise in the ratings."""
    return Experiment(
        name="P03",
        title="Noise (published)",
        question="How much do reward, lead and credit lose as ratings get noisier?",
        cells=tuple(
            _cell(PublishedSettings(method=method, noise=noise), method=method, noise=noise)
            for noise in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
            for method in METHODS
        ),
    )


def p04() -> Experiment:
    """Biases of the rating."""
    biases: tuple[BiasName, ...] = ("none", "length", "positivity", "anchoring")
    return Experiment(
        name="P04",
        title="Biases (published)",
        question="Does SDPO stay ahead when ratings are biased, and is it helped by positivity?",
        cells=tuple(
            _cell(PublishedSettings(method=method, bias=bias), method=method, bias=bias)
            for bias in biases
            for method in ("sdpo", "reinforce")
        ),
    )


def p05() -> Experiment:
    """Size at one learning rate."""
    return Experiment(
        name="P05",
        title="Size (published)",
        question="Does the lead shrink with the vocabulary and the length?",
        cells=tuple(
            _cell(
                PublishedSettings(method=method, vocab=vocab, time=time),
                method=method,
                vocab=float(vocab),
                time=float(time),
            )
            for vocab in (4, 8, 16, 32)
            for time in (4, 6, 8, 12)
            for method in ("sdpo", "reinforce")
        ),
    )


def p06() -> Experiment:
    """The hybrid at noise 0.2."""
    return Experiment(
        name="P06",
        title="The hybrid (published)",
        question="Does the hybrid do better than SDPO under noise, and how does its weight move?",
        cells=tuple(
            _cell(PublishedSettings(method=method, feedback=feedback, noise=0.2), method=method, feedback=feedback)
            for feedback in ("continuous", "critique")
            for method in ("sdpo", "hybrid", "reinforce")
        ),
    )


def p07() -> Experiment:
    """Spread over seeds; runs of P01."""
    return Experiment(
        name="P07",
        title="Seeds (published)",
        question="How far do seeds differ, and how early is SDPO ahead?",
        cells=tuple(_cell(PublishedSettings(method=method), method=method) for method in METHODS),
    )


def c01() -> Experiment:
    """Feedback that says nothing, or is another rollout's."""
    return Experiment(
        name="C01",
        title="Without feedback",
        question="How much of the published lead is left without feedback?",
        cells=(
            _cell(PublishedSettings(), arm="sdpo"),
            _cell(PublishedSettings(control=Control(feedback="other")), arm="another rollout's"),
            *(
                _cell(PublishedSettings(control=Control(feedback=level)), arm=f"constant {level:g}")
                for level in (0.25, 0.5, 0.6, 0.75, 1.0)
            ),
            _cell(PublishedSettings(method="reinforce"), arm="reinforce"),
        ),
    )


def c02() -> Experiment:
    """A teacher that knows part of the truth."""
    return Experiment(
        name="C02",
        title="What the teacher is told",
        question="How does the lead follow the correlation of what the teacher is told with the truth?",
        cells=(
            *(_cell(PublishedSettings(control=Control(told=told)), told=told) for told in (0.0, 0.25, 0.5, 0.75, 1.0)),
            _cell(PublishedSettings(method="reinforce"), told="reinforce"),
        ),
    )


def c03() -> Experiment:
    """Learning rates on the published budget."""
    return Experiment(
        name="C03",
        title="Tuned rates",
        question="What does every method reach at its own best learning rate on the published budget?",
        cells=tuple(
            _cell(PublishedSettings(method=method, learning_rate=rate), method=method, learning_rate=rate)
            for method in METHODS
            for rate in RATES
        ),
    )


def c04() -> Experiment:
    """The sign of credit; runs of P01."""
    return Experiment(
        name="C04",
        title="The sign of credit",
        question="Is the published credit of REINFORCE that of the gradient in place of its negative?",
        cells=tuple(_cell(PublishedSettings(method=method), method=method) for method in METHODS),
    )


def c05() -> Experiment:
    """Hints that a softmax can see."""
    return Experiment(
        name="C05",
        title="Hints",
        question="Does a critique's hint change anything, as published and at the sampled token alone?",
        cells=(
            _cell(PublishedSettings(), hints="none"),
            _cell(PublishedSettings(feedback="critique"), hints="position"),
            _cell(PublishedSettings(feedback="critique", control=Control(hints="token")), hints="token"),
        ),
    )


def c06() -> Experiment:
    """Positivity and noise at equal mean feedback."""

    def cells() -> Iterator[Cell]:
        yield _cell(PublishedSettings(), change="none", mean="own")
        for mean in ("own", "equal"):
            control = Control(equal_mean=mean == "equal")
            yield _cell(PublishedSettings(bias="positivity", control=control), change="positivity", mean=mean)
            yield _cell(PublishedSettings(bias="length", control=control), change="length", mean=mean)
            yield _cell(PublishedSettings(noise=0.5, control=control), change="noise .5", mean=mean)
            yield _cell(PublishedSettings(feedback="binary", noise=0.5, control=control), change="binary .5", mean=mean)
        yield _cell(PublishedSettings(feedback="binary"), change="binary", mean="own")

    return Experiment(
        name="C06",
        title="Equal mean feedback",
        question="What is left of the effects of bias and noise once the mean feedback is the same?",
        cells=tuple(cells()),
    )


def c07() -> Experiment:
    """Size with the rate scaled to the vocabulary."""
    return Experiment(
        name="C07",
        title="Size at equal steps",
        question="Does the lead shrink with the vocabulary when the learning rate grows with it?",
        cells=tuple(
            _cell(
                PublishedSettings(method=method, vocab=vocab, learning_rate=0.02 * vocab / 8),
                method=method,
                vocab=float(vocab),
            )
            for vocab in (4, 8, 16, 32)
            for method in ("sdpo", "reinforce")
        ),
    )


def c08() -> Experiment:
    """Entropy at equal reward; runs of C03."""
    return c03().model_copy(
        update={
            "name": "C08",
            "title": "Entropy at equal reward",
            "question": "How much entropy has each method left at the reward that SDPO reaches as published?",
        }
    )


PUBLISHED: Mapping[str, Callable[[], Experiment]] = {
    make.__name__.upper(): make
    for make in (p00, p01, p02, p03, p04, p05, p06, p07, c01, c02, c03, c04, c05, c06, c07, c08)
}
"""Id to experiment: the publication's own, then the controls."""
