"""Phases of training: SFT and DPO, and what they share: attach, checkpoint, commit, roll back, replayed rows."""
