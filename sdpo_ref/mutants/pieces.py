"""Defects of pieces of a step: denominators over micro-batches and processes (spec/04-loss, E; spec/05-trainer, C)."""

from typing import Any

from torch import Tensor

from sdpo_ref.mutants.mutant import GOOD, Chapter
from sdpo_ref.mutants.plant import Planted
from sdpo_ref.types import DistillationBatch

FILE = "losses/denominator.py"
PROCESSES = "trainers/processes.py"
COUNT = "denominator = global_denominator(loss_masks, aggregation=aggregation, group=group)"
ABOVE_ZERO = "divisor = torch.where(divisor > 0, divisor, torch.nan)"
SHARE = 'return whole / processes if gradients == "averaged" else whole'

chapter = Chapter()


def ignored(batch: DistillationBatch, *, denominator: Any = None, group: Any = None, **options: Any) -> Tensor:
    """The batch's own count is taken whatever is given."""
    del denominator
    return GOOD.loss(batch, **options, group=group)


chapter.family("denominator of a piece")
chapter.enter(
    "M681 given_denominator_ignored: LOSS-140 LOSS-141",
    "a given denominator has no effect",
    "each micro-batch is a mean of its own, and their sum grows with their number",
    loss=ignored,
)
chapter.enter(
    "M682 denominator_at_least_one: LOSS-140",
    "a denominator below one is taken for one",
    "a token that is alone on its process weighs less with every process more",
    Planted(FILE, ABOVE_ZERO, "divisor = divisor.clamp(min=1)"),
)
chapter.enter(
    "M683 zero_of_zero: LOSS-142",
    "the loss of a batch in which nothing counts is zero divided by a count of zero",
    "NaN on every process where no attempt of any succeeded",
    Planted(FILE, "return torch.where(loss_mask, counted / divisor, 0.0)", "return counted / divisor"),
)
chapter.enter(
    "M684 count_added_to_the_given: LOSS-140 LOSS-141",
    "the batch's own count is added to the given denominator",
    "the update depends on how rows were distributed",
    Planted(FILE, ABOVE_ZERO, f"{ABOVE_ZERO} + counted.sum()"),
)

chapter.family("denominator over processes")
chapter.enter(
    "M685 mean_of_each_process: TRAIN-030 TRAIN-034",
    "each process divides by its own count",
    "tokens on processes with short completions weigh more",
    Planted(
        FILE, "torch.distributed.all_reduce(own, op=operation, group=group)", "own, _ = own * processes, operation"
    ),
    seen_from_outside=True,
    seen_in="huggingface/trl#6478 NVIDIA-NeMo/RL#2745",
)
chapter.enter(
    "M686 world_size_forgotten: TRAIN-030 TRAIN-034",
    "each process divides by the count of all, and gradients are averaged besides",
    "the update is smaller by the number of processes",
    Planted(FILE, SHARE, "return whole"),
    seen_from_outside=True,
    seen_in="verl-project/verl#7200 NVIDIA-NeMo/Automodel#3776",
)
chapter.enter(
    "M687 count_of_each_micro_batch: TRAIN-032",
    "the count is taken over the processes of one micro-batch at a time",
    "tokens in sparse micro-batches weigh more",
    Planted(
        PROCESSES,
        "    for source in sources:\n",
        "    for source, mask in zip(sources, loss_masks, strict=True):\n"
        "        denominator = global_denominator([mask], aggregation=aggregation, group=group) * len(sources)\n",
    ),
    seen_from_outside=True,
    seen_in="verl-project/verl#7225 NVIDIA-NeMo/RL#4172",
)
chapter.enter(
    "M688 count_of_the_first_micro_batch: TRAIN-032",
    "the count is that of the first micro-batch",
    "the update is as many times too large as there are micro-batches",
    Planted(PROCESSES, COUNT, COUNT.replace("loss_masks", "loss_masks[:1]")),
    seen_from_outside=True,
)
chapter.enter(
    "M689 count_of_the_world: TRAIN-033",
    "the count is over all processes, and not over the group whose gradients are averaged",
    "with two copies of each part of the model the update depends on rollouts of others",
    Planted(PROCESSES, COUNT, COUNT.replace("group=group", "group=None")),
    seen_from_outside=True,
)
chapter.enter(
    "M690 gradients_not_averaged: TRAIN-030",
    "each process makes an update of its own",
    "the copies of the model drift apart",
    Planted("trainers/step.py", "average_gradients_(student.parameters(), group=group)", "pass"),
    seen_from_outside=True,
)
chapter.enter(
    "M691 empty_process_leaves: TRAIN-031",
    "a process on which nothing counts returns before the others count",
    "the run hangs the first time that a process meets only hard prompts",
    Planted(
        PROCESSES,
        f"    {COUNT}",
        f"    if not any(mask.any() for mask in loss_masks):\n        return 0.0\n    {COUNT}",
    ),
    seen_from_outside=True,
    same_as="M114",
)
chapter.enter(
    "M692 mean_over_busy_processes: TRAIN-031 TRAIN-035",
    "gradients are averaged over the processes on which something counts",
    "steps on hard prompts are larger, and NaN where no process has anything to learn",
    Planted(
        PROCESSES,
        "    torch.distributed.all_reduce(flat, group=group)\n",
        "    busy = flat.any().to(flat)[None]\n"
        "    torch.distributed.all_reduce(busy, group=group)\n"
        "    torch.distributed.all_reduce(flat, group=group)\n"
        "    flat = flat * torch.distributed.get_world_size(group) / busy\n",
    ),
    seen_from_outside=True,
)
