"""Exports of a run in the formats of other programs: fused models, adapter folders, model cards."""
