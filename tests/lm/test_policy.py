"""A transformers model as a policy: scores, padding, sampling, hidden states, chat messages, weights."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sdpo_ref import lm
from sdpo_ref.errors import InvalidInputError, UnsupportedError
from sdpo_ref.lm.oracles.judges import PolicyJudge
from sdpo_ref.lm.policy import TransformersPolicy
from sdpo_ref.losses import sdpo_loss
from sdpo_ref.protocols import Policy
from sdpo_ref.teachers.chat import ChatPrompts, ChatRollouts, messages_of
from sdpo_ref.types import DistillationBatch, HiddenBatch, Prompts, Rollouts
from tests.lm.models import LETTERS, MODELS, SPECIAL, llama, policy, tokenizer

pytestmark = pytest.mark.lm
each_model = pytest.mark.parametrize("name", MODELS)
QUESTIONS = ("Hi", "Say a colour.", [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who?"}])


def double(name: str = "llama", **options: Any) -> TransformersPolicy:
    """A policy in float64, where rounding hides nothing."""
    return TransformersPolicy(MODELS[name]().double(), tokenizer(), **options)


def sampled(student: TransformersPolicy, *, num_tokens: int = 10, group_size: int = 2, seed: int = 0) -> ChatRollouts:
    """Rollouts of prompts of three lengths."""
    prompts = student.prompts(QUESTIONS, group_size=group_size)
    rollouts = student.sample(prompts, num_tokens=num_tokens, generator=torch.Generator().manual_seed(seed))
    assert isinstance(rollouts, ChatRollouts)
    return rollouts


def scores(student: TransformersPolicy, rollouts: Rollouts) -> torch.Tensor:
    """The policy's logits for rollouts."""
    return student.logits(rollouts.prompts, rollouts.completions, rollouts.completion_mask)


def alone(student: TransformersPolicy, rollouts: Rollouts, row: int) -> torch.Tensor:
    """The model's own forward pass on one row, without padding and without our code."""
    prompt = rollouts.prompts.token_ids[row][rollouts.prompts.mask[row]]
    completion = rollouts.completions[row][rollouts.completion_mask[row]]
    logits: torch.Tensor = student.model(torch.cat([prompt, completion])[None]).logits[0]
    return logits[len(prompt) - 1 : -1]


@each_model
def test_logits_are_those_of_the_model_on_each_row_alone(name: str) -> None:
    """Left-padded rows of unequal length: POLICY-001 and POLICY-004, in float64 and to 1e-6 in float32."""
    for student, tolerance in ((double(name), 1e-12), (policy(name), 1e-6)):
        rollouts = sampled(student)
        assert len(set(rollouts.prompts.mask.sum(-1).tolist())) == 3
        found = scores(student, rollouts)
        for row in range(6):
            expected = alone(student, rollouts, row)
            assert (found[row, : len(expected)] - expected).abs().max() < tolerance * expected.abs().max()


@each_model
def test_padding_is_of_no_consequence(name: str) -> None:
    """On either side, of any width, and whatever ids stand there (POLICY-004)."""
    student = double(name)
    rollouts = sampled(student)
    expected = scores(student, rollouts)
    ids, mask = rollouts.prompts.token_ids, rollouts.prompts.mask
    width = mask.sum(-1, keepdim=True)
    nonsense = torch.where(mask, ids, -7)
    wider = Prompts(
        torch.cat([torch.full((6, 3), 10**6), nonsense], -1),
        torch.cat([torch.zeros(6, 3, dtype=torch.bool), mask], -1),
        rollouts.prompts.group_ids,
    )
    order = torch.arange(ids.shape[1]) + ids.shape[1] - width
    right = Prompts(nonsense.roll(1, -1).gather(-1, (order + 1) % ids.shape[1]), order < ids.shape[1], wider.group_ids)
    assert right.token_ids[0, 0] == ids[0, -int(width[0])]
    completions = torch.where(rollouts.completion_mask, rollouts.completions, -7)
    for prompts in (wider, right):
        found = student.logits(prompts, completions, rollouts.completion_mask)
        assert (found - expected)[rollouts.completion_mask].abs().max() < 1e-12


def test_what_is_not_counted_inside_a_completion_is_attended() -> None:
    """A tool's answer is read although it does not count; what stands behind the last counted token is not."""
    student = double()
    rollouts = sampled(student, num_tokens=6)
    mask = torch.tensor([True, True, False, False, True, False]).expand(6, 6)
    before = student.logits(rollouts.prompts, rollouts.completions.clone(), mask)
    tool, behind = rollouts.completions.clone(), rollouts.completions.clone()
    tool[:, 2], behind[:, 5] = 60, 60
    changed = student.logits(rollouts.prompts, tool, mask)
    assert torch.equal(student.logits(rollouts.prompts, behind, mask)[mask], before[mask])
    assert (changed - before)[:, :2].abs().max() < 1e-12
    assert ((changed - before)[:, 4].abs().amax(-1) > 1e-3).all()


@each_model
def test_sampled_log_probabilities_are_those_of_the_policy(name: str) -> None:
    """The cache gives what one pass over the whole row gives, at a temperature as well."""
    for temperature in (1.0, 0.7):
        student = double(name, temperature=temperature)
        rollouts = sampled(student)
        found = scores(student, rollouts).log_softmax(-1).gather(-1, rollouts.completions[..., None])[..., 0]
        mask = rollouts.completion_mask
        assert (found - rollouts.behaviour_log_probs)[mask].abs().max() < 1e-12
        assert rollouts.behaviour_log_probs[~mask].tolist() == [0.0] * int((~mask).sum())
        assert torch.equal(scores(student, rollouts), scores(double(name), rollouts) / temperature)


def test_sampling_draws_from_the_policy() -> None:
    """First tokens of many completions have the policy's frequencies; the same seed draws the same."""
    student = policy()
    prompts = student.prompts(["Hi"], group_size=1000)
    first = student.sample(prompts, num_tokens=1, generator=torch.Generator().manual_seed(0))
    again = student.sample(prompts, num_tokens=1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(first.completions, again.completions)
    expected = scores(student, first)[0, 0].detach().softmax(-1)
    found = torch.bincount(first.completions[:, 0], minlength=len(expected)) / 1000
    assert float(((found - expected) ** 2 / expected.clamp(min=1e-6)).sum()) * 1000 < 3 * len(expected)


def test_a_completion_ends_with_any_end_token() -> None:
    """Up to and including the first end, whichever it is; generation stops when all have ended (POLICY-006)."""
    student = policy()
    assert student.end_ids == {1, 2}
    rollouts = sampled(student, num_tokens=60, group_size=12)
    ended = [ids[mask].tolist() for ids, mask in zip(rollouts.completions, rollouts.completion_mask, strict=True)]
    last = {row[-1] for row in ended if len(row) < 60}
    assert last == {1, 2}
    assert all(not {1, 2} & set(row[:-1]) for row in ended)
    everything = policy(end_ids=range(len(SPECIAL) + len(LETTERS)))
    assert sampled(everything).completions.shape == (6, 1)
    assert bool(sampled(policy(end_ids=())).completion_mask.all())


def test_dropout_does_not_make_another_policy_of_each_call() -> None:
    """A model made from its configuration is in training mode; the policy's is not."""
    student = policy("gpt2")
    rollouts = sampled(student)
    assert torch.equal(scores(student, rollouts), scores(student, rollouts))


@each_model
def test_hidden_states_and_head_make_the_logits(name: str) -> None:
    """And the loss from hidden states has the value and the gradient of the loss from logits."""
    student, teacher = double(name), double(name)
    with torch.no_grad():
        for weight in teacher.model.parameters():
            weight.mul_(0.9)
    rollouts = sampled(student)
    arguments = (rollouts.prompts, rollouts.completions, rollouts.completion_mask)
    hidden = student.hidden(*arguments)
    assert (student.head.logits(hidden) - student.logits(*arguments)).abs().max() < 1e-12
    usable = torch.tensor([True, False, True, True, True, True])
    with torch.no_grad():
        read, read_logits, teacher_head = teacher.hidden(*arguments), teacher.logits(*arguments), teacher.head
    small = HiddenBatch(hidden, student.head, read, teacher_head, *arguments[1:], usable)
    large = DistillationBatch(student.logits(*arguments), read_logits, *arguments[1:], usable)
    parameters = tuple(student.model.parameters())
    of_hidden, of_logits = (torch.autograd.grad(sdpo_loss(batch, alpha=0.5), parameters) for batch in (small, large))
    for one, other in zip(of_hidden, of_logits, strict=True):
        assert (one - other).abs().max() < 1e-10


def test_a_head_that_is_more_than_a_matrix_is_refused() -> None:
    """Soft caps and scales by name, unknown last steps by their logits, adapters on the head by their type."""
    capped = policy()
    config: Any = capped.model.config
    config.final_logit_softcapping = 30.0
    with pytest.raises(UnsupportedError, match=r"not its last matrix .* \(final_logit_softcapping=30.0\)"):
        _ = capped.head
    unknown = policy()

    def doubled(_module: Any, _inputs: Any, output: Any) -> Any:
        output.logits = 2 * output.logits
        return output

    unknown.model.register_forward_hook(doubled)
    with pytest.raises(UnsupportedError, match="an unknown last step"):
        _ = unknown.head
    adapted = policy()
    adapted.model.lm_head = type("LoraLinear", (torch.nn.Linear,), {})(32, 8, bias=False)
    with pytest.raises(UnsupportedError, match="last layer is a LoraLinear"):
        _ = adapted.head


def test_prompts_are_made_by_the_chat_template() -> None:
    """Rows of a group stand beside each other, and each knows its messages, also after a selection."""
    student = policy()
    rollouts = sampled(student)
    assert isinstance(student, Policy)
    assert isinstance(rollouts.prompts, ChatPrompts)
    assert rollouts.prompts.group_ids.tolist() == [0, 0, 1, 1, 2, 2]
    kept = rollouts.prompts.token_ids[4][rollouts.prompts.mask[4]].tolist()
    assert student.tokenizer.decode(kept) == "<system>Be kind.<end><user>Who?<end><assistant>"
    some = rollouts.select(torch.tensor([5, 0]))
    assert [messages[-1]["content"] for messages in messages_of(some)] == ["Who?", "Hi"]
    assert torch.equal(some.completions, rollouts.completions[[5, 0]])
    ended = torch.tensor([[LETTERS.index("E") + len(SPECIAL), 1]])
    said = Rollouts(some.prompts, ended, torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2))
    assert student.texts(said) == ["E"]


def test_the_thinking_switch_reaches_the_template() -> None:
    """None leaves it to the template; False closes the trace in the prompt, as Qwen's template does."""
    ask = [{"role": "user", "content": "Hi"}]
    assert (
        policy(thinking=False).encode(ask)
        == [*policy().encode(ask), 6, 7]
        == [*policy(thinking=True).encode(ask), 6, 7]
    )


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ([{"role": "user", "content": [{"type": "image"}]}], "both text, so leave out images"),
        ([{"role": "assistant", "content": None, "tool_calls": []}], "both text, so leave out images"),
        ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}], "must end with the user"),
        ([], "must end with the user"),
    ],
)
def test_a_conversation_that_no_teacher_can_be_shown_is_refused(question: Any, words: str) -> None:
    """TEACH-008 rewrites the last message, which is the user's, and joins texts."""
    with pytest.raises(InvalidInputError, match=words):
        policy().prompts([question])


def test_bad_arguments_are_refused() -> None:
    """Each message says what was received and what is allowed."""
    student = policy()
    with pytest.raises(InvalidInputError, match="group_size must be at least 1, received 0"):
        student.prompts(["Hi"], group_size=0)
    with pytest.raises(InvalidInputError, match="num_tokens must be at least 1, received 0"):
        student.sample(student.prompts(["Hi"]), num_tokens=0, generator=torch.Generator())
    with pytest.raises(InvalidInputError, match="temperature must be positive"):
        policy(temperature=0.0)
    empty = Prompts(torch.zeros(2, 3).long(), torch.tensor([[True] * 3, [False] * 3]), torch.arange(2))
    with pytest.raises(InvalidInputError, match=r"prompts of rows \[1\] have no token"):
        student.sample(empty, num_tokens=1, generator=torch.Generator())
    bare = copy.copy(tokenizer())
    bare.chat_template = None
    with pytest.raises(InvalidInputError, match="without a chat template"):
        TransformersPolicy(llama(), bare)
    with pytest.raises(InvalidInputError, match="which hold token ids only"):
        messages_of(Rollouts(empty, empty.token_ids, empty.mask, torch.zeros(2, 3)))
    with pytest.raises(InvalidInputError, match="received 1 conversations for 2 prompts"):
        ChatPrompts(empty.token_ids, empty.mask, empty.group_ids, (({"role": "user", "content": "Hi"},),))


@each_model
def test_rows_beyond_the_models_positions_are_refused(name: str) -> None:
    """The last token is scored from the one before it, so it needs no position of its own."""
    student = policy(name)
    student.end_ids = frozenset()
    room = 512 - len(student.encode([{"role": "user", "content": "Hi"}]))
    prompts, generator = student.prompts(["Hi"]), torch.Generator().manual_seed(0)
    completions = torch.full((1, room + 2), 20)
    counted = torch.ones_like(completions, dtype=torch.bool)
    assert student.logits(prompts, completions[:, :-1], counted[:, :-1]).shape[1] == room + 1
    with pytest.raises(InvalidInputError, match="has 513 tokens before the last, and the model 512 positions"):
        student.logits(prompts, completions, counted)
    with pytest.raises(InvalidInputError, match="the model 512 positions"):
        student.sample(prompts, num_tokens=room + 2, generator=generator)


def test_prompts_of_ids_alone_can_be_sampled() -> None:
    """Without messages the rollouts are plain ones."""
    student = policy()
    prompts = Prompts(torch.tensor([[5, 9]]), torch.tensor([[True, True]]), torch.tensor([0]))
    assert type(student.sample(prompts, num_tokens=2, generator=torch.Generator().manual_seed(0))) is Rollouts


def test_a_copy_has_weights_of_its_own() -> None:
    """A tied weight counts once; the tokenizer is shared; factors of adapters are not weights."""
    student = policy("gpt2")
    teacher = copy.deepcopy(student)
    mine, its = student.weights(), teacher.weights()
    assert mine.keys() == its.keys()
    assert "lm_head.weight" not in mine
    assert all(torch.equal(mine[name], its[name]) and mine[name] is not its[name] for name in mine)
    assert all(mine[name].data_ptr() != its[name].data_ptr() for name in mine)
    assert teacher.tokenizer is student.tokenizer
    adapted: Any = student.model
    adapted.peft_config = {}
    with pytest.raises(UnsupportedError, match="factors, and averaging them is another teacher"):
        student.weights()


def test_saved_and_loaded_is_the_same_policy(tmp_path: Path) -> None:
    """To the bit, from a folder, without a network."""
    student = policy(thinking=False)
    student.save(str(tmp_path))
    loaded = TransformersPolicy.load(str(tmp_path), thinking=False)
    rollouts = sampled(student)
    assert torch.equal(scores(student, rollouts), scores(loaded, rollouts))
    assert loaded.end_ids == student.end_ids
    assert loaded.prompts(QUESTIONS).messages == student.prompts(QUESTIONS).messages
    assert torch.equal(loaded.prompts(QUESTIONS).token_ids, student.prompts(QUESTIONS).token_ids)


def test_a_policy_may_be_the_judge() -> None:
    """What it samples is its answer; the generator moves on."""
    student = policy()
    messages = ({"role": "user", "content": "Good?"},)
    rollouts = student.sample(student.prompts([messages]), num_tokens=5, generator=torch.Generator().manual_seed(0))
    judge = PolicyJudge(student, num_tokens=5, generator=torch.Generator().manual_seed(0))
    first, second = judge(messages), judge(messages)
    assert first == student.texts(rollouts)[0] != second


def test_the_package_needs_transformers_only_to_load() -> None:
    """What `sdpo_ref.lm` offers is imported with torch alone."""
    code = (
        "import sys, sdpo_ref.lm as lm; lm.TransformersPolicy, lm.CheckerOracle; print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert all(hasattr(lm, name) for name in lm.__all__)
