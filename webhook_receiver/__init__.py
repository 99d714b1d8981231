"""The thin webhook receiver: verify, record, nudge, answer. Nothing else."""
