"""Where an implementation runs: processes of its own, with limits, whose events are collected."""
