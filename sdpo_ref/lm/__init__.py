"""Language models of transformers under our protocols (extra ``lm``).

Read ``policy`` (a model as a policy), ``oracles`` (who judges what it says), ``credit`` (what feedback says about each
token), ``adapters`` (a teacher for LoRA), and ``reader`` (a tiny model to try them on). Trainers, teachers and losses
are those of the library, unchanged: a policy is a policy. transformers is imported when a model is loaded, not before.
"""

from sdpo_ref.lm.adapters import LowRankEmaTeacher
from sdpo_ref.lm.credit import Credit, credit_of, credits_of
from sdpo_ref.lm.oracles.checkers import Check, Checker, CheckerOracle
from sdpo_ref.lm.oracles.judges import JudgeOracle, PairJudgeOracle
from sdpo_ref.lm.oracles.reward_functions import RewardFunctionOracle
from sdpo_ref.lm.policy import TransformersPolicy

__all__ = [
    "Check",
    "Checker",
    "CheckerOracle",
    "Credit",
    "JudgeOracle",
    "LowRankEmaTeacher",
    "PairJudgeOracle",
    "RewardFunctionOracle",
    "TransformersPolicy",
    "credit_of",
    "credits_of",
]
