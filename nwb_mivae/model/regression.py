"""Ridge regression from running sums, so that whole recordings fit; in double precision, on the CPU, no gradient."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["RegressionSums"]

#: Ridge penalty, as a share of the inputs' mean sum of squares.
_PENALTY = 0.1


class RegressionSums:
    """Sums over clips of inputs ``(B, T, D)`` and outputs ``(B, T, E)``; all that a regression between them needs."""

    def __init__(self) -> None:
        self.frames = 0
        self._sums: dict[str, Tensor] = {}

    def add(self, inputs: Tensor, outputs: Tensor) -> None:
        """Add clips."""
        given, wanted = (each.detach().flatten(0, 1).cpu().double() for each in (inputs, outputs))
        self.frames += len(given)
        new = {
            "inputs": given.sum(0),
            "outputs": wanted.sum(0),
            "output_squares": wanted.square().sum(0),
            "gram": given.T @ given,
            "products": given.T @ wanted,
        }
        self._sums = {name: value + self._sums[name] if self._sums else value for name, value in new.items()}

    @property
    def input_mean(self) -> Tensor:
        """Mean of the inputs, (D,)."""
        return self._sums["inputs"] / self.frames

    @property
    def output_mean(self) -> Tensor:
        """Mean of the outputs, (E,)."""
        return self._sums["outputs"] / self.frames

    @property
    def output_deviation(self) -> Tensor:
        """Standard deviation of the outputs, (E,)."""
        return (self._sums["output_squares"] / self.frames - self.output_mean.square()).clamp_min(0.0).sqrt()

    def gram(self) -> Tensor:
        """Sum over frames of products of the centred inputs, (D, D)."""
        return self._sums["gram"] - self.frames * torch.outer(self.input_mean, self.input_mean)

    def weights(self) -> Tensor:
        """Ridge weights (D, E) from centred inputs to centred outputs."""
        gram = self.gram()
        products = self._sums["products"] - self.frames * torch.outer(self.input_mean, self.output_mean)
        # Inputs that never vary have weights of zero, not of zero divided by zero.
        penalty = (_PENALTY * gram.diagonal().mean()).clamp_min(1e-9)
        weights: Tensor = torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype), products)
        return weights
