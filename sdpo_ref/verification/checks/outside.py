"""The loss in a process that runs no test, to detect an implementation that behaves differently under test (LOSS-065).

The process imports no test runner, and its environment names none. Tensors travel as safetensors.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sdpo_ref.types import DistillationBatch
from sdpo_ref.verification.checks.hidden_form import as_hidden
from sdpo_ref.verification.checks.mismatch import ImplementationRaisedError
from sdpo_ref.verification.checks.settings import Setting
from sdpo_ref.verification.isolation.loader import load
from sdpo_ref.verification.isolation.surroundings import began
from sdpo_ref.verification.suite.capabilities import is_through_form

_MODULE = "sdpo_ref.verification.checks.outside"

LOADED = ".loaded"
LOADING = "loading it again, in a process that begins as this one did,"
"""What an implementation that cannot be loaded twice has raised in."""

PROCESS_LIMIT = 50
"""Seconds for the process, loading the implementation included; below the time limit of a check."""


def loss_outside(target: str, batch: DistillationBatch, setting: Setting) -> tuple[Tensor, Tensor] | str:
    """Loss and gradient of a batch, on-policy, computed in a process that runs no test.

    Args:
        target: ``module:factory[,key=value]`` of the implementation.
        batch: what to compute on, without behaviour log-probabilities.
        setting: alpha and support.

    Returns:
        The loss and its gradient with respect to the student's logits; or the last line that the process printed,
        if it failed.

    Raises:
        ImplementationRaisedError: if the process cannot load the implementation, although this one could.
    """
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder) / "request.safetensors", Path(folder) / "answer.safetensors"
        names = ("student_logits", "teacher_logits", "completions", "completion_mask", "self_distillation_mask")
        save_file({name: getattr(batch, name).detach().contiguous() for name in names}, request)
        here = began()
        environment = {name: text for name, text in here.environment().items() if not name.startswith("PYTEST")}
        try:
            ended = subprocess.run(  # noqa: S603 - this interpreter, running this file
                [sys.executable, "-m", _MODULE, target, str(request), str(answer), *setting.as_arguments()],
                env=environment,
                cwd=here.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PROCESS_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {PROCESS_LIMIT} s"
        if not answer.exists():
            lines = [line for line in ended.stderr.splitlines() if line.strip()]
            says = lines[-1].strip() if lines else f"the process ended with exit code {ended.returncode}"
            if not request.with_suffix(LOADED).exists():
                raise ImplementationRaisedError(LOADING, says, ended.stderr)
            return says
        found = load_file(answer)
        return found["value"], found["gradient"]


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("request", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("setting", nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    batch = DistillationBatch(**load_file(arguments.request))
    loaded = load(arguments.target)
    arguments.request.with_suffix(LOADED).touch()
    options = {**Setting.parse(arguments.setting).options, "temperature": 1.0, "ratio_cap": None}
    implementation: Any = loaded.implementation
    if is_through_form(loaded.capabilities):
        hidden = as_hidden(batch)
        loss, leaf = implementation.hidden_loss(hidden.batch, **options), hidden.student.leaf
    else:
        hidden, leaf = None, batch.student_logits.requires_grad_()
        loss = implementation.loss(batch, **options)
    (gradient,) = torch.autograd.grad(loss, leaf)
    gradient = gradient if hidden is None else hidden.student.of_logits(gradient)
    save_file({"value": loss.detach().contiguous(), "gradient": gradient.contiguous()}, arguments.answer)


if __name__ == "__main__":
    _main()
