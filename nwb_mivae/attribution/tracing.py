"""Attribution of a stored session: its clips, the posterior of either modality, and what it was computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nwb_mivae.attribution.configuration import (
    AttributionConfiguration,
    BaselineName,
    BlockName,
    MethodName,
    SourceName,
)
from nwb_mivae.attribution.quantities import Evidence, LatentMean, Quantity
from nwb_mivae.attribution.reference_methods import gradient, gradient_x_input, integrated_gradients, occlusion
from nwb_mivae.attribution.result import CONTRIBUTIONS, MethodAttribution, SessionAttribution
from nwb_mivae.attribution.score import Linearised, fisher, linearise, score
from nwb_mivae.clips import evenly, load_clips
from nwb_mivae.errors import AttributionError
from nwb_mivae.inference import session_context
from nwb_mivae.model import Gaussian, module_digest

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, Split
    from nwb_mivae.clips.batch import ClipBatch
    from nwb_mivae.model import Context, MiVAEModule

    Progress = Callable[[str, int, int], None]

__all__ = ["TrainedModel", "attribute", "attribute_clips"]

_OTHER: Mapping[SourceName, SourceName] = {"neurons": "pixels", "pixels": "neurons"}
#: Quantile of a cell's activity that counts as rest.
_REST = 0.1
_LATENTS = {"neurons": "neural", "pixels": "stimulus"}


class TrainedModel(Protocol):
    """A trained module with the sessions it is used on, as :class:`nwb_mivae.MiVAE` and a run of the pipeline are."""

    @property
    def module(self) -> MiVAEModule: ...

    @property
    def store(self) -> ClipStore: ...

    @property
    def split(self) -> Split: ...


def attribute(
    model: TrainedModel,
    session: str,
    *,
    of: BlockName | None = None,
    to: SourceName | Sequence[SourceName] | None = None,
    method: MethodName | Sequence[MethodName] | None = None,
    latents: Sequence[int] | None = None,
    configuration: AttributionConfiguration | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SessionAttribution:
    """Trace the latents of a session's clips back to neurons and to pixels.

    Neurons are what the neural latents ``q(z_xc | x)`` depend on, pixels what the stimulus latents ``q(z_yc | y)``
    depend on. ``score`` is the cross-modal score: the gradient of one modality's log posterior at the other's
    posterior mean. ``fisher`` is the score's root mean square over the posterior itself, which needs no estimate and
    has no sign. Of the other methods ``gradient`` is how the posterior means would change, and ``gradient_x_input``,
    ``integrated_gradients`` and ``occlusion`` divide a quantity (see ``configuration.quantity``) among its sources.

    The context (fingerprints and read-out) is held fixed: it is computed once from the training part, and how it would
    change with the attributed activity is not part of the derivative.

    Parameters
    ----------
    model : MiVAE or TrainedRun
        Used as it is: its module is not compiled, and left in its mode and on its device.
    session : str
        Key of the session.
    of : {"shared", "private"}, optional
        Which latents. This and the following three take the place of what the configuration has.
    to : {"neurons", "pixels"} or sequence of them, optional
    method : str or sequence of str, optional
        Of :data:`~nwb_mivae.attribution.METHODS`.
    latents : sequence of int, optional
        Numbers of the latents in their block; all by default.
    configuration : AttributionConfiguration, optional
    seed : int
        Where the probes' randomness starts.
    progress : callable, optional
        Told ``(description, done, total)``.

    Returns
    -------
    SessionAttribution

    Raises
    ------
    AttributionError
        If the store has no such session, the part no whole clip of it, the block no such latent, or a derivative is not
        finite.
    ConfigurationError
        If a method is asked for that private latents cannot have.

    Examples
    --------
    >>> import nwb_mivae as nm
    >>> model = nm.MiVAE.load("run", nm.ClipStore.open("store"))  # doctest: +SKIP
    >>> found = nm.attribute(model, "sub-3", to="neurons", method="fisher")  # doctest: +SKIP
    >>> found.per_session("fisher")  # how strongly the shared latents rely on each cell  # doctest: +SKIP
    """
    given = {
        "of": of,
        "to": _listed(to),
        "methods": _listed(method),
        "latents": None if latents is None else [*latents],
    }
    settings = configuration or AttributionConfiguration()
    settings = AttributionConfiguration.from_mapping(
        {**settings.model_dump(mode="json"), **{name: value for name, value in given.items() if value is not None}}
    )
    store, split = model.store, model.split
    if session not in store.sessions:
        raise AttributionError(
            f"no session {session!r}",
            expected=f"one of {', '.join(store.sessions)}",
            remedy="check the session's key",
            file=store.path,
        )
    frames = model.module.shape.clip_frames
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
    return attribute_clips(model, session, starts, settings, n_available=len(all_starts), seed=seed, progress=progress)


def attribute_clips(
    model: TrainedModel,
    session: str,
    starts: npt.NDArray[np.int64],
    settings: AttributionConfiguration,
    *,
    n_available: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> SessionAttribution:
    """As :func:`attribute`, of the clips of a session that start at these rows; they may overlap.

    ``n_available`` is the number of clips they were chosen from.
    """
    module, store, split = model.module, model.store, model.split
    frames = module.shape.clip_frames
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            context = session_context(module, store, split, session) if settings.context else None
            # Shared latents of one modality are estimated from the other; private ones are their modality's alone.
            needed = _OTHER if settings.of == "shared" else settings.to
            sources = [_Source.of(name, module, context, settings, session) for name in needed]

            def batches() -> Iterator[ClipBatch]:
                for first in range(0, len(starts), settings.clips_at_once):
                    some = starts[first : first + settings.clips_at_once]
                    yield load_clips(store, split, session, some, n_frames=frames).to(_device(module))

            moments = _moments(sources, batches(), settings.baseline)
            generator = torch.Generator().manual_seed(seed)
            gathered = _Gathered(settings)
            for done, batch in enumerate(batches()):
                (progress or _silence)("Attributing clips", done * settings.clips_at_once, len(starts))
                _attribute_clips(batch, sources, moments, settings, generator, gathered)
    finally:
        module.train(was_training)
    (progress or _silence)("Attributing clips", len(starts), len(starts))
    stored = store.sessions[session]
    row = (starts[:, None] + np.arange(frames)).ravel()
    return SessionAttribution(
        session=session,
        methods=gathered.methods(session),
        time=np.asarray(stored.time[row], dtype=np.float64),
        stop_time=np.asarray(stored.stop_time[row], dtype=np.float64),
        row=row.astype(np.int64),
        presentation=np.asarray(stored.presentation[row], dtype=np.int64),
        clip=np.repeat(np.arange(len(starts), dtype=np.int64), frames),
        settings={
            "configuration": settings.model_dump(mode="json"),
            "divided": settings.divided if set(settings.methods) & set(CONTRIBUTIONS) else None,
            "seed": seed,
            "clips_used": len(starts),
            "clips_available": n_available,
            "context_frames": 0 if context is None else context.n_frames,
            "context_held_fixed": True,
            "fisher_relative_standard_error": gathered.error_of_probes(),
            "integrated_gradients_relative_gap": gathered.gap_of_paths(),
        },
        weights_sha256=module_digest(module),
    )


def _listed(value: str | Sequence[str] | None) -> list[str] | None:
    return None if value is None else [value] if isinstance(value, str) else [*value]


@dataclass(frozen=True)
class _Source:
    """One modality: what is taken of a clip, and the posterior that is computed from it."""

    name: SourceName
    values: Callable[[ClipBatch], Tensor]
    encode: Callable[[ClipBatch, Tensor], Gaussian]

    @classmethod
    def of(
        cls,
        name: SourceName,
        module: MiVAEModule,
        context: Context | None,
        settings: AttributionConfiguration,
        session: str,
    ) -> _Source:
        configuration = module.configuration
        private = {"neurons": configuration.neural_private_latents, "pixels": configuration.stimulus_private_latents}
        n_latents = configuration.shared_latents if settings.of == "shared" else private[name]
        wanted = list(range(n_latents)) if settings.latents is None else list(settings.latents)
        if not set(wanted) <= set(range(n_latents)):
            raise AttributionError(
                f"latents {', '.join(map(str, wanted))}",
                expected=f"0 to {n_latents - 1}, the {settings.of} {_LATENTS[name]} latents",
                remedy="name latents of this block (attribution.latents)",
                object_path=session,
            )

        def encode(batch: ClipBatch, values: Tensor) -> Gaussian:
            posterior: Any
            if name == "neurons":
                posterior = module.encode_neural(values, batch.coordinates, context, batch.auxiliary)
            else:
                posterior = module.encode_stimulus(values[:, :, None])
            mean, log_variance = getattr(posterior, settings.of)
            return Gaussian(mean[..., wanted], log_variance[..., wanted])

        def values(batch: ClipBatch) -> Tensor:
            return batch.neural if name == "neurons" else batch.stimulus[:, :, 0]

        return cls(name, values, encode)


@dataclass(frozen=True)
class _Moments:
    """of one modality over all clips: its baseline ``(*S)``; mean and mean square ``(K,)`` of its latents."""

    baseline: Tensor
    latents: Tensor
    latent_squares: Tensor


def _moments(
    sources: Sequence[_Source], batches: Iterator[ClipBatch], baseline: BaselineName
) -> dict[SourceName, _Moments]:
    sums: dict[SourceName, list[Tensor]] = {}
    activity: list[Tensor] = []
    n_frames = 0
    for batch in batches:
        n_frames += batch.n_clips * batch.n_frames
        for source in sources:
            values = source.values(batch)
            if source.name == "neurons" and baseline == "rest":
                activity.append(values.flatten(0, 1))
            means = source.encode(batch, values).mean.double()
            parts = (values.double().sum((0, 1)), means.sum((0, 1)), means.square().sum((0, 1)))
            known = sums.setdefault(source.name, [torch.zeros_like(part) for part in parts])
            for total, part in zip(known, parts, strict=True):
                total += part
    found = {}
    for name, totals in sums.items():
        mean, latents, latent_squares = ((total / n_frames).float() for total in totals)
        if baseline == "zero":
            mean = torch.zeros_like(mean)
        elif baseline == "rest":
            mean = _quantile(torch.cat(activity), _REST) if name == "neurons" else mean.mean().expand_as(mean)
        found[name] = _Moments(mean, latents, latent_squares)
    return found


def _quantile(activity: Tensor, share: float) -> Tensor:
    """Of each cell over frames ``(F, N)``; ``torch.quantile`` takes no more than some millions of values."""
    place = max(1, round(share * len(activity)))
    return activity.kthvalue(place, dim=0).values


def _attribute_clips(
    batch: ClipBatch,
    sources: Sequence[_Source],
    moments: Mapping[SourceName, _Moments],
    settings: AttributionConfiguration,
    generator: torch.Generator,
    gathered: _Gathered,
) -> None:
    linearised = {source.name: linearise(partial(source.encode, batch), source.values(batch)) for source in sources}
    for source in sources:
        if source.name not in settings.to:
            continue
        other = _OTHER[source.name]
        estimate = linearised[other].posterior.mean if other in linearised else None
        quantity: Quantity = LatentMean()
        if settings.divided == "evidence" and estimate is not None:
            quantity = Evidence(estimate, moments[other].latents, moments[other].latent_squares)
        baseline = moments[source.name].baseline
        for method in settings.methods:
            _attribute_source(
                method,
                source,
                batch,
                linearised[source.name],
                estimate,
                quantity,
                baseline,
                settings,
                generator,
                gathered,
            )


def _attribute_source(
    method: MethodName,
    source: _Source,
    batch: ClipBatch,
    linearised: Linearised,
    estimate: Tensor | None,
    quantity: Quantity,
    baseline: Tensor,
    settings: AttributionConfiguration,
    generator: torch.Generator,
    gathered: _Gathered,
) -> None:
    at_once, keep = settings.vectors_at_once, settings.by_latent

    encode = partial(source.encode, batch)
    if method == "fisher":
        maps = fisher(
            linearised, probes=settings.probes, generator=generator, vectors_at_once=at_once, keep_latents=keep
        )
        squares = maps.per_probe.mean(0)
        gathered.add(method, source.name, squares.sqrt(), maps.per_latent, _root(maps.by_latent))
        if settings.probes is not None:
            gathered.add_noise(source.name, maps.per_probe)
        return
    if method == "score":
        assert estimate is not None  # the configuration refuses this method for private latents
        found: Any = score(linearised, estimate, vectors_at_once=at_once, keep_latents=keep)
    elif method == "gradient":
        found = gradient(linearised, LatentMean(), vectors_at_once=at_once, keep_latents=keep)
    elif method == "gradient_x_input":
        found = gradient_x_input(linearised, quantity, baseline, vectors_at_once=at_once, keep_latents=keep)
    elif method == "integrated_gradients":
        found, missing = integrated_gradients(
            encode,
            linearised.source,
            quantity,
            baseline,
            steps=settings.path_steps,
            vectors_at_once=at_once,
            keep_latents=keep,
        )
        gathered.add_gap(source.name, missing, quantity.value(linearised.posterior))
    else:
        clip = (settings.occlusion_frames or linearised.source.shape[1],)
        patch = clip + ((1,) if source.name == "neurons" else 2 * (settings.occlusion_pixels,))
        found = occlusion(
            encode, linearised.source, quantity, baseline, patch=patch, patches_at_once=at_once, keep_latents=keep
        )
    gathered.add(method, source.name, found.total, found.per_latent, found.by_latent)


def _root(squares: Tensor | None) -> Tensor | None:
    return None if squares is None else squares.sqrt()


class _Gathered:
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
        self._frames.setdefault((method, source), []).append(_on_host(frames.flatten(0, 1)))
        if by_latent is not None:
            self._by_latent.setdefault((method, source), []).append(_on_host(by_latent.flatten(1, 2)))
        sums = per_latent.double().cpu().numpy()
        self._sums[method, source] = self._sums.get((method, source), np.zeros_like(sums)) + sums

    def add_noise(self, source: SourceName, per_probe: Tensor) -> None:
        of_mean, mean = per_probe.var(0) / len(per_probe), per_probe.mean(0)
        noise = np.array([float(of_mean.double().sum()), float(mean.double().square().sum())])
        self._noise[source] = self._noise.get(source, np.zeros(2)) + noise

    def add_gap(self, source: SourceName, missing: Tensor, value: Tensor) -> None:
        gap = np.array([float(each.double().square().sum()) for each in (missing, value)])
        self._gaps[source] = self._gaps.get(source, np.zeros(2)) + gap

    def methods(self, session: str) -> dict[str, MethodAttribution]:
        """Every method's maps."""
        return {method: self._method(method, session) for method in self._configuration.methods}

    def _method(self, method: MethodName, session: str) -> MethodAttribution:
        parts: dict[str, Any] = {}
        n_frames = sum(map(len, next(iter(self._frames.values()))))
        n_latents = len(next(iter(self._sums.values())))
        for source in _OTHER:
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
        evidence = method in CONTRIBUTIONS and self._configuration.divided == "evidence"
        return MethodAttribution(**parts, signed=method == "score" or evidence)

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


def _device(module: MiVAEModule) -> torch.device:
    return next(module.parameters()).device


def _silence(description: str, done: int, total: int) -> None:
    """Tell nobody."""
