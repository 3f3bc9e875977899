"""LoRA modules, the deltas they are committed as, and the ledger that builds the model from deltas."""
