"""LoRA modules, their deltas, and the ledger that makes a model of them."""
