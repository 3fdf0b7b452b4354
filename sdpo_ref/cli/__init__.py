"""The command ``sdpo-ref``, one file for each sub-command."""
