"""Language models of transformers under our protocols (extra ``lm``).

Read ``policy`` (a model as a policy), ``oracles`` (who judges what it says), ``credit`` (what feedback says about each
token), ``adapters`` (a teacher for LoRA), and ``reader`` (a tiny model to try them on). Trainers, teachers and losses
are those of the library, unchanged: a policy is a policy. transformers is imported when a model is loaded, not before.
"""
