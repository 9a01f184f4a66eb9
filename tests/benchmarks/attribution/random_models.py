"""Attribution of models that have learned nothing: what it finds is no knowledge of theirs (Adebayo et al. 2018)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from nwb_mivae.evaluation.embedding import untrained_module
from nwb_mivae.model import MiVAEModule
from tests.benchmarks.attribution.finding_planted import attributions, session_figure
from tests.benchmarks.attribution.measures import auroc

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore
    from nwb_mivae.model import Context
    from nwb_mivae.model.context import ContextBuilder, ContextSums
    from tests.benchmarks.attribution.finding_planted import Judged
    from tests.benchmarks.attribution.planted import Planted
    from tests.benchmarks.attribution.scales import Scale

__all__ = ["HALVES", "KINDS", "random_figures"]

KINDS = {
    "knows_nothing": "all weights random, those of the front end among them, and fingerprints and read-out given to "
    "other cells of the animal",
    "own_context": "heads random; front end, and fingerprints and read-out of the animal's own recording, as in the "
    "trained model",
}
#: Which draws are shown frames as they are, and mirrored ones, where pixels are judged.
HALVES = {"plain": slice(0, None, 2), "mirrored": slice(1, None, 2)}


class _OtherCells(nn.Module):
    """Makes contexts as another builder does, and gives each cell what belongs to another."""

    def __init__(self, builder: ContextBuilder, seed: int) -> None:
        super().__init__()
        self._builder = builder
        self._seed = seed

    def sums(self, n_cells: int, expected_frames: int) -> ContextSums:
        return self._builder.sums(n_cells, expected_frames)

    def forward(self, sums: ContextSums) -> Context:
        context: Context = self._builder(sums)
        order: Tensor = torch.randperm(len(context.neural_mean), generator=torch.Generator().manual_seed(self._seed))
        return context.of_cells(order)


def random_figures(model: Judged, session: str, truth: Planted, scale: Scale, *, seed: int) -> dict[str, Any]:
    """AUROC of visual cells and of driving pixels, ``[kind][source][method]``, one of each draw.

    Where pixels are judged, every second model (:data:`HALVES`) is shown all frames mirrored, left for right. Any
    model's gradients differ a little with contrast, and in a few clips there is more of it on one side: by this alone
    the AUROC of pixels was 0.34 to 0.44 for one set of clips, and 0.58 to 0.69 for the same clips mirrored.
    """
    random = np.random.default_rng([seed, 32])
    found: dict[str, Any] = {}
    for kind in KINDS:
        figures: dict[str, dict[str, list[float | None]]] = {"neurons": {}, "pixels": {}}
        for draw in range(scale.control_draws):
            drawn = int(random.integers(2**31))
            module = (
                _knows_nothing(model.module, drawn)
                if kind == "knows_nothing"
                else untrained_module(model.module, drawn)
            )
            other = model._replace(module=module)
            mirrored = other._replace(store=_mirrored(model.store)) if draw % 2 else other
            for source, shown, planted, most in (
                ("neurons", other, truth.visual, scale.control_clips_to_neurons),
                ("pixels", mirrored, truth.driving_pixels, scale.control_clips_to_pixels),
            ):
                by_method = attributions(shown, session, source, most)
                for method, attribution in by_method.items():
                    figure = auroc(session_figure(attribution, method, source), planted)
                    figures[source].setdefault(method, []).append(figure)
        found[kind] = figures
    return found


def _mirrored(store: ClipStore) -> ClipStore:
    return replace(store, stimulus=store.stimulus[:, :, ::-1])


def _knows_nothing(module: MiVAEModule, seed: int) -> MiVAEModule:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = MiVAEModule(module.configuration, module.shape)
    fresh.context_builder = _OtherCells(fresh.context_builder, seed)
    return fresh.eval()
