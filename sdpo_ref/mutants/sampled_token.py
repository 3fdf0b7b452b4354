"""Defects of the sampled-token surrogate (spec/04-loss, C)."""

from collections.abc import Callable

from torch import Tensor

from sdpo_ref.functional.log_probs import log_probs, token_log_probs
from sdpo_ref.mutants.mutant import Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.mutants.variation import Options, good, loss
from sdpo_ref.types import DistillationBatch

FILE = "functional/sampled_token.py"

chapter = Chapter()


def sampled(surrogate: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A loss with another surrogate, on token mean."""

    def part(batch: DistillationBatch, options: Options) -> Tensor:
        if options["support"].kind != "sampled_token":
            return good(batch, options)
        s, t = log_probs(batch.student_logits), log_probs(batch.teacher_logits.detach())
        tokens = surrogate(token_log_probs(s, batch.completions), token_log_probs(t, batch.completions))
        return (tokens * batch.loss_mask).sum() / batch.loss_mask.sum().clamp(min=1)

    return loss(part)


chapter.family("surrogate on the sampled token")
chapter.enter(
    "M071 surrogate_not_stopped: LOSS-030 LOSS-031",
    "the log-ratio in front carries gradient",
    "the expected gradient is not that of the reverse KL",
    loss=sampled(lambda s, t: (s - t) * s),
)
chapter.enter(
    "M072 divergence_as_advantage: LOSS-031",
    "a number that is never negative is used as the advantage",
    "every sampled token is pushed down, right ones as well",
    loss=sampled(lambda s, t: (s - t).detach().square() * s),
    seen_in="kfallah/CLaaS#1 modelscope/Trinity-RFT#499",
)
chapter.enter(
    "M073 sampled_sign: LOSS-030 LOSS-031",
    "the sign of the advantage is flipped",
    "the student runs from its teacher",
    loss=sampled(lambda s, t: (t - s).detach() * s),
)
chapter.enter(
    "M074 differentiated_directly: LOSS-030 LOSS-031",
    "the log-ratio itself is minimised",
    "the expected gradient is zero: nothing is learned",
    Planted(
        FILE, "return log_ratio * student_token_log_probs", "return student_token_log_probs - teacher_token_log_probs"
    ),
)
chapter.enter(
    "M075 k3_on_the_sampled_token: LOSS-030 LOSS-031",
    "the estimator r - 1 - log r is differentiated",
    "an unbiased value with the gradient of the forward KL",
    Planted(
        FILE,
        "return log_ratio * student_token_log_probs",
        "gap = teacher_token_log_probs - student_token_log_probs\n    return gap.exp() - 1 - gap",
    ),
)
chapter.enter(
    "M076 advantage_is_a_sign: LOSS-030 LOSS-031",
    "only the sign of the advantage is kept",
    "tokens on which both agree are pushed as hard as gross mistakes",
    Planted(FILE, "return log_ratio * student_token_log_probs", "return log_ratio.sign() * student_token_log_probs"),
)
chapter.family("what must be refused")
chapter.enter(
    "M077 sampled_any_alpha: LOSS-032",
    "the surrogate is used with an alpha other than one",
    "the run is reported as forward KL and is reverse KL",
    loss=loss(lambda b, o: good(b, {**o, "alpha": 1.0} if o["support"].kind == "sampled_token" else o)),
    seen_in="sdpo-rl-0.0.3",
)
