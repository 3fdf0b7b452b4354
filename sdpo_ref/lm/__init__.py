"""Language models of transformers under our protocols (extra ``lm``): policies, and oracles that read text.

Read ``policy`` (a model as a policy), then ``oracles`` (who judges what it says). Trainers, teachers and losses are
those of the library, unchanged: a policy is a policy. transformers is imported when a model is loaded, not before.
"""
