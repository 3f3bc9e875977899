"""SFT and DPO losses as pure functions of log-probability arrays.

Log-probabilities exist only for supervised tokens.
"""

import mlx.core as mx
import mlx.nn as nn


def sft_loss(logps: mx.array) -> mx.array:
    """Returns the negative log-likelihood in nats, summed over (N,) supervised tokens. Divide by N for the mean."""
    return -logps.sum()


def dpo_loss(
    chosen: mx.array, rejected: mx.array, reference_chosen: mx.array, reference_rejected: mx.array, beta: float
) -> tuple[mx.array, mx.array, mx.array]:
    """Computes the sigmoid DPO loss of Rafailov et al. 2023 (equation 7) from (B,) completion log-probabilities.

    Returns (B,) losses in nats, (B,) chosen rewards and (B,) rejected rewards. A reward is beta times the
    log-ratio of policy to reference. If the policy equals the reference, each loss is ln 2.
    """
    chosen_reward = beta * (chosen - reference_chosen)
    rejected_reward = beta * (rejected - reference_rejected)
    return nn.softplus(rejected_reward - chosen_reward), chosen_reward, rejected_reward
