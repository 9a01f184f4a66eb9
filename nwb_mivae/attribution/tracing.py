"""Attribution of a stored session: its clips, both shared posteriors, both sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nwb_mivae.attribution.configuration import AttributionConfiguration
from nwb_mivae.attribution.result import MethodAttribution, SessionAttribution
from nwb_mivae.attribution.score import FisherMaps, Linearised, ScoreMaps, fisher, linearise, score
from nwb_mivae.clips import evenly, load_clips
from nwb_mivae.errors import AttributionError
from nwb_mivae.inference import session_context

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, Split
    from nwb_mivae.clips.batch import ClipBatch
    from nwb_mivae.model import Context, MiVAEModule

__all__ = ["attribute"]

_SOURCES = ("neurons", "pixels")


def attribute(
    module: MiVAEModule,
    store: ClipStore,
    split: Split,
    session: str,
    *,
    configuration: AttributionConfiguration | None = None,
    seed: int = 0,
    weights_sha256: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> SessionAttribution:
    """Trace the shared latents of a session's clips back to neurons and to pixels.

    Neurons are what ``q(z_xc | x)`` depends on, pixels what ``q(z_yc | y)`` depends on. ``score`` is the cross-modal
    score: the gradient of one modality's log posterior at the other modality's posterior mean. ``fisher`` is the
    score's root mean square over the posterior itself, which needs no estimate and has no sign.

    The context (fingerprints and read-out) is held fixed: it is computed once from the training part, and how it would
    change with the attributed activity is not part of the derivative.

    Parameters
    ----------
    module : MiVAEModule
        Not compiled; left as it was, in its mode and on its device.
    store, split : ClipStore, Split
    session : str
        Key of the session.
    configuration : AttributionConfiguration, optional
    seed : int
        Where the probes' randomness starts.
    weights_sha256 : str
        What :func:`~nwb_mivae.model.weights_digest` says of the module's folder; kept with the result.
    progress : callable, optional
        Told ``(description, done, total)``.

    Returns
    -------
    SessionAttribution

    Raises
    ------
    AttributionError
        If the store has no such session, the part no whole clip of it, or a derivative is not finite.
    """
    settings = configuration or AttributionConfiguration()
    if session not in store.sessions:
        raise AttributionError(
            f"no session {session!r}",
            expected=f"one of {', '.join(store.sessions)}",
            remedy="check the session's key",
            file=store.path,
        )
    frames = module.shape.clip_frames
    all_starts = split.clip_starts(store.sessions[session], settings.part, n_frames=frames, stride=frames)
    if len(all_starts) == 0:
        raise AttributionError(
            f"no clip of {frames} frames in the {settings.part} part",
            expected="at least one",
            remedy="choose another part (attribution.part) or another split",
            file=store.path,
            object_path=session,
        )
    starts = evenly(all_starts, settings.clips)
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            context = session_context(module, store, split, session) if settings.context else None
            gathered = _Gathered(settings, n_clips=len(starts))
            generator = torch.Generator().manual_seed(seed)
            for done, some in _chunks(starts, settings.clips_at_once):
                (progress or _silence)("Attributing clips", done, len(starts))
                batch = load_clips(store, split, session, some, n_frames=frames)
                _attribute_clips(module, batch.to(_device(module)), context, settings, generator, gathered)
    finally:
        module.train(was_training)
    (progress or _silence)("Attributing clips", len(starts), len(starts))
    methods, errors = gathered.finish(session)
    stored = store.sessions[session]
    row = (starts[:, None] + np.arange(frames)).ravel()
    return SessionAttribution(
        session=session,
        methods=methods,
        time=np.asarray(stored.time[row], dtype=np.float64),
        stop_time=np.asarray(stored.stop_time[row], dtype=np.float64),
        row=row.astype(np.int64),
        presentation=np.asarray(stored.presentation[row], dtype=np.int64),
        clip=np.repeat(np.arange(len(starts), dtype=np.int64), frames),
        settings={
            "configuration": settings.model_dump(mode="json"),
            "seed": seed,
            "clips_used": len(starts),
            "clips_available": len(all_starts),
            "context_frames": 0 if context is None else context.n_frames,
            "context_held_fixed": True,
            "fisher_relative_standard_error": errors,
        },
        weights_sha256=weights_sha256,
    )


def _attribute_clips(
    module: MiVAEModule,
    batch: ClipBatch,
    context: Context | None,
    configuration: AttributionConfiguration,
    generator: torch.Generator,
    gathered: _Gathered,
) -> None:
    linearised = {
        "neurons": linearise(
            lambda neural: module.encode_neural(neural, batch.coordinates, context, batch.auxiliary).shared,
            batch.neural,
        ),
        "pixels": linearise(
            lambda luminance: module.encode_stimulus(luminance[:, :, None]).shared, batch.stimulus[:, :, 0]
        ),
    }
    other = {"neurons": linearised["pixels"].posterior.mean, "pixels": linearised["neurons"].posterior.mean}
    for source in _SOURCES:
        _attribute_source(source, linearised[source], other[source], configuration, generator, gathered)


def _attribute_source(
    source: str,
    linearised: Linearised,
    other: Tensor,
    configuration: AttributionConfiguration,
    generator: torch.Generator,
    gathered: _Gathered,
) -> None:
    at_once = configuration.vectors_at_once
    if "score" in configuration.methods:
        gathered.add_score(source, score(linearised, other, vectors_at_once=at_once))
    if "fisher" in configuration.methods:
        maps = fisher(linearised, probes=configuration.probes, generator=generator, vectors_at_once=at_once)
        gathered.add_fisher(source, maps)


class _Gathered:
    """Maps of the clips done so far, on the host."""

    def __init__(self, configuration: AttributionConfiguration, n_clips: int) -> None:
        self._configuration = configuration
        self._n_clips = n_clips
        self._frames: dict[tuple[str, str], list[npt.NDArray[np.float32]]] = {}
        self._sums: dict[tuple[str, str], npt.NDArray[np.float64]] = {}
        #: By source, sums over elements of the variance of the mean over probes, and of that mean's square.
        self._noise: dict[str, npt.NDArray[np.float64]] = {source: np.zeros(2) for source in _SOURCES}

    def add_score(self, source: str, maps: ScoreMaps) -> None:
        self._add("score", source, maps.total, maps.per_latent)

    def add_fisher(self, source: str, maps: FisherMaps) -> None:
        squares = maps.per_probe.mean(0)
        self._add("fisher", source, squares.sqrt(), maps.per_latent)
        if self._configuration.probes is not None:
            of_mean = maps.per_probe.var(0) / len(maps.per_probe)
            self._noise[source] += [float(of_mean.double().sum()), float(squares.double().square().sum())]

    def _add(self, method: str, source: str, frames: Tensor, per_latent: Tensor) -> None:
        self._frames.setdefault((method, source), []).append(frames.flatten(0, 1).float().cpu().numpy())
        sums = per_latent.double().cpu().numpy()
        self._sums[method, source] = self._sums.get((method, source), np.zeros_like(sums)) + sums

    def finish(self, session: str) -> tuple[dict[str, MethodAttribution], dict[str, float] | None]:
        """Every method's maps, and by source the relative standard error that probes leave in ``fisher``, if any."""
        methods: dict[str, MethodAttribution] = {}
        for method in self._configuration.methods:
            parts: dict[str, Any] = {}
            for source in _SOURCES:
                frames = np.concatenate(self._frames[method, source])
                average = self._sums[method, source] / len(frames)
                parts[source] = frames
                parts[f"{source}_per_latent"] = (np.sqrt(average) if method == "fisher" else average).astype(np.float32)
                if not (np.isfinite(frames).all() and np.isfinite(average).all()):
                    raise AttributionError(
                        f"a {method} of {source} that is not a finite number",
                        expected="finite derivatives",
                        remedy="look at the training log: the loss has probably diverged",
                        object_path=session,
                    )
            methods[method] = MethodAttribution(**parts)
        probed = "fisher" in methods and self._configuration.probes is not None
        return methods, {source: self._error(source) for source in _SOURCES} if probed else None

    def _error(self, source: str) -> float:
        noise, size = self._noise[source]
        # The map is the root of what the probes estimate: its relative error is half of theirs.
        return 0.5 * float(np.sqrt(noise / size)) if size > 0 else 0.0


def _chunks(starts: npt.NDArray[np.int64], size: int) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    for first in range(0, len(starts), size):
        yield first, starts[first : first + size]


def _device(module: MiVAEModule) -> torch.device:
    return next(module.parameters()).device


def _silence(description: str, done: int, total: int) -> None:
    """Tell nobody."""
