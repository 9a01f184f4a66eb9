"""What each block of latents tells of the true factors, for one trained model and its controls.

Read-outs of true factors are fitted in two ways, and scored on test clips both times:

``own``
    On the training part of the animal that is judged: what is there at all, in whatever form it has in this animal.
    Its context is made of the same clips and fits them better than test clips, so that this is rather too low.
``transferred``
    On the validation part of the trained animals: what is there in the same form in every animal. The held-out animal
    gives nothing to the read-out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.clips import load_clips
from nwb_mivae.evaluation import metrics
from nwb_mivae.evaluation.embedding import untrained_module
from nwb_mivae.inference import BLOCKS, session_context
from tests.benchmarks.alignment.encoding import FUSED, Clips, clips_of, encoded
from tests.benchmarks.alignment.generation import activity_inputs
from tests.benchmarks.alignment.identification import (
    dci,
    fit_map,
    leakage,
    matched_correlation,
    r_squared,
    standardised,
)
from tests.benchmarks.alignment.true_factors import PRIVATE

if TYPE_CHECKING:
    from nwb_mivae.clips import Split
    from nwb_mivae.model import MiVAEModule
    from tests.benchmarks.alignment.scales import Material
    from tests.benchmarks.alignment.true_factors import TrueFactors

__all__ = ["DECODING_CONDITIONS", "decoding", "decoding_from_activity", "judged_sessions"]

Array = npt.NDArray[Any]
Blocks = Mapping[str, Array]

#: The last three are controls.
DECODING_CONDITIONS = ("with_context", "without_context", "untrained", "permuted_neurons", "shuffled_pairs")

#: Blocks that should hold the stimulus factors.
_SHARED = ("neural_shared", "stimulus_shared", FUSED)


@dataclass(frozen=True)
class _Seen:
    """Latents of some clips, with the true factors and the unit of content of each frame."""

    blocks: Blocks
    stimulus: Array
    private: Array
    groups: npt.NDArray[np.int64]


def judged_sessions(given: Material, split: Split) -> list[str]:
    """The held-out sessions, and a few of the trained ones."""
    return [*split.held_out_sessions, *split.train_sessions[: given.scale.decoded_trained]]


def decoding(
    module: MiVAEModule, given: Material, split: Split, factors: TrueFactors, *, seed: int
) -> dict[str, dict[str, Any]]:
    """Figures of every judged session under every condition, ``[session][condition]``.

    ``untrained`` has fresh weights and its own context and read-outs; ``permuted_neurons`` and ``shuffled_pairs`` use
    the read-outs of ``with_context``, on test clips whose activity was given to other neurons, and on latents of other
    clips.
    """
    random = np.random.default_rng([seed, 77])
    fresh = untrained_module(module, int(random.integers(2**31)))
    setups = {"with_context": (module, True), "without_context": (module, False), "untrained": (fresh, True)}
    pooled = {name: _pooled(given, split, factors, *setup) for name, setup in setups.items()}
    found: dict[str, dict[str, Any]] = {}
    for key in judged_sessions(given, split):
        train = clips_of(given, split, key, "train", given.scale.decoding_clips)
        test = clips_of(given, split, key, "test", given.scale.test_clips)
        found[key] = {}
        for name, (network, informed) in setups.items():
            context = session_context(network, given.store, split, key) if informed else None
            own = _seen(factors, train, encoded(network, given, split, train, context))
            scored = _seen(factors, test, encoded(network, given, split, test, context))
            found[key][name] = _figures(pooled[name], own, scored, factors, thorough=name == "with_context")
            if name == "with_context":
                order = metrics.derangement(given.store.sessions[key].n_cells, random)
                wrong = _seen(factors, test, encoded(network, given, split, test, context, order=order))
                found[key]["permuted_neurons"] = _figures(pooled[name], own, wrong, factors)
                shuffled = _of_other_clips(scored, len(test.starts), random)
                found[key]["shuffled_pairs"] = _figures(pooled[name], own, shuffled, factors)
    return found


def _seen(factors: TrueFactors, clips: Clips, blocks: Blocks) -> _Seen:
    return _Seen(
        blocks, factors.stimulus[clips.session][clips.rows], factors.private[clips.session][clips.rows], clips.groups
    )


def _pooled(given: Material, split: Split, factors: TrueFactors, module: MiVAEModule, informed: bool) -> _Seen:
    parts = []
    for key in split.train_sessions:
        clips = clips_of(given, split, key, "validation", given.scale.decoding_clips)
        context = session_context(module, given.store, split, key) if informed else None
        parts.append(_seen(factors, clips, encoded(module, given, split, clips, context)))
    return _Seen(
        {name: np.concatenate([part.blocks[name] for part in parts]) for name in (*BLOCKS, FUSED)},
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("stimulus", "private", "groups")),
    )


def _of_other_clips(seen: _Seen, clips: int, random: np.random.Generator) -> _Seen:
    """Each clip's factors beside the latents of another clip that shows something else."""
    order = metrics.derangement(clips, random)
    moved = {
        name: latents.reshape(clips, -1, latents.shape[1])[order].reshape(latents.shape)
        for name, latents in seen.blocks.items()
    }
    return _Seen(moved, seen.stimulus, seen.private, seen.groups)


def _figures(pooled: _Seen, own: _Seen, test: _Seen, factors: TrueFactors, *, thorough: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"stimulus_r2": {}, "mcc": {}}
    weights = factors.share / factors.share.sum()
    for block in _SHARED:
        found["stimulus_r2"][block] = {}
        for name, fitted_on in (("own", own), ("transferred", pooled)):
            fitted = fit_map(fitted_on.blocks[block], fitted_on.stimulus, fitted_on.groups)
            predicted = fitted(test.blocks[block])
            each = r_squared(predicted, test.stimulus)
            found["stimulus_r2"][block] |= {name: float(each.mean()), f"{name}_by_variance": float(each @ weights)}
            if name == "transferred":
                found["mcc"][block] = {
                    "as_they_are": matched_correlation(test.blocks[block], test.stimulus),
                    "after_linear_map": _columnwise_correlation(predicted, test.stimulus),
                }
                if thorough:
                    found["stimulus_r2"][block]["transferred_each"] = each.round(4).tolist()
    kinds = [_by_kind(each) for each in (own, test)]
    found["leakage"] = leakage(own.blocks, kinds[0], own.groups, test.blocks, kinds[1])
    if thorough:
        found["leakage_with_products"] = leakage(own.blocks, kinds[0], own.groups, test.blocks, kinds[1], expand=True)
    found["dci"] = {
        block: dci((own.blocks[block], own.stimulus, own.groups), (test.blocks[block], test.stimulus))._asdict()
        for block in _SHARED
    }
    found["dci"]["neural_blocks"] = _dci_of_blocks(own, test)
    return found


def _by_kind(seen: _Seen) -> dict[str, Array]:
    return {"stimulus": seen.stimulus, **{name: seen.private[:, [place]] for place, name in enumerate(PRIVATE)}}


def _dci_of_blocks(own: _Seen, test: _Seen) -> dict[str, float]:
    """Whether the neural blocks keep stimulus and private factors apart, whatever happens within a block."""
    blocks = ("neural_shared", "neural_private")
    of_latent = np.repeat([0, 1], [own.blocks[name].shape[1] for name in blocks])
    of_factor = np.repeat([0, 1], [own.stimulus.shape[1], own.private.shape[1]])
    (train, fitted_on), (latents, scored_on) = (
        (
            np.concatenate([seen.blocks[name] for name in blocks], axis=1),
            np.concatenate([seen.stimulus, seen.private], axis=1),
        )
        for seen in (own, test)
    )
    return dci(
        (train, fitted_on, own.groups), (latents, scored_on), latent_groups=of_latent, factor_groups=of_factor
    )._asdict()


def _columnwise_correlation(one: Array, other: Array) -> float:
    return float((standardised(one) * standardised(other)).mean(axis=0).mean())


def decoding_from_activity(given: Material, split: Split, factors: TrueFactors, session: str) -> dict[str, Any]:
    """What ridge regression from an animal's own noisy activity tells of the true factors: a measure for latents."""
    train = clips_of(given, split, session, "train", given.scale.decoding_clips)
    test = clips_of(given, split, session, "test", given.scale.test_clips)
    frames = given.scale.clip_frames
    neural, test_neural = (
        load_clips(given.store, split, session, clips.starts, n_frames=frames).neural.flatten(0, 1).numpy()
        for clips in (train, test)
    )
    inputs, test_inputs = activity_inputs(neural.astype(np.float64), test_neural.astype(np.float64), frames)
    own, scored = (_seen(factors, clips, {"activity": each}) for clips, each in ((train, inputs), (test, test_inputs)))
    outputs = np.concatenate([own.stimulus, own.private], axis=1)
    predicted = fit_map(own.blocks["activity"], outputs, own.groups)(scored.blocks["activity"])
    each = r_squared(predicted, np.concatenate([scored.stimulus, scored.private], axis=1))
    count = own.stimulus.shape[1]
    return {
        "stimulus_r2": {
            "own": float(each[:count].mean()),
            "own_by_variance": float(each[:count] @ factors.share / factors.share.sum()),
        },
        "private_r2": {name: float(value) for name, value in zip(PRIVATE, each[count:], strict=True)},
    }
