"""Published implementations with the parts of :mod:`sdpo_ref.protocols.parts`; a peer is two or three files.

Each package runs its peer's own code and repairs nothing, so that ``sdpo-ref verify sdpo_ref.adapters.trl:sdpo``
reports what a user of that peer gets. Peers are imported by the factories and not before: importing an adapter is
light and works without the ``peers`` extra.

``trl``
    TRL 1.16's ``SDPOTrainer``, ``SDFTTrainer`` and ``DistillationTrainer``.
``sdpo_rl``
    sdpo-rl 0.0.3's ``SDPOTrainer``.
``liger``
    Liger 0.8.5's chunked Jensen-Shannon loss.
``ms_swift``
    ms-swift 4.6.0's GKD loss.
``verl``
    verl 0.9.1's distillation losses.
``toys``
    the small tokenizer, models and training loop that stand where a user's would.
"""
