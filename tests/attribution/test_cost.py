from __future__ import annotations

from functools import partial

import torch

from nwb_mivae.attribution.cost import Cost, clips_and_vectors_at_once, encoding_cost
from nwb_mivae.attribution.exact_fisher import exact_fisher_of_neurons
from nwb_mivae.attribution.score import Probes, fisher, linearise
from nwb_mivae.clips.batch import ClipBatch
from nwb_mivae.model import Gaussian, MiVAEModule, ModuleShape
from nwb_mivae.model.configuration import ModelConfiguration
from tests.benchmarks.measuring import in_child, measured

MEBIBYTE = 2**20


def test_what_is_kept_for_the_way_back_is_counted_once_and_weights_are_not() -> None:
    weights = torch.nn.Parameter(torch.ones(1000, 1000))

    def encode(source: torch.Tensor) -> Gaussian:
        # Kept: the sine's argument, which is the source, and the product's, its sine.
        return Gaussian(source.sin() @ weights, source)

    cost = encoding_cost(encode, torch.ones(3, 2, 1000), probes=5)
    size = 2 * 1000 * 4
    assert cost == Cost(2 * size + 7 * size, 4 * size + 3 * size)


def test_as_much_is_done_at_once_as_fits() -> None:
    costs = [Cost(10 * MEBIBYTE, MEBIBYTE), Cost(20 * MEBIBYTE, 5 * MEBIBYTE)]
    assert clips_and_vectors_at_once(costs, 100.0) == (2, 4)
    assert clips_and_vectors_at_once(costs, 100.0, clips=1) == (1, 14)
    assert clips_and_vectors_at_once(costs, 100.0, vectors=10) == (1, 10)
    assert clips_and_vectors_at_once(costs, 1.0) == (1, 1)
    assert clips_and_vectors_at_once(costs, 1.0, clips=3, vectors=7) == (3, 7)
    clips, vectors = clips_and_vectors_at_once(costs, 1e9)
    assert 1 < clips <= 16
    assert 1 < vectors <= 128


FRAMES, CELLS = 100, 2000


def _module_and_clip() -> tuple[MiVAEModule, ClipBatch]:
    shape = ModuleShape(12, 16, 2, "dff", 30.0, FRAMES)
    module = MiVAEModule(ModelConfiguration(population="coordinates", shared_latents=2), shape).eval()
    clip = ClipBatch(
        session="",
        neural=torch.randn(1, FRAMES, CELLS),
        stimulus=torch.rand(1, FRAMES, 1, 12, 16),
        auxiliary=torch.randn(1, FRAMES, 2),
        coordinates=torch.rand(CELLS, 3) * 500,
        content=torch.zeros(1, FRAMES, dtype=torch.int64),
        start=torch.zeros(1, dtype=torch.int64),
    )
    return module, clip


@torch.no_grad()
def mebibytes_of(memories: list[tuple[str, float]]) -> list[float]:
    """Mebibytes at most, beyond what was there before the first, of one way after the other."""
    torch.set_num_threads(1)
    module, clip = _module_and_clip()

    def run(way: str, clip: ClipBatch, memory: float) -> None:
        def encode(neural: torch.Tensor) -> Gaussian:
            return module.encode_neural(neural, clip.coordinates, None, clip.auxiliary).shared

        if way == "exact":
            exact_fisher_of_neurons(module, clip, None, memory=memory)
        else:
            vectors = encoding_cost(encode, clip.neural, probes=64).vectors_at_once(1, memory)
            fisher(linearise(encode, clip.neural), probes=Probes(64, 0, [0], 0), vectors_at_once=vectors)

    # What the library itself takes when it is first used is not meant.
    for way in ("exact", "probes"):
        run(way, clip.of_cells(torch.arange(10)), 16.0)
    figures = [measured(partial(run, way, clip, memory)) for way, memory in memories]
    return [each.peak_mebibytes - figures[0].before_mebibytes for each in figures]


def test_memory_taken_is_about_what_is_given() -> None:
    exact, little, much = in_child(mebibytes_of, [("exact", 64.0), ("probes", 96.0), ("probes", 512.0)])
    assert exact < 2 * 64
    assert 96 / 2 < little < 96 * 2
    assert 1.5 * little < much < 512 * 2
