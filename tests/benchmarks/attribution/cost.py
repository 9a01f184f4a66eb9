"""What exact Fisher scores cost: `python -m tests.benchmarks.attribution.cost --out FILE.json [--threads N]`.

Default models with random weights, clips and contexts. One clip of 16 frames: seconds beside those of one backward pass
of the same encoder on the same clip, 4 K of which are the aim. The backward passes, one as in training (to the weights
and the clip) and one to the clip alone, take turns with the scores, so that all of them meet the same load; figures are
medians. Then one clip of 300 frames and 8,000 neurons, each way in a process of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from nwb_mivae.attribution.exact_fisher import exact_fisher_of_neurons
from nwb_mivae.attribution.score import Probes, fisher
from nwb_mivae.attribution.through_front_end import exact_fisher_of_pixels, linearise_pixels, pixels_cost
from nwb_mivae.clips.batch import ClipBatch
from nwb_mivae.model import Context, Gaussian, MiVAEModule, ModelConfiguration, ModuleShape
from tests.benchmarks.measuring import in_child, measured, report

FRAMES, LONG = 16, 300
SIZE = (36, 64)
CELLS = (200, 1000, 8000)
SIZES = ((18, 32), (36, 64))
PROBES = 4
MEMORY = 1024.0
ROUNDS, BACKWARD_PASSES = 5, 20


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.attribution.cost", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, help="file of figures")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    latents = ModelConfiguration().shared_latents
    figures: dict[str, Any] = {
        "threads": given.threads,
        "frames": FRAMES,
        "latents": latents,
        "target_ratio": 4 * latents,
        "vectors_of_the_generic_way": 2 * FRAMES * latents,
        "neurons": {str(cells): in_child(_neurons, cells, given.threads) for cells in CELLS},
        "pixels": {f"{height}x{width}": in_child(_pixels, height, width, given.threads) for height, width in SIZES},
        "long_clip": {
            "frames": LONG,
            "cells": CELLS[-1],
            "pixels": list(SIZE),
            "memory_setting_mebibytes": MEMORY,
            "ways": {way: in_child(_long, way, given.threads) for way in _LONG},
        },
    }
    report(figures, given.out)


def _module_and_clip(
    cells: int, frames: int, size: tuple[int, int], threads: int
) -> tuple[MiVAEModule, ClipBatch, Context]:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    configuration = ModelConfiguration()
    module = MiVAEModule(configuration, ModuleShape(*size, 2, "dff", 30.0, frames)).eval()
    clip = ClipBatch(
        session="",
        neural=torch.randn(1, frames, cells),
        stimulus=torch.rand(1, frames, 1, *size),
        auxiliary=torch.randn(1, frames, 2),
        coordinates=torch.rand(cells, 3) * 1000,
        content=torch.zeros(1, frames, dtype=torch.int64),
        start=torch.zeros(1, dtype=torch.int64),
    )
    features = configuration.stimulus_features
    context = Context(
        fingerprints=0.1 * torch.randn(cells, features * len(configuration.fingerprint_lags)),
        readout=torch.randn(len(configuration.readout_offsets), cells, features) / cells**0.5,
        neural_mean=torch.zeros(cells),
        feature_mean=torch.zeros(features),
        n_frames=10_000,
    )
    return module, clip, context


def _neurons(cells: int, threads: int) -> dict[str, float]:
    module, clip, context = _module_and_clip(cells, FRAMES, SIZE, threads)

    def encode(neural: Tensor) -> Gaussian:
        return module.encode_neural(neural, clip.coordinates, context, clip.auxiliary).shared

    window = min(2 * module.population.reach + 1, FRAMES)
    compared = _compared(encode, clip.neural, lambda: exact_fisher_of_neurons(module, clip, context, memory=MEMORY))
    return {"vectors_behind_the_read_in": 2 * window * module.configuration.shared_latents, **compared}


def _pixels(height: int, width: int, threads: int) -> dict[str, float]:
    module, clip, _ = _module_and_clip(1, FRAMES, (height, width), threads)

    def encode(luminance: Tensor) -> Gaussian:
        return module.encode_stimulus(luminance[:, :, None]).shared

    window = min(2 * module.stimulus_encoder.trunk.reach + 1, FRAMES)
    compared = _compared(encode, clip.stimulus[:, :, 0], lambda: exact_fisher_of_pixels(module, clip, memory=MEMORY))
    return {
        "vectors_behind_the_features": 2 * window * module.configuration.shared_latents,
        "vectors_through_the_cells": module.front_end.components.shape[1],
        **compared,
    }


def _compared(encode: Callable[[Tensor], Gaussian], source: Tensor, score: Callable[[], Any]) -> dict[str, float]:
    """Seconds of a score and of backward passes, and how many of these it is worth."""
    exact, training, alone = [], [], []
    for number in range(ROUNDS + 1):
        begin = time.perf_counter()
        with torch.no_grad():
            score()
        seconds = time.perf_counter() - begin
        passes = [
            (_backward(encode, source, weights=True), _backward(encode, source, weights=False))
            for _ in range(BACKWARD_PASSES)
        ]
        # The first round is not counted: it is when the library sets itself up.
        if number > 0:
            exact.append(seconds)
            training += [one for one, _ in passes]
            alone += [other for _, other in passes]
    return {
        "seconds": median(exact),
        "seconds_of_a_backward_pass": median(training),
        "seconds_of_a_backward_pass_to_the_clip_alone": median(alone),
        "ratio": median(exact) / median(training),
        "ratio_to_the_clip_alone": median(exact) / median(alone),
    }


def _backward(encode: Callable[[Tensor], Gaussian], source: Tensor, *, weights: bool) -> float:
    values = source.clone().requires_grad_()
    posterior = encode(values)
    total = posterior.mean.sum() + posterior.log_variance.sum()
    begin = time.perf_counter()
    if weights:
        total.backward()
    else:
        torch.autograd.grad(total, values)
    return time.perf_counter() - begin


def _exact_neurons(module: MiVAEModule, clip: ClipBatch, context: Context) -> None:
    exact_fisher_of_neurons(module, clip, context, memory=MEMORY)


def _exact_pixels(module: MiVAEModule, clip: ClipBatch, context: Context) -> None:
    exact_fisher_of_pixels(module, clip, memory=MEMORY)


def _probed_pixels(module: MiVAEModule, clip: ClipBatch, context: Context) -> None:
    vectors = pixels_cost(module, clip, probes=PROBES).vectors_at_once(1, MEMORY)
    signs = Probes(PROBES, 0, clip.start.tolist(), 0)
    fisher(linearise_pixels(module, clip), probes=signs, vectors_at_once=vectors)


_LONG: dict[str, Callable[[MiVAEModule, ClipBatch, Context], None]] = {
    "neurons, exact": _exact_neurons,
    f"pixels, {PROBES} probes": _probed_pixels,
    "pixels, exact": _exact_pixels,
}


@torch.no_grad()
def _long(way: str, threads: int) -> dict[str, float]:
    module, clip, context = _module_and_clip(CELLS[-1], LONG, SIZE, threads)
    figures = measured(lambda: _LONG[way](module, clip, context))
    return {
        "seconds": figures.seconds,
        "processor_seconds": figures.processor_seconds,
        "mebibytes_before": figures.before_mebibytes,
        "mebibytes_at_most": figures.peak_mebibytes,
    }


if __name__ == "__main__":
    main()
