"""The bundled tiny model: its language, that it reads critiques, what it learns from them, and credit maps of it."""

import json
import random
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpo_ref.errors import InvalidInputError
from sdpo_ref.lm.credit import Credit, credit_json, credit_of, credit_page, credits_of, shade, token_texts
from sdpo_ref.lm.oracles.checkers import CheckerOracle, MaximumWords, Mentions, Tone
from sdpo_ref.lm.policy import TransformersPolicy
from sdpo_ref.lm.reader import CHECKPOINT, tiny_reader
from sdpo_ref.lm.reader.language import ANIMALS, HAPPY, NEUTRAL, QUESTIONS, Wish, document, is_sentence, sentence
from sdpo_ref.lm.reader.recipe import RULES, train, untrained
from sdpo_ref.teachers.chat import ChatRollouts
from sdpo_ref.types import Feedback, Judgement
from tests.commands import sdpo_ref

needs_model = pytest.mark.lm


@cache
def reader() -> TransformersPolicy:
    """Loaded once; no test here trains it."""
    return tiny_reader()


def sampled(policy: TransformersPolicy, feedback: str | None, *, group_size: int = 6) -> list[str]:
    """Answers after an attempt was criticised, or without that."""
    prompts = policy.prompts(QUESTIONS, group_size=group_size)
    rollouts = policy.sample(prompts, num_tokens=1, generator=torch.Generator().manual_seed(0))
    if feedback is not None:
        count = len(QUESTIONS) * group_size
        judgement = Judgement(torch.zeros(count), (Feedback(feedback),) * count)
        prompts, usable = policy.reprompter(RULES).reprompts(rollouts, judgement)
        assert bool(usable.all())
    return policy.texts(policy.sample(prompts, num_tokens=14, generator=torch.Generator().manual_seed(1)))


# The language


@settings(max_examples=30)
@given(st.randoms(use_true_random=False), st.sampled_from(ANIMALS))
def test_sentences_are_grammatical_and_have_what_is_wished(draw: random.Random, animal: str) -> None:
    """Whatever is wished, and what is missed is what the checkers say."""
    wish = Wish.drawn(draw)
    text = sentence(animal, wish, draw)
    assert is_sentence(text)
    assert animal in text
    assert wish.missed_by(text) == (Wish(), "")
    missed, critique = wish.missed_by(sentence(animal, Wish(), draw))
    assert (missed == Wish()) == (critique == "")
    question, feedback, answer = document(draw)
    assert question in QUESTIONS
    assert feedback is None or feedback.strip()
    assert is_sentence(answer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the cat .",
        "cat sleeps .",
        "the cat sleeps",
        "the red blue cat sleeps .",
        "the cat sleeps red .",
        "the cat sleeps . .",
    ],
)
def test_what_is_no_sentence(text: str) -> None:
    """Words of the language in another order."""
    assert not is_sentence(text)


# The checkpoint


@needs_model
def test_the_model_reads_critiques_and_is_fluent() -> None:
    """The gate: each kind of critique is obeyed far more often than by chance, a neutral sentence changes little."""
    base, neutral = sampled(reader(), None), sampled(reader(), NEUTRAL)
    for checker, critique in (
        (Mentions(("red",)), "Mention red."),
        (Mentions(("golden",)), "Mention golden."),
        (MaximumWords(4), "Use at most 4 words, not 7."),
        (Tone("happy", HAPPY), "Sound more happy."),
    ):
        before, after, placebo = (
            sum(checker(text).score == 1 for text in texts) / len(texts)
            for texts in (base, sampled(reader(), critique), neutral)
        )
        assert after > 0.8 > before + 0.2, critique
        assert abs(placebo - before) < 0.15, critique
    assert all(sum(map(is_sentence, texts)) > 0.95 * len(texts) for texts in (base, neutral))


@needs_model
def test_the_checkpoint_is_small_and_of_the_recipe() -> None:
    """Two hundred thousand bytes; the recipe's model has the same weights by name and shape, and learns."""
    assert (CHECKPOINT / "model.safetensors").stat().st_size < 250_000
    fresh = untrained()
    assert {name: weight.shape for name, weight in fresh.weights().items()} == {
        name: weight.shape for name, weight in reader().weights().items()
    }
    assert fresh.tokenizer.get_vocab() == reader().tokenizer.get_vocab()
    assert all(weight.dtype is torch.float32 for weight in reader().weights().values())
    assert train(fresh, steps=24, batch=6) < 4.0 < torch.tensor(float(len(fresh.tokenizer))).log() + 0.1
    assert reader().tokenizer.unk_token_id not in reader().encode([{"role": "user", "content": QUESTIONS[0]}])


# Credit maps


@needs_model
def test_credit_is_the_difference_of_two_forward_passes() -> None:
    """By hand, without a policy: the model's own log-probabilities of each token after either prompt."""
    policy = reader()
    found = credit_of(policy, QUESTIONS[0], "the blue cat sleeps .", "Mention red.")
    assert found.tokens == ("the", " blue", " cat", " sleeps", " .", "<end>")
    ids = policy.tokenizer("the blue cat sleeps . <end>")["input_ids"]
    words = "What was said about an earlier attempt: Mention red. Now answer the question at the top."
    asked = f"{QUESTIONS[0]} {words}"
    log_probs = []
    for prompt in (f"<user>{QUESTIONS[0]}<end><assistant>", f"<user>{asked}<end><assistant>"):
        before = policy.tokenizer(prompt)["input_ids"]
        logits = policy.model(torch.tensor([before + ids])).logits[0, len(before) - 1 : -1].detach()
        log_probs.append(logits.log_softmax(-1)[torch.arange(6), torch.tensor(ids)])
    by_hand = (log_probs[1] - log_probs[0]).tolist()
    assert found.nats == pytest.approx(by_hand, abs=1e-4)
    assert found.total == pytest.approx(sum(by_hand), abs=1e-4)


@needs_model
def test_credit_stands_at_the_word_that_was_criticised() -> None:
    """Against another colour, for the one that is asked for, and hardly anywhere else."""
    against = credit_of(reader(), QUESTIONS[0], "the blue cat sleeps .", "Mention red.")
    speaks_for = credit_of(reader(), QUESTIONS[0], "the red cat sleeps .", "Mention red.")
    assert against.nats[1] < -1 < 1 < speaks_for.nats[1]
    assert max(map(abs, against.nats[2:])) < -against.nats[1] / 2
    neutral = credit_of(reader(), QUESTIONS[0], "the blue cat sleeps .", NEUTRAL)
    assert max(map(abs, neutral.nats)) < 0.7
    with pytest.raises(InvalidInputError, match="a credit map needs words in both"):
        credit_of(reader(), QUESTIONS[0], "the cat .", " ")


@needs_model
def test_a_rollout_without_feedback_has_no_credit() -> None:
    """Its teacher reads the same prompt; the others have the credit of their own feedback."""
    policy = reader()
    rollouts = policy.sample(policy.prompts(QUESTIONS[:2]), num_tokens=12, generator=torch.Generator().manual_seed(2))
    assert isinstance(rollouts, ChatRollouts)
    oracle = CheckerOracle(policy.decode, [Mentions(("red",))])
    judgement = oracle.judge(rollouts, generator=torch.Generator())
    judgement = Judgement(judgement.rewards, (judgement.feedback[0], None))
    first, second = credits_of(policy, rollouts, judgement, policy.reprompter(RULES))
    assert first.feedback == "Mention red."
    assert any(first.nats)
    assert second.feedback is None
    assert second.nats == (0.0,) * len(second.tokens)
    assert "".join(first.tokens).removesuffix("<end>") == policy.texts(rollouts)[0]
    assert token_texts(policy, []) == ()


@settings(max_examples=30)
@given(st.text(max_size=10), st.floats(-5, 5))
def test_a_page_holds_no_markup_of_others(text: str, nats: float) -> None:
    """Whatever a model or a judge writes is text; and JSON holds all of it."""
    hostile = f"<script>{text}</script>&"
    credit = Credit(({"role": hostile, "content": hostile},), hostile, (hostile,), (nats,))
    page = credit_page([credit], title=hostile)
    assert "<script" not in page
    assert page.count("</span>") == 1
    assert "http" not in page.replace("http-equiv", "")
    (line,) = credit_json([credit]).splitlines()
    assert json.loads(line)["tokens"] == [hostile]
    assert shade(nats, 5.0)[1] == abs(nats) / 5


@needs_model
def test_the_command_draws_the_map(tmp_path: Path) -> None:
    """One line a token, the sum, and the page."""
    page = tmp_path / "credit.html"
    options = ["--prompt", QUESTIONS[0], "--completion", "the blue cat sleeps .", "--feedback", "Mention red."]
    done = sdpo_ref("lm", "credit", "tiny", *options, "--html", str(page))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["the", "blue", "cat", "sleeps", ".", "<end>"]
    assert lines[1].strip().endswith("--------------------")
    assert "the implicit reward of this completion" in lines[-1]
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    done = sdpo_ref("lm", "credit", "tiny", *options[:-1], " ")
    assert done.returncode == 2
    assert "a credit map needs words in both" in done.stderr.replace("\n", " ")
