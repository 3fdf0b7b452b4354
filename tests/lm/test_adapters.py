"""The EMA teacher of a LoRA student: against a plain model whose weights were averaged by hand."""

import copy
from typing import Any

import pytest
import torch

from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.lm.adapters import LowRankEmaTeacher, weight_changes
from sdpo_ref.lm.policy import TransformersPolicy
from sdpo_ref.protocols import Teacher
from sdpo_ref.trainers.sdpo import SdpoTrainer
from tests.lm.models import MODELS, policy, tokenizer
from tests.lm.test_training import FEEDBACK, JUDGEMENT

pytestmark = [
    pytest.mark.lm,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # of PEFT
]


def adapted(name: str = "llama", **settings: Any) -> TransformersPolicy:
    """A policy in float64 with adapters that change something from the start."""
    from peft import LoraConfig, get_peft_model

    targets = ["c_attn"] if name == "gpt2" else ["q_proj", "v_proj", "down_proj"]
    config = LoraConfig(
        **{"r": 3, "lora_alpha": 6, "target_modules": targets, "lora_dropout": 0.1, "fan_in_fan_out": name == "gpt2"}
        | settings
    )
    torch.manual_seed(1)
    model = get_peft_model(MODELS[name]().double(), config).double()
    with torch.no_grad():
        for part, weight in model.named_parameters():
            if "lora_B" in part:
                weight.normal_(std=0.2)
    return TransformersPolicy(model, tokenizer())


@pytest.mark.parametrize("name", MODELS)
def test_the_teacher_is_the_base_with_the_average_of_the_changes(name: str) -> None:
    """After three steps of SDPO: a merged model for each moment, and the average of their weights (TEACH-027)."""
    student = adapted(name)
    reader = student.reprompter(FEEDBACK)
    prompts = student.prompts(["Hi", "Say a colour."], group_size=2)
    rollouts = student.sample(prompts, num_tokens=6, generator=torch.Generator().manual_seed(3))
    teacher = LowRankEmaTeacher(student, reader, update_rate=0.25)
    assert isinstance(teacher, Teacher)

    def merged() -> TransformersPolicy:
        model: Any = copy.deepcopy(student.model)
        return TransformersPolicy(model.merge_and_unload(), tokenizer())

    by_hand = merged()
    own = student.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    trained = [weight for weight in student.model.parameters() if weight.requires_grad]
    trainer = SdpoTrainer(student, teacher, torch.optim.SGD(trained, lr=1.0))
    for _ in range(3):
        trainer.step(rollouts, JUDGEMENT)
        now = merged().weights()
        with torch.no_grad():
            for part, weight in by_hand.weights().items():
                weight.copy_(0.75 * weight + 0.25 * now[part])
    found, expected = teacher.view(rollouts, JUDGEMENT), reader.view(by_hand, rollouts, JUDGEMENT)
    assert (found.logits - expected.logits).abs().max() < 1e-9
    current = reader.view(student, rollouts, JUDGEMENT).logits
    assert (found.logits - current).abs().max() > 1e-3
    after = student.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    assert (own - after).abs().max() > 1e-3
    merged_now = merged()
    assert (
        after - merged_now.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    ).abs().max() < 1e-9


def test_a_change_is_the_scaled_product_of_the_factors() -> None:
    """B times A times alpha over the rank, by hand."""
    model: Any = adapted().model
    changes = weight_changes(model)
    assert len(changes) == 6
    for name, change in changes.items():
        layer = model.get_submodule(name)
        by_hand = 2.0 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        assert (change - by_hand).abs().max() < 1e-12
        assert not change.requires_grad


def test_students_of_which_it_would_be_a_part_only_are_refused() -> None:
    """Trained biases and heads, DoRA, models without adapters, rates out of range."""
    for student in (
        policy(),
        adapted("gpt2", bias="all"),
        adapted(modules_to_save=["lm_head"]),
        adapted(use_dora=True),
    ):
        with pytest.raises(UnsupportedError, match="that of a LoRA model alone"):
            LowRankEmaTeacher(student, student.reprompter(FEEDBACK))
    student = adapted()
    with pytest.raises(InvalidInputError, match="update_rate must lie in"):
        LowRankEmaTeacher(student, student.reprompter(FEEDBACK), update_rate=1.5)
