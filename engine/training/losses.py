"""Losses and log-probabilities: arrays in, arrays out. Logits are computed only where a token is supervised."""

import mlx.core as mx
import mlx.nn as nn


def sft_loss(logps: mx.array) -> mx.array:
    """Negative log-likelihood summed over (N,) supervised tokens, in nats; divide by their number for the mean."""
    return -logps.sum()


def dpo_loss(
    chosen: mx.array, rejected: mx.array, reference_chosen: mx.array, reference_rejected: mx.array, beta: float
) -> tuple[mx.array, mx.array, mx.array]:
    """The sigmoid DPO loss of Rafailov et al. 2023 (equation 7), from (B,) completion log-probabilities.

    Returns (B,) losses in nats, (B,) chosen rewards and (B,) rejected rewards; a reward is beta times the
    log-ratio of policy to reference. With the policy equal to the reference, each loss is ln 2.
    """
    chosen_reward = beta * (chosen - reference_chosen)
    rejected_reward = beta * (rejected - reference_rejected)
    return nn.softplus(rejected_reward - chosen_reward), chosen_reward, rejected_reward
