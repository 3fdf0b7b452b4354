"""The published study's experiments P01 to P07, what hangs on its open constants (P00), and the controls C01 to C08.

Cells of one experiment differ in what its table or control is about (spec/09-published-study, F and G).
"""

from collections.abc import Callable, Iterator, Mapping

from sdpo_ref.published.settings import BiasName, Constants, Control, FeedbackName, MethodName, PublishedSettings
from sdpo_ref.study.experiment import Cell, Experiment, Experiments, Label

FEEDBACKS: tuple[FeedbackName, ...] = ("binary", "ordinal", "continuous", "critique")
METHODS: tuple[MethodName, ...] = ("sdpo", "reinforce", "advantage_weighted")
"""The three that the publication's tables compare."""

RATES = (0.02, 0.06, 0.2, 0.6, 2.0, 6.0, 20.0)
"""Learning rates of control C03; the first is the published one."""


def _cell(settings: PublishedSettings, **labels: Label) -> Cell:
    return Cell(labels=labels, settings=settings)


_experiment = Experiments()


@_experiment(
    "P00",
    "What is left open",
    "How much do the published lead and its controls depend on what the publication does not state?",
)
def p00() -> Iterator[Cell]:
    """What hangs on each open constant: the lead, and the lead under the two controls that explain it."""
    choices: Mapping[str, tuple[Constants, ...]] = {
        "strength": tuple(Constants(strength=value) for value in (1.0, 1.25, 1.5, 1.75, 2.0)),
        "pattern_weight": tuple(Constants(pattern_weight=value) for value in (0.0, 0.25, 0.5, 1.0)),
        "neighbour_spread": tuple(Constants(neighbour_spread=value) for value in (0.0, 0.3, 0.6)),
    }
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
    for gate in (0.05, 0.1, 0.15, 0.2, 0.25):
        hybrid = PublishedSettings(method="hybrid", noise=0.2, constants=Constants(gate=gate))
        yield _cell(hybrid, constant="gate", value=gate, arm="hybrid")
    for reading in ("all", "without token 0"):
        of_length = Constants.model_validate({"effective_length": reading})
        yield _cell(
            PublishedSettings(constants=of_length, bias="length"),
            constant="effective_length",
            value=reading,
            arm="sdpo",
        )


@_experiment(
    "P01",
    "Four kinds of feedback (published)",
    "Does SDPO end with more reward and better credit than the baselines, and at which entropy?",
)
def p01() -> Iterator[Cell]:
    """Three methods under four kinds of feedback. Implements: PUB-040."""
    for feedback in FEEDBACKS:
        for method in METHODS:
            yield _cell(PublishedSettings(method=method, feedback=feedback), method=method, feedback=feedback)


@_experiment("P02", "The pull (published)", "Does the weight of the pull trade reward for entropy?")
def p02() -> Iterator[Cell]:
    """The pull towards the start."""
    for pull in (0.001, 0.005, 0.01, 0.02, 0.05, 0.1):
        yield _cell(PublishedSettings(pull=pull), pull=pull)


@_experiment("P03", "Noise (published)", "How much do reward, lead and credit lose as ratings get noisier?")
def p03() -> Iterator[Cell]:
    """Noise in the ratings."""
    for noise in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5):
        for method in METHODS:
            yield _cell(PublishedSettings(method=method, noise=noise), method=method, noise=noise)


@_experiment(
    "P04", "Biases (published)", "Does SDPO stay ahead when ratings are biased, and is it helped by positivity?"
)
def p04() -> Iterator[Cell]:
    """Biases of the rating."""
    biases: tuple[BiasName, ...] = ("none", "length", "positivity", "anchoring")
    for bias in biases:
        for method in ("sdpo", "reinforce"):
            yield _cell(PublishedSettings(method=method, bias=bias), method=method, bias=bias)


@_experiment("P05", "Size (published)", "Does the lead shrink with the vocabulary and the length?")
def p05() -> Iterator[Cell]:
    """Size at one learning rate."""
    for vocab in (4, 8, 16, 32):
        for time in (4, 6, 8, 12):
            for method in ("sdpo", "reinforce"):
                yield _cell(
                    PublishedSettings(method=method, vocab=vocab, time=time),
                    method=method,
                    vocab=float(vocab),
                    time=float(time),
                )


@_experiment(
    "P06", "The hybrid (published)", "Does the hybrid do better than SDPO under noise, and how does its weight move?"
)
def p06() -> Iterator[Cell]:
    """The hybrid at noise 0.2."""
    for feedback in ("continuous", "critique"):
        for method in ("sdpo", "hybrid", "reinforce"):
            yield _cell(
                PublishedSettings(method=method, feedback=feedback, noise=0.2), method=method, feedback=feedback
            )


@_experiment("P07", "Seeds (published)", "How far do seeds differ, and how early is SDPO ahead?")
@_experiment(
    "C04", "The sign of credit", "Is the published credit of REINFORCE that of the gradient in place of its negative?"
)
def p07() -> Iterator[Cell]:
    """Spread over seeds, and the sign of credit; runs of P01."""
    for method in METHODS:
        yield _cell(PublishedSettings(method=method), method=method)


@_experiment("C01", "Without feedback", "How much of the published lead is left without feedback?")
def c01() -> Iterator[Cell]:
    """Feedback that says nothing, or is another rollout's."""
    yield _cell(PublishedSettings(), arm="sdpo")
    yield _cell(PublishedSettings(control=Control(feedback="other")), arm="another rollout's")
    for level in (0.25, 0.5, 0.6, 0.75, 1.0):
        yield _cell(PublishedSettings(control=Control(feedback=level)), arm=f"constant {level:g}")
    yield _cell(PublishedSettings(method="reinforce"), arm="reinforce")


@_experiment(
    "C02",
    "What the teacher is told",
    "How does the lead follow the correlation of what the teacher is told with the truth?",
)
def c02() -> Iterator[Cell]:
    """A teacher that knows part of the truth."""
    for told in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield _cell(PublishedSettings(control=Control(told=told)), told=told)
    yield _cell(PublishedSettings(method="reinforce"), told="reinforce")


@_experiment(
    "C03", "Tuned rates", "What does every method reach at its own best learning rate on the published budget?"
)
@_experiment(
    "C08",
    "Entropy at equal reward",
    "How much entropy has each method left at the reward that SDPO reaches as published?",
)
def c03() -> Iterator[Cell]:
    """Learning rates on the published budget, for reward and for entropy at equal reward."""
    for method in METHODS:
        for rate in RATES:
            yield _cell(PublishedSettings(method=method, learning_rate=rate), method=method, learning_rate=rate)


@_experiment("C05", "Hints", "Does a critique's hint change anything, as published and at the sampled token alone?")
def c05() -> Iterator[Cell]:
    """Hints that a softmax can see."""
    yield _cell(PublishedSettings(), hints="none")
    yield _cell(PublishedSettings(feedback="critique"), hints="position")
    yield _cell(PublishedSettings(feedback="critique", control=Control(hints="token")), hints="token")


@_experiment(
    "C06", "Equal mean feedback", "What is left of the effects of bias and noise once the mean feedback is the same?"
)
def c06() -> Iterator[Cell]:
    """Positivity and noise at equal mean feedback."""
    yield _cell(PublishedSettings(), change="none", mean="own")
    for mean in ("own", "equal"):
        control = Control(equal_mean=mean == "equal")
        yield _cell(PublishedSettings(bias="positivity", control=control), change="positivity", mean=mean)
        yield _cell(PublishedSettings(bias="length", control=control), change="length", mean=mean)
        yield _cell(PublishedSettings(noise=0.5, control=control), change="noise .5", mean=mean)
        yield _cell(PublishedSettings(feedback="binary", noise=0.5, control=control), change="binary .5", mean=mean)
    yield _cell(PublishedSettings(feedback="binary"), change="binary", mean="own")


@_experiment(
    "C07", "Size at equal steps", "Does the lead shrink with the vocabulary when the learning rate grows with it?"
)
def c07() -> Iterator[Cell]:
    """Size with the rate scaled to the vocabulary."""
    for vocab in (4, 8, 16, 32):
        for method in ("sdpo", "reinforce"):
            yield _cell(
                PublishedSettings(method=method, vocab=vocab, learning_rate=0.02 * vocab / 8),
                method=method,
                vocab=float(vocab),
            )


PUBLISHED: Mapping[str, Callable[[], Experiment]] = {
    name: _experiment[name] for name in sorted(_experiment, key=lambda name: (name[0] == "C", name))
}
"""Id to experiment: the publication's own, then the controls."""
