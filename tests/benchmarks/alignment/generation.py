"""One modality from the other: generated video and generated activity against the truth, beside two simple baselines.

Video is compared with the frames shown, activity with the noise-free activity that the true rates give. The linear
baselines are fitted on the training part of the very animal that is judged; the mean is that of its training part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from nwb_mivae.clips import load_clips
from nwb_mivae.evaluation import metrics
from nwb_mivae.inference import generate_frames, generate_traces
from tests.benchmarks.alignment.encoding import Clips, clips_of, reordered
from tests.benchmarks.alignment.identification import fit_map
from tests.benchmarks.alignment.indicator import as_seen_by_indicator

if TYPE_CHECKING:
    from nwb_mivae.clips import Split
    from nwb_mivae.model import Context, MiVAEModule
    from tests.benchmarks.alignment.scales import Material

__all__ = [
    "Generated",
    "Truth",
    "activity_inputs",
    "generated_by_model",
    "generated_for_other_clips",
    "generation_baselines",
    "generation_figures",
    "true_generation",
    "with_offsets",
]

Array = npt.NDArray[np.float64]

_CLIPS_AT_ONCE = 64
#: Frames before and after, within the clip, that linear baselines see as well.
_OFFSETS = (-4, 0, 4)
#: Principal components of activity, where there are more cells.
_MOST_CELLS = 500
#: Principal components of the pixels that the linear encoder is given at each offset.
_PIXEL_COMPONENTS = 48


class Generated(NamedTuple):
    """Frames (C * T, pixels) and activity (C * T, N), standardised, of some clips."""

    frames: Array
    activity: Array


class Truth(NamedTuple):
    """Frames (C * T, pixels) shown in some clips, their noise-free activity (C * T, N), which cells are visual (N,),
    and the mean frame (pixels,) of the animal's training part.
    """

    frames: Array
    activity: Array
    visual: npt.NDArray[np.bool_]
    mean_frame: Array


def true_generation(given: Material, split: Split, clips: Clips) -> Truth:
    """What should have been generated. Activity is that of the true rates, in units that correlations do not see."""
    stored, truth = given.store.sessions[clips.session], given.truth(clips.session)
    cells = stored.cells["source_row"].to_numpy()
    with np.load(given.truth_paths[clips.session], allow_pickle=False) as arrays:
        rates = arrays["rates"][:, cells]
    place = np.searchsorted(truth["frame_time"], stored.time[clips.rows] + 1e-4, side="right") - 1
    train = clips_of(given, split, clips.session, "train", given.scale.decoding_clips)
    return Truth(
        frames=_loaded(given, split, clips)[1],
        activity=as_seen_by_indicator(rates, stored.frame_rate, float(stored.report["lag"]))[place],
        visual=truth["cell_type"][cells] != "not_visual",
        mean_frame=_loaded(given, split, train)[1].mean(axis=0),
    )


def generated_by_model(
    module: MiVAEModule,
    given: Material,
    split: Split,
    clips: Clips,
    context: Context | None,
    *,
    order: npt.NDArray[np.int64] | None = None,
) -> Generated:
    """Frames from activity, and activity from frames, of every clip.

    With ``order`` (N,) neuron ``i`` is given the activity of neuron ``order[i]``, and what is generated for ``i`` is
    taken for that of ``order[i]``.
    """
    device = next(module.parameters()).device
    frames, activity = [], []
    for first in range(0, len(clips.starts), _CLIPS_AT_ONCE):
        some = clips.starts[first : first + _CLIPS_AT_ONCE]
        batch = load_clips(given.store, split, clips.session, some, n_frames=given.scale.clip_frames).to(device)
        activity.append(generate_traces(module, batch, context).flatten(0, 1).cpu().numpy())
        batch = batch if order is None else reordered(batch, order)
        frames.append(generate_frames(module, batch, context).flatten(2).flatten(0, 1).cpu().numpy())
    found = Generated(np.concatenate(frames).astype(np.float64), np.concatenate(activity).astype(np.float64))
    return found if order is None else found._replace(activity=found.activity[:, np.argsort(order)])


def generated_for_other_clips(generated: Generated, clips: int, random: np.random.Generator) -> Generated:
    """What was generated, each clip's taken for that of another clip."""
    order = metrics.derangement(clips, random)
    return Generated(*(each.reshape(clips, -1, each.shape[1])[order].reshape(each.shape) for each in generated))


def generation_baselines(given: Material, split: Split, clips: Clips) -> dict[str, Generated]:
    """What a ridge regression, and what the training mean makes of the clips, each knowing this animal."""
    train = clips_of(given, split, clips.session, "train", given.scale.decoding_clips)
    (neural, pixels), (test_neural, test_pixels) = (_loaded(given, split, each) for each in (train, clips))
    frames = given.scale.clip_frames
    inputs, test_inputs = activity_inputs(neural, test_neural, frames)
    decoder = fit_map(inputs, pixels, train.groups)

    mean = pixels.mean(axis=0)
    _, _, directions = np.linalg.svd(pixels[:: max(1, len(pixels) // 2000)] - mean, full_matrices=False)
    components = directions[:_PIXEL_COMPONENTS].T
    encoder = fit_map(with_offsets((pixels - mean) @ components, frames), neural, train.groups)
    linear = Generated(decoder(test_inputs), encoder(with_offsets((test_pixels - mean) @ components, frames)))
    same = np.ones((len(test_pixels), 1))
    return {"linear": linear, "training mean": Generated(same * mean, same * neural.mean(axis=0))}


def generation_figures(generated: Generated, truth: Truth) -> dict[str, float | None]:
    """Correlations of what was generated with the truth.

    Returns
    -------
    dict
        ``video_r``: Pearson R over all pixels of all frames, as published, which any picture of the right brightness
        in the right places raises; ``video_centred_r``: the same after the training mean of every pixel is removed, on
        both sides; ``video_error``: mean squared error, where that of the training mean is 1; ``rates_r``: mean over
        visual cells of the correlation in time with noise-free activity. A figure that is not defined is null.
    """
    pixels, mean = truth.frames, truth.mean_frame
    of_cells = map(correlation, generated.activity[:, truth.visual].T, truth.activity[:, truth.visual].T)
    defined = [each for each in of_cells if each is not None]
    return {
        "video_r": correlation(generated.frames.ravel(), pixels.ravel()),
        "video_centred_r": correlation((generated.frames - mean).ravel(), (pixels - mean).ravel()),
        "video_error": float(((generated.frames - pixels) ** 2).mean() / ((mean - pixels) ** 2).mean()),
        "rates_r": float(np.mean(defined)) if defined else None,
    }


def correlation(one: Array, other: Array) -> float | None:
    """Pearson R; ``None`` where one side does not vary."""
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    scale = float(np.abs(one).max() * np.abs(other).max()) * len(one)
    return float(a @ b / size) if size > 1e-9 * scale else None


def _loaded(given: Material, split: Split, clips: Clips) -> tuple[Array, Array]:
    """Standardised activity (C * T, N) and pixels (C * T, H * W)."""
    batch = load_clips(given.store, split, clips.session, clips.starts, n_frames=given.scale.clip_frames)
    with torch.no_grad():
        return (
            batch.neural.flatten(0, 1).numpy().astype(np.float64),
            batch.stimulus.flatten(2).flatten(0, 1).numpy().astype(np.float64),
        )


def activity_inputs(train: Array, test: Array, frames: int) -> tuple[Array, Array]:
    """Activity (C * T, N) as linear regressions are given it: at a few frames of the clip.

    Large populations are brought down to their leading principal components, on the training clips, first: the time of
    a regression grows with the third power of its inputs.
    """
    if train.shape[1] > _MOST_CELLS:
        mean = train.mean(axis=0)
        _, directions = np.linalg.eigh((train - mean).T @ (train - mean))
        train, test = ((each - mean) @ directions[:, -_MOST_CELLS:] for each in (train, test))
    return with_offsets(train, frames), with_offsets(test, frames)


def with_offsets(values: Array, frames: int) -> Array:
    """Values (C * T, N) of a few frames of the clip side by side; beyond the clip's ends its end frame stands."""
    clips = values.reshape(-1, frames, values.shape[1])
    places = [np.clip(np.arange(frames) + offset, 0, frames - 1) for offset in _OFFSETS]
    return np.concatenate([clips[:, place] for place in places], axis=2).reshape(len(values), -1)
