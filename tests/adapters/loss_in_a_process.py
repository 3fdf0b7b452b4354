"""One process of two that computes TRL's loss once: rank, where to meet, and whether its row has a teacher."""

import sys
from datetime import timedelta

import torch
from torch import distributed

from sdpo_ref.adapters import trl
from sdpo_ref.types import FULL
from tests.adapters.problems import golden_batch

PATIENCE = timedelta(seconds=10)
"""How long a process waits for the other in a collective call before it gives up with an error."""


def main(rank: int, meeting_place: str, *, active: bool) -> None:
    """Meet, lose, and part once both have lost."""
    torch.set_num_threads(1)
    implementation = trl.sdpo()
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting_place}", rank=rank, world_size=2, timeout=PATIENCE
    )
    implementation.loss(golden_batch(active=(active,)), alpha=0.5, support=FULL, temperature=1.0, ratio_cap=None)
    distributed.barrier()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], active=sys.argv[3] == "True")
