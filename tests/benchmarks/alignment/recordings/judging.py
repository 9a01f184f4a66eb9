"""One fold: how well position in the sequence is read from held-out animals, beside controls and raw activity.

Read-outs are fitted in two ways, and scored on test trials of the animal that is judged both times:

``transferred``
    On the validation trials of the trained animals, which no gradient and no context has seen. The held-out animal
    gives nothing to the read-out.
``own``
    On the animal's own training trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from nwb_mivae.clips import load_clips
from nwb_mivae.evaluation import metrics
from nwb_mivae.evaluation.embedding import untrained_module
from nwb_mivae.inference import session_context
from tests.benchmarks.alignment.recordings.positions import PositionedClips, middle_of, positioned_clips
from tests.benchmarks.alignment.recordings.read_out import (
    ReadOut,
    balanced_accuracy,
    confusion,
    fit_read_out,
    shuffled_accuracy,
)
from tests.openscope_sessions import PICTURES

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, Split
    from nwb_mivae.clips.batch import ClipBatch
    from nwb_mivae.clips.split import Part
    from nwb_mivae.model import Context, MiVAEModule

__all__ = ["CONDITIONS", "activity_window", "judge_fold", "mean_activity_window", "shared_latents"]

Array = npt.NDArray[Any]
#: Rows (C, K) of the clips of one session.
Seen = Callable[[PositionedClips], Array]

#: Everything that is measured of a held-out animal. The last two need no model.
CONDITIONS = (
    "with_context",
    "without_context",
    "untrained",
    "untrained_without_context",
    "shuffled_pairs",
    "shuffled_pairs_without_context",
    "permuted_neurons",
    "mean_activity",
    "activity",
)
_SHUFFLED = {"with_context": "shuffled_pairs", "without_context": "shuffled_pairs_without_context"}
_CLIPS_AT_ONCE = 256


@dataclass(frozen=True)
class _Fold:
    store: ClipStore
    split: Split
    clip_frames: int

    def clips(self, session: str, part: Part) -> PositionedClips:
        return positioned_clips(self.store, self.split, session, part, self.clip_frames)


def judge_fold(
    module: MiVAEModule, store: ClipStore, split: Split, *, seed: int, control_draws: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures of every held-out session under every one of :data:`CONDITIONS`, ``[session][condition]``.

    Each has ``own`` and ``transferred``, balanced accuracies; None where there is no such figure: neurons of an animal
    with one ROI have no other order, and cells of one animal are not those of another, so that a read-out of raw
    activity does not transfer. Latents also have ``confusion`` (transferred) and ``trained``: what the transferred
    read-out reaches in test trials of the animals that it was fitted on, mean over them.

    ``untrained`` has fresh weights and its own context and read-outs; ``permuted_neurons`` and ``shuffled_pairs`` use
    the read-outs of the trained network, on test clips whose activity was given to other neurons, and on latents of
    other clips.
    """
    fold = _Fold(store, split, module.shape.clip_frames)
    random = np.random.default_rng([seed, 91])
    fresh = untrained_module(module, int(random.integers(2**31)))
    found: dict[str, dict[str, dict[str, Any]]] = {key: {} for key in split.held_out_sessions}
    for name, (network, informed) in {
        "with_context": (module, True),
        "without_context": (module, False),
        "untrained": (fresh, True),
        "untrained_without_context": (fresh, False),
    }.items():
        contexts = {
            key: session_context(network, store, split, key) if informed else None for key in sorted(store.sessions)
        }
        seen = partial(_latents_in_context, network, fold, contexts)
        transferred = _transferred(fold, seen)
        trained = float(np.mean([_score(transferred, seen, fold.clips(key, "test")) for key in split.train_sessions]))
        for key in split.held_out_sessions:
            own, test = _own(fold, seen, key), fold.clips(key, "test")
            latents = seen(test)
            answers = {"own": own(latents), "transferred": transferred(latents)}
            found[key][name] = {
                **{kind: balanced_accuracy(answer, test.position) for kind, answer in answers.items()},
                "trained": trained,
                "confusion": confusion(answers["transferred"], test.position, len(PICTURES)).round(4).tolist(),
            }
            if network is module:
                found[key][_SHUFFLED[name]] = {
                    kind: shuffled_accuracy(answer, test.position, random, draws=control_draws)
                    for kind, answer in answers.items()
                }
            if name == "with_context":
                orders = _other_orders(store.sessions[key].n_cells, control_draws, random)
                permuted = [
                    shared_latents(network, fold.store, split, test, contexts[key], order=each) for each in orders
                ]
                found[key]["permuted_neurons"] = {
                    kind: _mean([balanced_accuracy(read_out(each), test.position) for each in permuted])
                    for kind, read_out in (("own", own), ("transferred", transferred))
                }
    for name, window in (("mean_activity", mean_activity_window), ("activity", activity_window)):
        seen = partial(_activity, fold, window)
        comparable = _transferred(fold, seen) if window is mean_activity_window else None
        for key in split.held_out_sessions:
            test = fold.clips(key, "test")
            found[key][name] = {
                "own": _score(_own(fold, seen, key), seen, test),
                "transferred": None if comparable is None else _score(comparable, seen, test),
            }
    return found


@torch.no_grad()
def shared_latents(
    module: MiVAEModule,
    store: ClipStore,
    split: Split,
    clips: PositionedClips,
    context: Context | None,
    *,
    order: npt.NDArray[np.int64] | None = None,
) -> Array:
    """Posterior means of ``z_xc`` at the middle frame of every clip, (C, K).

    ``order`` (N,) gives neuron ``i`` the activity of neuron ``order[i]``; its context stays.
    """
    device = next(module.parameters()).device
    found = []
    for batch in _batches(store, split, clips, module.shape.clip_frames):
        here = batch.to(device)
        neural = here.neural if order is None else here.neural[:, :, torch.as_tensor(order, device=device)]
        shared = module.encode_neural(neural, here.coordinates, context, here.auxiliary).shared
        found.append(shared.mean[:, middle_of(module.shape.clip_frames)].cpu().numpy())
    return np.concatenate(found).astype(np.float64)


def activity_window(neural: Array) -> Array:
    """All that a network is given of each clip's neurons, (C, T * N)."""
    return neural.reshape(len(neural), -1)


def mean_activity_window(neural: Array) -> Array:
    """The mean over neurons of the same, (C, T): what animals have in common without any model."""
    return np.asarray(neural.mean(axis=2))


def _latents_in_context(
    module: MiVAEModule, fold: _Fold, contexts: dict[str, Context | None], clips: PositionedClips
) -> Array:
    return shared_latents(module, fold.store, fold.split, clips, contexts[clips.session])


def _activity(fold: _Fold, window: Callable[[Array], Array], clips: PositionedClips) -> Array:
    batches = _batches(fold.store, fold.split, clips, fold.clip_frames)
    return np.concatenate([window(batch.neural.numpy().astype(np.float64)) for batch in batches])


def _batches(store: ClipStore, split: Split, clips: PositionedClips, clip_frames: int) -> Sequence[ClipBatch]:
    return [
        load_clips(store, split, clips.session, clips.starts[first : first + _CLIPS_AT_ONCE], n_frames=clip_frames)
        for first in range(0, len(clips.starts), _CLIPS_AT_ONCE)
    ]


def _own(fold: _Fold, seen: Seen, session: str) -> ReadOut:
    clips = fold.clips(session, "train")
    return fit_read_out(seen(clips), clips.position, clips.trial)


def _transferred(fold: _Fold, seen: Seen) -> ReadOut:
    parts = [fold.clips(key, "validation") for key in fold.split.train_sessions]
    trials = np.cumsum([0, *(clips.trial.max() + 1 for clips in parts)])
    return fit_read_out(
        np.concatenate([seen(clips) for clips in parts]),
        np.concatenate([clips.position for clips in parts]),
        np.concatenate([clips.trial + before for clips, before in zip(parts, trials[:-1], strict=True)]),
    )


def _score(read_out: ReadOut, seen: Seen, clips: PositionedClips) -> float:
    return balanced_accuracy(read_out(seen(clips)), clips.position)


def _other_orders(n_cells: int, draws: int, random: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    return [metrics.derangement(n_cells, random) for _ in range(draws)] if n_cells > 1 else []


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
