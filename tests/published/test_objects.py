"""The published world as objects: the same numbers as the batch, and parts from outside in SDPO's place."""

import pytest
import torch

from sdpo_ref.errors import InvalidInputError, LoadError
from sdpo_ref.protocols import Oracle, Policy, Teacher, Trainer
from sdpo_ref.published.batch import Batch, Draws
from sdpo_ref.published.objects import Evaluator, PublishedSdpo, TablePolicy, Tilted, run_alone
from sdpo_ref.published.run import Measured, run_batch
from sdpo_ref.published.settings import Control, Outside, PublishedSettings
from sdpo_ref.study.execute_published import execute_published
from sdpo_ref.study.experiment import Task, factories
from sdpo_ref.study.simulators import simulator
from sdpo_ref.teachers.weights import LiveTeacher
from sdpo_ref.types import Feedback, Judgement, Prompts, Rollouts

HERE = "tests.published.parts"

KINDS = {
    "published": PublishedSettings(steps=50),
    "critique": PublishedSettings(steps=50, feedback="critique", control=Control(hints="token", feedback="other")),
    "binary": PublishedSettings(steps=50, feedback="binary", noise=0.3, bias="positivity"),
    "equal mean": PublishedSettings(steps=50, bias="length", noise=0.2, control=Control(equal_mean=True)),
    "told": PublishedSettings(steps=50, bias="anchoring", control=Control(told=0.5)),
    "constant": PublishedSettings(steps=50, control=Control(feedback=0.5)),
}


def agree(left: Measured, right: Measured) -> bool:
    """Whether two runs are the same up to rounding, in everything that is kept of them."""
    return (
        dict(left.metrics) == pytest.approx(dict(right.metrics), abs=1e-10)
        and left.rewards == pytest.approx(right.rewards, abs=1e-10)
        and left.entropies == pytest.approx(right.entropies, abs=1e-10)
        and left.distinctness == pytest.approx(right.distinctness, abs=1e-10)
    )


def with_trainer(name: str, **changes: object) -> PublishedSettings:
    """Settings of a run with a trainer of this file's neighbour."""
    return PublishedSettings.model_validate({"steps": 50, "outside": {"trainer": f"{HERE}:{name}"}, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_objects_and_the_batch_give_the_same_numbers(kind: str) -> None:
    """Kinds of feedback, biases and controls included (PUB-046)."""
    (together,) = run_batch([KINDS[kind]], [3])
    assert agree(run_alone(KINDS[kind], 3), together)


@pytest.mark.parametrize("name", ["descending", "of_token_means"])
def test_the_librarys_trainer_is_the_published_sdpo(name: str) -> None:
    """At alpha 0 and without a pull; a loss that is averaged over tokens needs T times the rate (PUB-012, PUB-047)."""
    (together,) = run_batch([PublishedSettings(steps=50, pull=0.0)], [3])
    assert agree(run_alone(with_trainer(name), 3), together)
    by_implementation = Outside(implementation=f"{HERE}:implementation")
    assert agree(run_alone(PublishedSettings(steps=50, outside=by_implementation), 3), together)


def test_another_optimizer_gives_another_run() -> None:
    """A learning rate means what the trainer makes of it: with Adam 0.02 is nats of a logit a step (PUB-047)."""
    (published,) = run_batch([KINDS["published"]], [3])
    found = run_alone(with_trainer("adam"), 3).metrics
    assert found.keys() == published.metrics.keys()
    assert found["final_reward"] > published.metrics["final_reward"] + 0.1
    assert 0 < found["credit"] < 1  # of the change of the table (PUB-048)


def test_a_trainer_that_ignores_feedback_gets_the_published_lead() -> None:
    """The teacher is told the truth, so a made-up rating is as good as a real one."""
    settings = [PublishedSettings(), PublishedSettings(method="reinforce")]
    sdpo, baseline = (run_batch([one], [3])[0].metrics["final_reward"] for one in settings)
    ignoring = run_alone(with_trainer("ignoring", steps=300), 3).metrics["final_reward"]
    assert ignoring - baseline > 0.9 * (sdpo - baseline) > 0
    untold = run_alone(with_trainer("ignoring", steps=300, control={"told": 0.0}), 3).metrics["final_reward"]
    assert untold - baseline < 0.1 * (sdpo - baseline)


def test_constant_feedback_reaches_a_trainer_from_outside() -> None:
    """A control is in what everyone is told, so the feedback of a trainer from outside is constant as well."""
    (batched,) = run_batch([PublishedSettings(steps=50, pull=0.0, control=Control(feedback=0.5))], [3])
    assert agree(run_alone(with_trainer("descending", control={"feedback": 0.5}), 3), batched)


def test_a_teacher_from_outside_teaches_the_published_sdpo() -> None:
    """With its pull and its rate; one that says nothing teaches nothing."""

    def taught(name: str) -> Measured:
        return run_alone(PublishedSettings(steps=50, outside=Outside(teacher=f"{HERE}:{name}")), 3)

    (together,) = run_batch([KINDS["published"]], [3])
    assert agree(taught("live"), together)
    assert taught("silent").metrics["entropy_lost"] == pytest.approx(0.0, abs=1e-12)


def test_the_study_does_such_a_task_alone() -> None:
    """By the reference simulator, with the factory in the task's key."""
    settings = with_trainer("descending")
    chosen = simulator("batched")
    assert chosen.name_for(settings) == "reference"
    assert chosen.name_for(PublishedSettings()) == "batched"
    task, other = Task(settings, 3), Task(with_trainer("adam"), 3)
    assert [len(batch) for batch in chosen.batches([task, other, Task(settings, 4)], jobs=1)] == [1, 1, 1]
    assert factories(settings) == {f"{HERE}:descending"}
    assert len({task.key, other.key, Task(PublishedSettings(steps=50), 3).key}) == 3
    (found,) = chosen.execute([task])
    assert found.metrics == pytest.approx(dict(run_alone(settings, 3).metrics))


def test_a_trainer_that_diverges_is_a_result() -> None:
    """As in our own world."""
    diverging = Outside(trainer="tests.study.parts:diverging")
    (found,) = execute_published([PublishedSettings(steps=50, outside=diverging)], [3])
    assert found.error == "the policy holds NaN after step 1; lower the learning rate"


def test_parts_are_what_their_protocols_say() -> None:
    """Rollouts, judgement, view, step; and some of the rollouts are read as all of them are."""
    settings = PublishedSettings(steps=50, feedback="critique", control=Control(hints="token"))
    batch, draws = Batch.draw([settings], [3]), Draws.of_seeds(settings, [3])
    policy = TablePolicy(settings.time, settings.vocab)
    teacher = LiveTeacher(policy, Tilted(batch))
    evaluator = Evaluator(batch, draws.noise[0], draws.hints[0])
    for part, protocol in (
        (policy, Policy),
        (evaluator, Oracle),
        (teacher, Teacher),
        (PublishedSdpo(policy, teacher, batch), Trainer),
    ):
        assert isinstance(part, protocol)
    generator = torch.Generator().manual_seed(1)
    prompts = Prompts(torch.zeros(32, 1).long(), torch.ones(32, 1).bool(), torch.zeros(32).long())
    rollouts = policy.sample(prompts, num_tokens=6, generator=generator)
    assert rollouts.completion_mask.all()
    assert torch.allclose(rollouts.behaviour_log_probs, torch.tensor(1 / 8, dtype=torch.float64).log())
    judgement = evaluator.judge(rollouts, generator=generator)
    first = judgement.feedback[0]
    assert first is not None
    assert len(first.ratings) == 7
    assert first.ratings[0] == judgement.rewards[0]
    assert first.text.startswith(f"Overall: {first.ratings[0]:.2f}. Token 1: {first.ratings[1]:+.2f}. Token 2:")
    view = teacher.view(rollouts, judgement)
    some = torch.tensor([4, 2])
    assert torch.equal(teacher.view(rollouts.select(some), judgement.select(some)).logits, view.logits[some])
    assert not view.logits.requires_grad


def test_rows_without_feedback_are_not_usable() -> None:
    """And teach the published SDPO nothing."""
    settings = PublishedSettings(pull=0.0)
    batch, policy = Batch.draw([settings], [3]), TablePolicy(6, 8)
    teacher = LiveTeacher(policy, Tilted(batch))
    prompts = Prompts(torch.zeros(2, 1).long(), torch.ones(2, 1).bool(), torch.zeros(2).long())
    rollouts = policy.sample(prompts, num_tokens=6, generator=torch.Generator())
    judgement = Judgement(torch.zeros(2), (None, None))
    assert teacher.view(rollouts, judgement).self_distillation_mask.tolist() == [False, False]
    PublishedSdpo(policy, teacher, batch).step(rollouts, judgement)
    assert policy.table.abs().max() == 0
    with pytest.raises(InvalidInputError, match=r"\[2\] ratings; allowed are 1"):
        teacher.view(rollouts, Judgement(torch.zeros(2), (Feedback("", (0.1, 0.2)),) * 2))


def test_what_does_not_fit_is_refused() -> None:
    """With what is allowed."""
    with pytest.raises(InvalidInputError, match="the TablePolicy that its factory was given"):
        run_alone(with_trainer("elsewhere"), 3)
    with pytest.raises(LoadError, match="which is no Trainer"):
        run_alone(with_trainer("no_trainer"), 3)
    with pytest.raises(InvalidInputError, match=r"use objects\.run_alone"):
        run_batch([with_trainer("adam")], [3])
    with pytest.raises(InvalidInputError, match="received hybrid; allowed is sdpo"):
        run_alone(PublishedSettings(method="hybrid"), 3)
    with pytest.raises(ValueError, match="for reinforce; a part from outside replaces one of sdpo"):
        PublishedSettings(method="reinforce", outside=Outside(trainer="a:b"))
    with pytest.raises(ValueError, match="allowed is one part"):
        Outside(trainer="a:b", teacher="a:b")
    policy = TablePolicy(6, 8)
    short = Rollouts(
        Prompts(torch.zeros(1, 1).long(), torch.ones(1, 1).bool(), torch.zeros(1).long()),
        torch.zeros(1, 5).long(),
        torch.ones(1, 5).bool(),
        torch.zeros(1, 5),
    )
    with pytest.raises(InvalidInputError, match="received completions of 5 tokens; allowed are 6"):
        policy.logits(short.prompts, short.completions, short.completion_mask)
