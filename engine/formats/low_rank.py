"""Combines all deltas of a ledger into one low-rank change per module, exactly or at a smaller rank."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from engine.adapters.deltas import Delta
from engine.model.arrays import number


@dataclass(frozen=True, slots=True)
class Factors:
    """Factors of one module's weight change (a @ b)^T: a (…, in, rank), b (…, rank, out), fp32; any experts first."""

    a: mx.array
    b: mx.array

    @property
    def rank(self) -> int:
        return int(self.a.shape[-1])

    def padded(self, rank: int) -> "Factors":
        """Returns the same change with factors of this rank, padded with zeros."""
        more = [(0, 0)] * (self.a.ndim - 2)
        width = rank - self.rank
        return Factors(mx.pad(self.a, [*more, (0, 0), (0, width)]), mx.pad(self.b, [*more, (0, width), (0, 0)]))


@dataclass(frozen=True, slots=True)
class Loss:
    """The error of a truncation: the relative Frobenius error of all modules together, and of the worst module."""

    rank: int
    whole: float
    worst: float
    module: str

    def __str__(self) -> str:
        whole, worst = f"{self.whole:.2%}" if self.whole else "none", f"{self.worst:.2%}"
        return f"rank {self.rank} loses {whole} of the change (relative Frobenius error); worst module {worst}, " + (
            self.module
        )


def combined(deltas: Sequence[Delta]) -> dict[str, Factors]:
    """Returns the exact sum of the deltas by module path; the ranks add up, and b includes the scales."""
    parts: dict[str, list[Factors]] = {}
    for delta in deltas:
        for path in delta.paths:
            a = delta.weights[f"{path}.lora_a"].astype(mx.float32)
            b = delta.spec.scale * delta.weights[f"{path}.lora_b"].astype(mx.float32)
            if a.ndim == 3:  # mlx-lm stores the factors of experts transposed
                a, b = a.swapaxes(-1, -2), b.swapaxes(-1, -2)
            parts.setdefault(path, []).append(Factors(a, b))
    return {
        path: Factors(mx.concatenate([f.a for f in each], axis=-1), mx.concatenate([f.b for f in each], axis=-2))
        for path, each in sorted(parts.items())
    }


def truncated(whole: dict[str, Factors], rank: int) -> tuple[dict[str, Factors], Loss]:
    """Returns the nearest change of at most this rank in every module (Eckart and Young 1936), and its error."""
    kept: dict[str, Factors] = {}
    lost: dict[str, tuple[float, float]] = {}
    for path, factors in whole.items():
        kept[path], lost[path] = _nearest(factors, rank)
    errors = {path: _ratio(*pair) for path, pair in lost.items()}
    module = max(errors, key=lambda path: errors[path])
    total = _ratio(math.hypot(*(gone for gone, _ in lost.values())), math.hypot(*(norm for _, norm in lost.values())))
    return kept, Loss(rank, total, errors[module], module)


def _nearest(factors: Factors, rank: int) -> tuple[Factors, tuple[float, float]]:
    """Returns the factors of the nearest change of this rank, and (norm of the lost part, norm of the whole)."""
    with mx.stream(mx.cpu):  # MLX has decompositions only on the CPU
        q, r = mx.linalg.qr(factors.a)
        p, s = mx.linalg.qr(factors.b.swapaxes(-1, -2))
        u, values, v = mx.linalg.svd(r @ s.swapaxes(-1, -2))
        root = mx.sqrt(values[..., :rank])
        a = q @ (u[..., : root.shape[-1]] * root[..., None, :])
        b = (v[..., : root.shape[-1], :] * root[..., None]) @ p.swapaxes(-1, -2)
        gone, norm = (number(mx.sqrt(part.square().sum())) for part in (values[..., rank:], values))
        mx.eval(a, b)
    return (factors if factors.rank <= rank else Factors(a, b)), (gone, norm)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def ranks(factors: Iterable[Factors]) -> int:
    """Returns the largest rank among the factors."""
    return max(each.rank for each in factors)
