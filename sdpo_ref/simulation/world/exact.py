"""What a first-order policy can expect, computed and not estimated (spec/06-simulation, section A).

Two tables are enough: ``transition_log_probs``, the policy's log-probability of each token after each previous token,
and ``step_scores``, what that token adds to the latent score. Both have the axes ``[prompt, time, previous, vocab]``
and at the first position, where there is no previous token, the same row for all. A forward recursion gives where the
policy gets to, a backward recursion what is still to come. How varied the completions are is in ``diversity``. The
expected *reward* is not here: the logistic function of a sum over an exponential number of completions has no
recursion, so what is exact is the latent score that it is an increasing function of.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sdpo_ref.errors import InvalidInputError


def marginals(
    transition_log_probs: Float[Tensor, "prompt time previous vocab"],
) -> Float[Tensor, "prompt time vocab"]:
    r"""Probability of each token at each position, whatever stands before it.

    .. math::
        m_1(v) = p_1(v), \qquad m_t(v) = \sum_u m_{t-1}(u)\, p_t(v \mid u)

    Implements: SIM-012.

    Args:
        transition_log_probs: the policy, in nats. Gradient flows.

    Returns:
        Probabilities; each position's sum to one.

    Example:
        >>> turn = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # after one token comes the other
        >>> policy = torch.stack([torch.tensor([[0.9, 0.1], [0.9, 0.1]]), turn]).log()[None]
        >>> marginals(policy)
        tensor([[[0.9000, 0.1000],
                 [0.1000, 0.9000]]])
    """
    probs = transition_log_probs.exp()
    reached = [probs[:, 0, 0]]
    for position in range(1, probs.shape[1]):
        reached.append(torch.einsum("xu,xuv->xv", reached[-1], probs[:, position]))
    return torch.stack(reached, dim=1)


def previous_marginals(
    transition_log_probs: Float[Tensor, "prompt time previous vocab"],
) -> Float[Tensor, "prompt time previous"]:
    """Probability of each previous token at each position; at the first position all of it lies on token 0.

    Args:
        transition_log_probs: the policy, in nats. Gradient flows.

    Returns:
        Weights of the rows of a table; each position's sum to one.
    """
    first = torch.zeros_like(transition_log_probs[:, :1, 0])
    first[..., 0] = 1.0
    return torch.cat([first, marginals(transition_log_probs)[:, :-1]], dim=1)


def visits(
    transition_log_probs: Float[Tensor, "prompt time previous vocab"],
) -> Float[Tensor, "prompt time previous vocab"]:
    """Probability that a completion takes each step of the table: previous token and token at a position.

    Whatever a policy expects of a sum over steps is the sum of its visits times the summand.
    Implements: SIM-012.

    Args:
        transition_log_probs: the policy, in nats. Gradient flows.

    Returns:
        Probabilities; each position's sum to one, at the first position all of them after token 0.

    Example:
        >>> turn = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # after one token comes the other
        >>> policy = torch.stack([torch.tensor([[0.75, 0.25], [0.75, 0.25]]), turn]).log()[None]
        >>> visits(policy)[0, 1]
        tensor([[0.0000, 0.7500],
                [0.2500, 0.0000]])
    """
    probs = transition_log_probs.exp()
    first = torch.zeros_like(probs[:, 0])
    first[:, 0] = probs[:, 0, 0]
    steps = [first]
    for position in range(1, probs.shape[1]):
        steps.append(steps[-1].sum(-2)[..., None] * probs[:, position])
    return torch.stack(steps, dim=1)


def expected_score(
    transition_log_probs: Float[Tensor, "prompt time previous vocab"],
    step_scores: Float[Tensor, "prompt time previous vocab"],
) -> Float[Tensor, " prompt"]:
    """The latent score that the policy reaches on average, for each prompt.

    Implements: SIM-013.

    Args:
        transition_log_probs: the policy, in nats. Gradient flows: this is the exact policy gradient.
        step_scores: what each token adds to the latent score.

    Returns:
        E z.

    Example:
        >>> policy = torch.full((1, 4, 2, 2), 0.5).log()
        >>> expected_score(policy, torch.tensor([0.0, 3.0]).expand(1, 4, 2, 2))  # 4 tokens, 1.5 each
        tensor([6.])
    """
    reached = previous_marginals(transition_log_probs)
    return torch.einsum("xtu,xtuv,xtuv->x", reached, transition_log_probs.exp(), step_scores)


def true_advantage(
    transition_log_probs: Float[Tensor, "prompt time previous vocab"],
    step_scores: Float[Tensor, "prompt time previous vocab"],
) -> Float[Tensor, "prompt time previous vocab"]:
    r"""How much better than the policy's average each token is: the credit that a faultless teacher would give.

    .. math::
        A^*(x, y_{<t}, v) = \mathrm{E}[z \mid x, y_{<t}, y_t = v] - \mathrm{E}[z \mid x, y_{<t}]

    What was scored before t cancels, so only the previous token matters. The policy's mean of the advantage is zero
    after every prefix.
    Implements: SIM-014.

    Args:
        transition_log_probs: the policy that goes on after the token, in nats. Gradient flows.
        step_scores: what each token adds to the latent score.

    Returns:
        Latent score; positive where a token helps.

    Example:
        >>> policy = torch.full((1, 4, 2, 2), 0.5).log()
        >>> true_advantage(policy, torch.tensor([0.0, 3.0]).expand(1, 4, 2, 2))[0, 0, 0]
        tensor([-1.5000,  1.5000])
    """
    probs = transition_log_probs.exp()
    to_come = torch.zeros_like(probs[:, 0, 0])
    backwards = []
    for position in reversed(range(probs.shape[1])):
        if_chosen = step_scores[:, position] + to_come[:, None, :]
        to_come = (probs[:, position] * if_chosen).sum(-1)
        backwards.append(if_chosen - to_come[..., None])
    return torch.stack(backwards[::-1], dim=1)


def advantage_along(
    advantage: Float[Tensor, "prompt time previous vocab"],
    prompt_ids: Int[Tensor, " rollout"],
    completions: Int[Tensor, "rollout time"],
) -> Float[Tensor, "rollout time vocab"]:
    """The true advantage of every token at every position of given completions.

    Args:
        advantage: of every token after every previous token.
        prompt_ids: which prompt each completion answers.
        completions: token ids; their prefixes choose the rows.

    Returns:
        Latent score; the entry of a completion's own token is the advantage of what was sampled.
    """
    previous = torch.nn.functional.pad(completions[:, :-1], (1, 0))
    return advantage[prompt_ids[:, None], torch.arange(completions.shape[-1]), previous]


def score_variance(
    transition_log_probs: Float[Tensor, "prompt time previous vocab"],
    step_scores: Float[Tensor, "prompt time previous vocab"],
) -> Float[Tensor, " prompt"]:
    r"""Variance of the latent score of the policy's completions, for each prompt.

    .. math::
        \mathrm{Var}\, z = \sum_t \mathrm{E}\, A^*(x, y_{<t}, y_t)^2

    The advantages along a completion are the steps of a martingale that ends at z, so they are uncorrelated, and no
    square of a mean is subtracted.
    Implements: SIM-015.

    Args:
        transition_log_probs: the policy, in nats. Gradient flows.
        step_scores: what each token adds to the latent score.

    Returns:
        Squared latent score; never negative.

    Example:
        >>> policy = torch.full((1, 4, 2, 2), 0.5).log()
        >>> score_variance(policy, torch.tensor([0.0, 3.0]).expand(1, 4, 2, 2))  # 4 times 1.5 squared
        tensor([9.])
    """
    squared = true_advantage(transition_log_probs, step_scores).square()
    return expected_score(transition_log_probs, squared)


def normalized_reward(
    score: Float[Tensor, " prompt"], base_score: Float[Tensor, " prompt"], best_score: Float[Tensor, " prompt"]
) -> Float[Tensor, " prompt"]:
    """Which share of the way from the base policy to the optimum was made, for each prompt.

    Implements: SIM-016.

    Args:
        score: E z of the policy.
        base_score: E z of the base policy.
        best_score: the highest z of any completion.

    Returns:
        0 for the base policy, 1 for the optimum; below 0 for a policy that got worse.

    Raises:
        InvalidInputError: if the base policy is at the optimum of some prompt already.

    Example:
        >>> normalized_reward(torch.tensor([2.0]), torch.tensor([1.0]), torch.tensor([5.0]))
        tensor([0.2500])
    """
    room = best_score - base_score
    if not bool((room > 0).all()):
        raise InvalidInputError(
            f"best_score exceeds base_score by {room.tolist()}, allowed is above 0 for every prompt; "
            "leave prompts out whose base policy cannot improve"
        )
    return (score - base_score) / room


def best_completions(
    step_scores: Float[Tensor, "prompt time previous vocab"],
) -> tuple[Float[Tensor, " prompt"], Int[Tensor, "prompt time"]]:
    r"""The highest latent score of any completion to each prompt, and a completion that has it (Viterbi).

    .. math::
        W_t(u) = \max_v \left[ s_t(u, v) + W_{t+1}(v) \right], \qquad \max_y z = W_1

    Among equally good tokens the one with the lowest id is chosen.
    Implements: SIM-017.

    Args:
        step_scores: what each token adds to the latent score after each previous token.

    Returns:
        The scores, and the token ids.

    Example:
        >>> turn = torch.tensor([[0.0, 1.0], [3.0, 0.0]])  # first token: 0 is worth 0, 1 is worth 1
        >>> scores, completions = best_completions(torch.stack([turn[:1].expand(2, 2), turn])[None])
        >>> scores.tolist(), completions.tolist()
        ([4.0], [[1, 0]])
    """
    prompts, time, _, _ = step_scores.shape
    to_come = torch.zeros_like(step_scores[:, 0, 0])
    backwards = []
    for position in reversed(range(time)):
        to_come, chosen = (step_scores[:, position] + to_come[:, None, :]).max(-1)
        backwards.append(chosen)
    rows = torch.arange(prompts)
    tokens = [backwards[-1][:, 0]]
    for chosen in backwards[-2::-1]:
        tokens.append(chosen[rows, tokens[-1]])
    return to_come[:, 0], torch.stack(tokens, dim=-1)
