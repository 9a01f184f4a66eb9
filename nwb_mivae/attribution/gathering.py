"""Maps of a session's clips, collected batch by batch into one attribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution.configuration import AttributionConfiguration, MethodName, SourceName
from nwb_mivae.attribution.result import SOURCES, MethodAttribution, is_signed
from nwb_mivae.errors import AttributionError

if TYPE_CHECKING:
    from torch import Tensor

    from nwb_mivae.attribution.score import FisherMaps

__all__ = ["Gathered"]


class Gathered:
    """Maps of the clips done so far, on the host."""

    def __init__(self, configuration: AttributionConfiguration) -> None:
        self._configuration = configuration
        self._frames: dict[tuple[MethodName, SourceName], list[npt.NDArray[np.float32]]] = {}
        self._by_latent: dict[tuple[MethodName, SourceName], list[npt.NDArray[np.float32]]] = {}
        self._sums: dict[tuple[MethodName, SourceName], npt.NDArray[np.float64]] = {}
        #: By source, sums over elements of the variance of the mean over probes, and of that mean's square.
        self._noise: dict[SourceName, npt.NDArray[np.float64]] = {}
        #: By source, sums over clips and latents of the squares of what paths miss, and of the quantity.
        self._gaps: dict[SourceName, npt.NDArray[np.float64]] = {}

    def add(
        self, method: MethodName, source: SourceName, frames: Tensor, per_latent: Tensor, by_latent: Tensor | None
    ) -> None:
        """Maps ``(B, T, *S)`` of some clips, their sums per latent ``(K, *S)`` and each latent's own, if kept."""
        self._frames.setdefault((method, source), []).append(_on_host(frames.flatten(0, 1)))
        if by_latent is not None:
            self._by_latent.setdefault((method, source), []).append(_on_host(by_latent.flatten(1, 2)))
        sums = per_latent.double().cpu().numpy()
        self._sums[method, source] = self._sums.get((method, source), np.zeros_like(sums)) + sums

    def add_fisher(self, source: SourceName, maps: FisherMaps) -> None:
        """Squares, which come probe by probe, and the noise that probes leave in them."""
        by_latent = None if maps.by_latent is None else maps.by_latent.sqrt()
        self.add("fisher", source, maps.per_probe.mean(0).sqrt(), maps.per_latent, by_latent)
        if self._configuration.probes is not None:
            self._add_noise(source, maps.per_probe)

    def _add_noise(self, source: SourceName, per_probe: Tensor) -> None:
        of_mean, mean = per_probe.var(0) / len(per_probe), per_probe.mean(0)
        noise = np.array([float(of_mean.double().sum()), float(mean.double().square().sum())])
        self._noise[source] = self._noise.get(source, np.zeros(2)) + noise

    def add_gap(self, source: SourceName, missing: Tensor, value: Tensor) -> None:
        """What integrated gradients miss of a quantity, and the quantity, ``(B, K)`` each."""
        gap = np.array([float(each.double().square().sum()) for each in (missing, value)])
        self._gaps[source] = self._gaps.get(source, np.zeros(2)) + gap

    def methods(self, session: str) -> dict[str, MethodAttribution]:
        """Every method's maps."""
        return {method: self._method(method, session) for method in self._configuration.methods}

    def _method(self, method: MethodName, session: str) -> MethodAttribution:
        parts: dict[str, Any] = {}
        n_frames = sum(map(len, next(iter(self._frames.values()))))
        n_latents = len(next(iter(self._sums.values())))
        for source in SOURCES:
            nothing = (0,) if source == "neurons" else (0, 0)
            frames, per_latent = (np.zeros((length, *nothing), np.float32) for length in (n_frames, n_latents))
            by_latent = None
            if source in self._configuration.to:
                frames = np.concatenate(self._frames[method, source])
                average = self._sums[method, source] / len(frames)
                per_latent = (np.sqrt(average) if method == "fisher" else average).astype(np.float32)
                if self._configuration.by_latent:
                    by_latent = np.concatenate(self._by_latent[method, source], axis=1)
                if not (np.isfinite(frames).all() and np.isfinite(average).all()):
                    raise AttributionError(
                        f"a {method} of {source} that is not a finite number",
                        expected="finite derivatives",
                        remedy="look at the training log: the loss has probably diverged",
                        object_path=session,
                    )
            parts |= {source: frames, f"{source}_per_latent": per_latent, f"{source}_by_latent": by_latent}
        return MethodAttribution(**parts, signed=is_signed(method, self._configuration.divided))

    def error_of_probes(self) -> dict[str, float] | None:
        """By source, the relative standard error that probes leave in ``fisher``, if any were drawn."""
        # The map is the root of what the probes estimate: its relative error is half of theirs.
        return {source: 0.5 * _ratio(sums) for source, sums in self._noise.items()} or None

    def gap_of_paths(self) -> dict[str, float] | None:
        """By source, how far ``integrated_gradients`` are from adding up, relative to the quantity, if there are."""
        return {source: _ratio(sums) for source, sums in self._gaps.items()} or None


def _ratio(squares: npt.NDArray[np.float64]) -> float:
    part, whole = squares
    return float(np.sqrt(part / whole)) if whole > 0 else 0.0


def _on_host(maps: Tensor) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = maps.float().cpu().numpy()
    return found
