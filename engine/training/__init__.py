"""The phases of a topic: SFT and DPO, their losses, optimizer, checkpoints and checks."""
