"""Computes the log-probabilities of supervised tokens, with few logits in memory at a time."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from engine.data.batches import Batch
from engine.model import cpu_kernels
from engine.model.arrays import number, operation

PIECE = 256  # logits summed at a time, for exactness

ROWS = 32  # rows of logits processed at a time, to limit the memory for their exponentials

POSITIONS = 64  # supervised positions with logits in memory at a time

LOUD = 1000.0  # the largest logit in the probe, far above the soft caps of known models (15 to 50)

Head = Callable[[mx.array], mx.array]


class Scorer:
    """Splits a model into body and head, so that the head runs on supervised positions only.

    Some models do more than their body and head show, such as a soft cap or a scale. The probe in `__init__` detects
    that by a difference between the whole model and its parts. The scorer then runs the whole model and gathers the
    logits afterwards, which is slower but correct. The probe scales its logits up, since a soft cap does not change
    small logits. Without that, a fresh or tiny model would pass and give wrong results later.
    """

    def __init__(self, model: nn.Module, probe: mx.array) -> None:
        """`probe` is (1, L) token ids."""
        self._model: Any = model
        self._head = self._find_head()
        if self._head is not None and not self._parts_are_the_whole(self._head, probe):
            self._head = None

    @property
    def split(self) -> bool:
        """Whether the head runs on supervised positions only."""
        return self._head is not None

    def modules(self) -> list[nn.Module]:
        """Returns every module of the model."""
        return list(self._model.modules())

    def logps(self, batch: Batch, *, learning: bool = False) -> mx.array:
        """Returns (N,) fp32 log-probabilities, in nats, of the batch's supervised tokens.

        Pass `learning` if the result will be differentiated. If the model is split, only a few positions have their
        logits in memory at a time.
        """
        if self._head is None:
            logits = self._model(batch.tokens)
            return token_logps(logits.reshape(-1, logits.shape[-1])[batch.gather].astype(mx.float32), batch.targets)
        hidden = self._model.model(batch.tokens)
        hidden = hidden.reshape(-1, hidden.shape[-1])[batch.gather]
        return (learned_logps if learning else plain_logps)(self._head, hidden, batch.targets)

    def next_logits(self, tokens: mx.array) -> mx.array:
        """Returns (B, V) fp32 logits of the token that follows each row of tokens (B, L)."""
        if self._head is None:
            logits: mx.array = self._model(tokens)[:, -1].astype(mx.float32)
            return logits
        return self._head(self._model.model(tokens)[:, -1]).astype(mx.float32)

    def row_logps(self, batch: Batch, *, learning: bool = False) -> mx.array:
        """Returns (B,) fp32 log-probabilities of each row's completion, summed over its tokens, in nats."""
        return sum_rows(self.logps(batch, learning=learning), batch)

    def _parts_are_the_whole(self, head: Head, probe: mx.array) -> bool:
        try:
            parts = head(self._model.model(probe))
        except TypeError:  # the body needs more arguments than the tokens
            return False
        factor = LOUD / max(number(mx.abs(parts).max()), 1e-6)
        whole = self._amplified(probe, factor)
        return whole.shape == parts.shape and bool(mx.allclose(whole, factor * parts, rtol=1e-4, atol=1e-2).item())

    def _amplified(self, probe: mx.array, factor: float) -> mx.array:
        """Returns the whole model's logits, with the output of its head multiplied by `factor`."""
        owner, name = (
            (self._model, "lm_head") if "lm_head" in self._model else (self._model.model.embed_tokens, "as_linear")
        )
        head = getattr(owner, name)
        setattr(owner, name, _Amplified(head, factor) if isinstance(head, nn.Module) else lambda x: factor * head(x))
        try:
            logits: mx.array = self._model(probe)
        finally:
            if isinstance(head, nn.Module):
                setattr(owner, name, head)
            else:
                delattr(owner, name)
        return logits

    def _find_head(self) -> Head | None:
        body = getattr(self._model, "model", None)
        head = getattr(self._model, "lm_head", None)
        if body is None:
            return None
        if head is None:
            embedding = getattr(body, "embed_tokens", None)
            head = getattr(embedding, "as_linear", None)
        return head


class _Amplified(nn.Module):
    def __init__(self, head: nn.Module, factor: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # MLX's has no types
        self.head, self._factor = head, factor

    def __call__(self, x: mx.array) -> mx.array:
        amplified: mx.array = self._factor * self.head(x)
        return amplified


def learned_logps(head: Head, hidden: mx.array, targets: mx.array) -> mx.array:
    """Returns (N,) log-probabilities, in nats, of targets (N,) after a frozen head on hidden (N, D).

    The log-probability of a position depends only on its own hidden state. The forward pass can therefore compute the
    gradient while the logits exist, and the backward pass only scales it. The logits are computed once and never kept.
    """

    @operation
    def both(hidden: mx.array) -> tuple[mx.array, mx.array]:
        logps: list[mx.array] = []
        gradients: list[mx.array] = []
        for start in range(0, hidden.shape[0], POSITIONS):
            piece = hidden[start : start + POSITIONS]
            if gradients:
                (piece,) = mx.depends([piece], [gradients[-1]])  # so that the previous logits are freed first
            found, gradient = _with_gradient(head, piece, targets[start : start + POSITIONS])
            logps.append(found)
            gradients.append(gradient)
        return mx.concatenate(logps), mx.concatenate(gradients)

    @both.vjp
    def _backward(
        _hidden: mx.array, cotangents: tuple[mx.array, mx.array], outputs: tuple[mx.array, mx.array]
    ) -> mx.array:
        return (cotangents[0][:, None] * outputs[1]).astype(outputs[1].dtype)

    return both(hidden)[0]


def plain_logps(head: Head, hidden: mx.array, targets: mx.array) -> mx.array:
    """Returns (N,) log-probabilities, in nats, of targets (N,) after a head on hidden (N, D)."""
    logps: list[mx.array] = []
    for start in range(0, hidden.shape[0], POSITIONS):
        piece = hidden[start : start + POSITIONS]
        if logps:
            (piece,) = mx.depends([piece], [logps[-1]])  # so that the previous logits are freed first
        logps.append(token_logps(head(piece).astype(mx.float32), targets[start : start + POSITIONS]))
    return mx.concatenate(logps)


def _with_gradient(head: Head, hidden: mx.array, targets: mx.array) -> tuple[mx.array, mx.array]:
    """Returns (n,) log-probabilities and their (n, D) gradients, each with respect to its position's hidden state."""

    def logits(hidden: mx.array) -> mx.array:
        return head(hidden).astype(mx.float32)

    column = targets[:, None]
    found = logits(hidden)
    largest = found.max(axis=1, keepdims=True)
    powers = cpu_kernels.exp(found - largest)
    total = _sum_pieces(powers)[:, None]
    logps = mx.take_along_axis(found, column, axis=1) - largest - mx.log(total)
    at_logits = mx.put_along_axis(powers * (-1 / total), column, 1 - mx.exp(logps), axis=1)
    _, (gradient,) = mx.vjp(logits, [hidden], [at_logits])  # lazy: does not compute the logits again
    return logps[:, 0], gradient


@operation
def token_logps(logits: mx.array, targets: mx.array) -> mx.array:
    """Returns (N,) log-probabilities, in nats, of targets (N,) under logits (N, V) fp32.

    On the CPU, MLX's own logsumexp adds a row of 49,152 values one after another; its result is 1e-4 nats too low. A
    sum in pieces is exact to 1e-6. The backward pass reuses the forward result, so it needs one exponential, not two.
    """
    return mx.take_along_axis(logits, targets[:, None], axis=1)[:, 0] - _logsumexp(logits)


@token_logps.vjp
def _token_logps_vjp(
    primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array
) -> tuple[mx.array, mx.array]:
    logits, targets = primals
    column = targets[:, None]
    normalizer = mx.take_along_axis(logits, column, axis=1) - output[:, None]
    outer = cotangent[:, None]
    grad = cpu_kernels.exp(logits - normalizer) * -outer
    at_target = mx.take_along_axis(grad, column, axis=1) + outer
    return mx.put_along_axis(grad, column, at_target, axis=1), mx.zeros_like(targets)


def _logsumexp(logits: mx.array) -> mx.array:
    parts = [logits[start : start + ROWS] for start in range(0, logits.shape[0], ROWS)]
    return mx.concatenate([_logsumexp_rows(part) for part in parts])


def _logsumexp_rows(logits: mx.array) -> mx.array:
    largest = logits.max(axis=1, keepdims=True)
    return mx.log(_sum_pieces(cpu_kernels.exp(logits - largest))) + largest[:, 0]


def _sum_pieces(rows: mx.array) -> mx.array:
    """Sums (n, V) into (n,), in pieces for exactness."""
    rest = -rows.shape[1] % PIECE
    rows = mx.pad(rows, [(0, 0), (0, rest)]) if rest else rows
    return mx.unflatten(rows, 1, (-1, PIECE)).sum(axis=-1).sum(axis=-1)


def sum_rows(values: mx.array, batch: Batch) -> mx.array:
    """Sums (N,) values of supervised tokens into (B,) values of rows.

    It uses a mask because a scatter on a GPU adds in the order of its threads, which varies.
    """
    mine = batch.rows[None] == mx.arange(batch.size)[:, None]
    return mx.where(mine, values[None], 0).sum(axis=1)
