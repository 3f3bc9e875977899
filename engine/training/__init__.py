"""Training phases of a topic: SFT and DPO, with their losses, optimizer, checkpoints and checks."""
