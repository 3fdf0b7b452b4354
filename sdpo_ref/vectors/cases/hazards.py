"""Which bug a case catches, and what that bug does in training; shared by cases that catch the same one."""

from sdpo_ref.vectors.case import Hazard

DIRECTION = Hazard(
    "student and teacher swapped in the KL",
    "the student seeks one mode where it should cover the teacher, or the reverse: entropy and pass@k drift wrongly",
)
INTERIOR = Hazard(
    "mixture weights or coefficients of the interior divergence swapped",
    "another alpha is trained than the one configured; invisible at alpha = 0.5, up to eight times the loss elsewhere",
)
ENDS = Hazard(
    "the mixture formula used at alpha = 0 or 1, or the KL used near the ends",
    "at the ends the loss and its gradient vanish and nothing is learned; near them the step is 1/alpha too large",
)
LOG_MIXTURE = Hazard(
    "the mixture taken of log-probabilities, or the inner KL reversed",
    "the divergence is no Jensen-Shannon divergence: it is unbounded and over-weights tokens that one side excludes",
)
SUPPORT_MASS = Hazard(
    "top-k terms summed without tail and without renormalisation",
    "the sum is not a divergence: it can be negative and is lowered by draining mass from the compared tokens",
)
RENORMALISED = Hazard(
    "renormalisation on one side only, or a tail bucket where none belongs",
    "the student is pushed to move mass between the top-k tokens and the rest, which this support should leave free",
)
TOP_K_OWNER = Hazard(
    "the top-k of the wrong side, or each side's own top-k compared by position",
    "different tokens are compared with each other: the gradient points to a permutation of the teacher",
)
WHOLE_SUPPORT = Hazard(
    "k close to or above the vocabulary mishandled",
    "a crash, an empty tail bucket of mass zero that turns to NaN, or a divergence that misses the last token",
)
SMALL_TAIL = Hazard(
    "tail mass taken as 1 - sum, or clamped from below",
    "the student gets no gradient to empty a tail that the teacher excludes, so unlikely tokens keep being sampled",
)
PEAKED = Hazard(
    "probabilities formed before logarithms on peaked rows",
    "log 0 on confident tokens: infinite or NaN loss late in training, when most rows are peaked",
)
ZERO_MASS = Hazard(
    "0 times log 0 evaluated as NaN",
    "one masked vocabulary entry (padding of the vocabulary, grammar constraint) turns the whole update into NaN",
)
INFINITE = Hazard(
    "an infinite divergence reported as a finite number or NaN",
    "a student that excludes what the teacher asks for looks as if it had converged",
)
SAME = Hazard(
    "cancellation between nearly equal distributions",
    "noise of either sign in place of a small divergence: the loss never reaches zero and steps become random",
)
VOCABULARY = Hazard(
    "block sizes that do not divide the vocabulary",
    "the last tokens of the vocabulary are dropped or counted twice by blocked implementations",
)
SAMPLED = Hazard(
    "the sampled-token surrogate with a moving coefficient or another value",
    "its expected gradient is no longer that of the reverse KL",
)
RATIO = Hazard(
    "importance ratio clipped below, not truncated above, ignored, inverted, or not detached",
    "stale rollouts are weighted wrongly; a moving ratio adds a term that lowers the loss by making samples unlikely",
)
EXTREME_RATIO = Hazard(
    "exponential of the log-ratio without a clamp",
    "one rollout of another policy gives infinity or NaN and ends the run",
)
MASKS = Hazard(
    "a mask ignored: padding, or rows whose teacher saw no context",
    "the student is trained on padding, or pulled towards its own unconditioned copy",
)
POISON = Hazard(
    "masked positions multiplied by zero in place of left out",
    "an infinite value at a masked position becomes NaN in the loss, or only in the gradient, where it is not noticed",
)
AGGREGATION = Hazard(
    "another normaliser than the declared one",
    "the effective learning rate depends on padding, on completion length, or on how many rows have a teacher",
)
NOTHING = Hazard(
    "division by zero where no token counts",
    "NaN or a missing graph on a batch without usable feedback, which ends or hangs a distributed run",
)
TEMPERATURE = Hazard(
    "temperature applied to one side only, or not at all",
    "student and teacher never meet: the loss is positive even where both give the same logits",
)
EVERYTHING = Hazard(
    "two features that work alone and not together",
    "a configuration that no unit test covers trains on wrong numbers",
)
HYBRID = Hazard(
    "reward and distillation weighted the wrong way round, added, or normalised differently",
    "the configured balance is not the trained one: one of the two signals dominates or vanishes",
)
IMPLICIT_REWARD = Hazard(
    "sum and mean confused, sides swapped, or padding counted",
    "rewards depend on completion length or have the wrong sign, so ranking by them is wrong",
)
TRUST_REGION = Hazard(
    "probabilities mixed in place of log-probabilities, or the sides swapped",
    "the teacher is not the closest policy to the reference: it keeps tokens that one of the two excludes",
)
AVERAGE = Hazard(
    "update_rate on the wrong side, or updates missing, doubled or before the optimiser step",
    "the teacher is the live student or never moves: collapse in the first case, no bootstrapping in the second",
)
LISTS = Hazard(
    "what a server does not list taken for impossible, or left out on one side",
    "the student is trained to empty its tail, or to move mass between list and tail, which the teacher did not ask",
)
HEADS = Hazard(
    "a fused head whose logits or gradients are not those of a matrix product",
    "the head is trained otherwise than what is under it, or not at all, while the loss looks right",
)
