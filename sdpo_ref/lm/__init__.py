"""Language models of transformers under our protocols (extra ``lm``): policies, oracles that read text, credit maps.

Read ``policy`` (a model as a policy), then ``texts`` and ``oracles`` (who judges what it says). Trainers, teachers and
losses are those of the library, unchanged: a policy is a policy.
"""
