"""The foreign defects with their true names: the ids of mutants that have the same defect, or none if no mutant has it.

The thresholds of the diagnosis were set on the first half and frozen before the second half was written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tools.foreign import flat, small
from tools.foreign.flat import Flat
from tools.foreign.handmade import handmade
from tools.foreign.loop import Loop
from tools.foreign.padded import Padded
from tools.foreign.reader import Reader


@dataclass(frozen=True)
class Foreign:
    """An implementation with a defect.

    Attributes:
        name: permanent.
        make: makes it.
        truth: ids of the mutants that have this defect, or ``cause:`` with a word of the sentence of a cause.
            Empty: nothing may be named.
        half: 1 or 2.
    """

    name: str
    make: Callable[[], object]
    truth: frozenset[str]
    half: int


def _entries(half: int, *entries: tuple[str, str, Callable[[], object]]) -> tuple[Foreign, ...]:
    return tuple(Foreign(name, make, frozenset(truth.split()), half) for name, truth, make in entries)


FIRST = _entries(
    1,
    ("kl_div_the_wrong_way_round", "M001 M004", partial(Flat, flat.arguments_of_kl_div)),
    ("beta_of_the_other_paper", "M006 M007 M008", partial(Flat, flat.beta_of_the_other_paper)),
    ("mixture_by_lerp", "M010", partial(Flat, flat.mixture_by_lerp)),
    ("teacher_at_temperature_one", "M150", partial(Flat, teacher_heat=0)),
    ("hinton", "M153", partial(Flat, loss_heat=2)),
    ("teacher_on_the_graph", "M141 M142", partial(Flat, keeps_teacher=True)),
    ("mean_of_everything", "M020", partial(Flat, flat.mean_of_everything)),
    ("smoothed_teacher", "", partial(Flat, smoothing=0.05)),
    ("entropy_bonus", "", partial(Flat, flat.cross_entropy_bonus)),
    ("mask_by_product", "M106 M107", partial(Padded, mask="times")),
    ("mean_of_rows", "M122", partial(Padded, denominator="rows")),
    ("sampled_tokens_in_the_denominator", "M125", partial(Padded, denominator="sampled")),
    ("mask_one_late", "M103", partial(Padded, shift=1)),
    ("living_ratio", "M081 M082", partial(Padded, weight="alive")),
    ("ratio_cut_on_both_sides", "M084 M085", partial(Padded, weight="both")),
    ("tail_by_complement", "M043 M044", partial(Padded, tail="complement")),
    ("k3_on_the_sampled_token", "M075", partial(Padded, estimator="k3")),
    ("no_temperature_in_backward", "M149", partial(handmade, "no_heat")),
    ("backward_is_deaf", "M148", partial(handmade, "deaf")),
    ("last_success", "M226", partial(Reader, pick="last")),
    ("feedback_always", "M232 M234", partial(Reader, note="always")),
    ("rate_for_decay", "M281", partial(Loop, average="swapped")),
    ("logits_at_their_token", "M321", partial(Loop, look=0)),
    ("standardised_reward", "M171", partial(small.hybrid, "deviation")),
    ("lambda_for_the_teacher", "M176 M177", partial(small.hybrid, "other_way")),
    ("mean_credit", "M192", partial(small.credit, "mean")),
    ("without_the_end", "M203 M207", partial(small.ends, "without_the_end")),
    ("ends_only", "cause:NotImplementedError", partial(small.broken, "not_implemented")),
    ("float32_inside", "cause:float32", partial(small.broken, "float32")),
    ("all_nan", "cause:NaN M364", partial(small.broken, "nan")),
    ("refuses_all", "cause:refuses M370 M371", partial(small.broken, "refuses")),
)
SECOND = _entries(
    2,
    ("only_forward", "M003", partial(Flat, flat.only_forward)),
    ("uphill", "M145", partial(Flat, flat.uphill)),
    ("unweighted_halves", "M013", partial(Flat, flat.unweighted)),
    ("one_formula", "M016", partial(Flat, flat.one_formula)),
    ("hellinger", "", partial(Flat, flat.hellinger)),
    ("weighted_by_confidence", "", partial(Flat, flat.by_surprise)),
    ("student_at_temperature_one", "M150", partial(Flat, student_heat=0)),
    ("inverse_temperature", "M152", partial(Flat, student_heat=-1, teacher_heat=-1)),
    ("no_temperature", "M151", partial(Flat, student_heat=0, teacher_heat=0)),
    ("times_ranks", "", partial(Flat, ranks=2)),
    ("logits_clamped_at_ten", "M158", partial(Flat, largest=10.0)),
    ("mask_one_early", "M103", partial(Padded, shift=-1)),
    ("ratio_upside_down", "M083", partial(Padded, weight="upside_down")),
    ("ratio_without_its_cap", "M086", partial(Padded, weight="uncut")),
    ("one_ratio_a_completion", "M092", partial(Padded, weight="sequence")),
    ("head_of_the_teacher", "M049", partial(Padded, head_of="teacher")),
    ("head_without_tail", "M041 M042", partial(Padded, tail="none")),
    ("surrogate_with_another_sign", "M073", partial(Padded, estimator="reversed")),
    ("log_ratio_minimised", "M074", partial(Padded, estimator="direct")),
    ("neighbours_id", "", partial(Padded, estimator="neighbour")),
    ("entropy_of_the_gradient", "", partial(handmade, "entropy")),
    ("half_a_gradient", "M144", partial(handmade, "half")),
    ("clipped_gradient", "M147", partial(handmade, "clipped")),
    ("strictly_above", "M211 M212", partial(Reader, compare="above")),
    ("never_its_own", "M228", partial(Reader, pick="never_own")),
    ("neighbours_feedback", "M222", partial(Reader, note="neighbour")),
    ("evidence_first", "M249", partial(Reader, place="before")),
    ("traces_and_all", "M253", partial(Reader, traces=True)),
    ("no_system_message", "M246", partial(Reader, system=False)),
    ("average_at_each_step", "M288", partial(Loop, average="each_step")),
    ("average_never", "M286", partial(Loop, average="never")),
    ("average_squared", "M282", partial(Loop, average="squared")),
    ("two_positions_before", "M322", partial(Loop, look=2)),
    ("teacher_without_context", "M330", partial(Loop, teacher_reads="prompt")),
    ("norm_clipped", "M409", partial(Loop, clip=1.0)),
    ("step_uphill", "M340 M145", partial(Loop, sign=1)),
    ("everyone_is_trained", "M339 M429 M101", partial(Loop, everyone=True)),
    ("means_of_parts", "M335", partial(Loop, accumulate="parts")),
    ("centred_over_the_batch", "M173", partial(small.hybrid, "batch_mean")),
    ("both_at_full_weight", "", partial(small.hybrid, "sum")),
    ("teacher_pushes_away", "M181", partial(small.hybrid, "sign")),
    ("no_teacher_no_reward", "M183", partial(small.hybrid, "masked")),
    ("credit_of_the_other", "M191", partial(small.credit, "swapped")),
    ("credit_of_padding", "M193", partial(small.credit, "padding")),
    ("credit_of_logits", "M195", partial(small.credit, "logits")),
    ("one_end", "M204", partial(small.ends, "one_end")),
    ("to_the_last_end", "M206", partial(small.ends, "to_the_last")),
)
ALL = (*FIRST, *SECOND)


def make(name: str) -> object:
    """A foreign implementation, for ``sdpo-ref verify tools.foreign.defects:make,name=hinton``."""
    return next(it.make() for it in ALL if it.name == name)
