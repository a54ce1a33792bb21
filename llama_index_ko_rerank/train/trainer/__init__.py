"""The training loop: stages, batches, evaluators, checkpoints."""
