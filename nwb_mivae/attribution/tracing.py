"""Attribution of a stored session: its clips, the posterior of either modality, and what it was computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

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
from nwb_mivae.attribution.cost import Cost, clips_and_vectors_at_once, encoding_cost
from nwb_mivae.attribution.exact_fisher import exact_fisher_of_neurons
from nwb_mivae.attribution.gathering import Gathered
from nwb_mivae.attribution.quantities import Evidence, LatentMean, Quantity
from nwb_mivae.attribution.reference_methods import (
    ReferenceMaps,
    gradient,
    gradient_x_input,
    integrated_gradients,
    occlusion,
)
from nwb_mivae.attribution.result import CONTRIBUTIONS, SessionAttribution
from nwb_mivae.attribution.score import (
    FisherMaps,
    Linearised,
    Probes,
    ScoreMaps,
    fisher,
    linearise,
    score,
)
from nwb_mivae.attribution.through_front_end import exact_fisher_of_pixels, linearise_pixels, pixels_cost
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
_CELLS_AT_ONCE = 256
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
        From it and the clip the probes follow, whatever else is attributed and however much of it at once.
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
            divides = bool(set(settings.methods) & set(CONTRIBUTIONS))
            # The other modality is only looked at where its estimate of the latents is needed.
            estimated = "score" in settings.methods or (divides and settings.divided == "evidence")
            needed = _OTHER if estimated else settings.to
            sources = [_Source.of(name, module, context, settings, session) for name in needed]

            first = load_clips(store, split, session, starts[:1], n_frames=frames).to(_device(module))
            clips_at_once, vectors_at_once = _at_once(sources, first, settings)

            def batches() -> Iterator[ClipBatch]:
                for done in range(0, len(starts), clips_at_once):
                    some = starts[done : done + clips_at_once]
                    yield load_clips(store, split, session, some, n_frames=frames).to(_device(module))

            moments = _moments(sources, batches(), settings.baseline) if divides else {}
            gathered = Gathered(settings)
            for number, batch in enumerate(batches()):
                (progress or _silence)("Attributing clips", number * clips_at_once, len(starts))
                _attribute_batch(batch, sources, moments, settings, seed, vectors_at_once, gathered)
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
    module: MiVAEModule
    context: Context | None
    block: BlockName
    #: Numbers of some latents; ``None`` is all of them.
    latents: list[int] | None

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
        wanted = None if settings.latents is None else list(settings.latents)
        if wanted is not None and not set(wanted) <= set(range(n_latents)):
            raise AttributionError(
                f"latents {', '.join(map(str, wanted))}",
                expected=f"0 to {n_latents - 1}, the {settings.of} {_LATENTS[name]} latents",
                remedy="name latents of this block (attribution.latents)",
                object_path=session,
            )
        return cls(name, module, context, settings.of, wanted)

    def values(self, batch: ClipBatch) -> Tensor:
        """``(B, T, *S)``."""
        return batch.neural if self.name == "neurons" else batch.stimulus[:, :, 0]

    def encode(self, batch: ClipBatch, values: Tensor) -> Gaussian:
        posterior: Any
        if self.name == "neurons":
            posterior = self.module.encode_neural(values, batch.coordinates, self.context, batch.auxiliary)
        else:
            posterior = self.module.encode_stimulus(values[:, :, None])
        found: Gaussian = getattr(posterior, self.block)
        return found if self.latents is None else Gaussian(*(each[..., self.latents] for each in found))

    def linearise(self, batch: ClipBatch) -> Linearised:
        if self.name == "pixels":
            return linearise_pixels(self.module, batch, latents=self.block, numbers=self.latents)
        return linearise(partial(self.encode, batch), self.values(batch))

    def exact_fisher(self, batch: ClipBatch, memory: float) -> FisherMaps:
        """Of all latents of the block together."""
        if self.name == "pixels":
            return exact_fisher_of_pixels(self.module, batch, latents=self.block, memory=memory)
        return exact_fisher_of_neurons(self.module, batch, self.context, latents=self.block, memory=memory)

    def cost(self, batch: ClipBatch, probes: int | None) -> Cost:
        if self.name == "pixels":
            return pixels_cost(self.module, batch, probes=probes)
        return encoding_cost(partial(self.encode, batch), self.values(batch), probes=probes)


def _at_once(sources: Sequence[_Source], clip: ClipBatch, settings: AttributionConfiguration) -> tuple[int, int]:
    """Clips, and products of them, that are done together, of clips like this one."""
    return clips_and_vectors_at_once(
        [source.cost(clip, settings.probes) for source in sources if source.name in settings.to],
        settings.memory,
        clips=settings.clips_at_once,
        vectors=settings.vectors_at_once,
    )


@dataclass(frozen=True)
class _Moments:
    """Of one modality over all clips: its baseline ``(*S)``; mean and mean square ``(K,)`` of its latents."""

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
                activity.append(values.flatten(0, 1).cpu())
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
            mean = _rest(activity).to(mean) if name == "neurons" else mean.mean().expand_as(mean)
        found[name] = _Moments(mean, latents, latent_squares)
    return found


def _rest(activity: Sequence[Tensor]) -> Tensor:
    """Quantile of each cell's activity over frames, of batches ``(F, N)``; by some cells at a time."""
    n_cells = activity[0].shape[1]
    rest = []
    for first in range(0, n_cells, _CELLS_AT_ONCE):
        some = torch.cat([batch[:, first : first + _CELLS_AT_ONCE] for batch in activity])
        rest.append(some.kthvalue(max(1, round(_REST * len(some))), dim=0).values)
    return torch.cat(rest)


def _attribute_batch(
    batch: ClipBatch,
    sources: Sequence[_Source],
    moments: Mapping[SourceName, _Moments],
    settings: AttributionConfiguration,
    seed: int,
    vectors_at_once: int,
    gathered: Gathered,
) -> None:
    linearised = {source.name: source.linearise(batch) for source in sources if source.name in settings.to}
    estimates = {
        source.name: linearised[source.name].posterior.mean
        if source.name in linearised
        else source.encode(batch, source.values(batch)).mean
        for source in sources
    }
    for source in sources:
        if source.name not in linearised:
            continue
        other = _OTHER[source.name]
        estimate = estimates.get(other)
        given = _Given(linearised[source.name], estimate, vectors_at_once)
        divided = None
        if moments:
            quantity: Quantity = LatentMean()
            if settings.divided == "evidence" and estimate is not None:
                quantity = Evidence(estimate, moments[other].latents, moments[other].latent_squares)
            divided = _Divided(quantity, moments[source.name].baseline)
        for method in settings.methods:
            if method == "fisher":
                gathered.add_fisher(source.name, _fisher(source, batch, given, settings, seed))
            else:
                _attribute_source(method, source, batch, given, divided, settings, gathered)


class _Given(NamedTuple):
    """What methods start from: of one source and some clips."""

    linearised: Linearised
    #: Of the latents, from the other modality; private latents have none.
    estimate: Tensor | None
    vectors_at_once: int


class _Divided(NamedTuple):
    """What contributions add up to, and what they are relative to ``(*S)``."""

    quantity: Quantity
    baseline: Tensor


def _fisher(
    source: _Source,
    batch: ClipBatch,
    given: _Given,
    settings: AttributionConfiguration,
    seed: int,
) -> FisherMaps:
    if settings.probes is None and not settings.by_latent and source.latents is None:
        return source.exact_fisher(batch, settings.memory)
    probes = None
    if settings.probes is not None:
        place = list(_OTHER).index(source.name)
        probes = Probes(settings.probes, seed, batch.start.tolist(), place, source.latents)
    return fisher(
        given.linearised,
        probes=probes,
        vectors_at_once=given.vectors_at_once,
        keep_latents=settings.by_latent,
    )


def _attribute_source(
    method: MethodName,
    source: _Source,
    batch: ClipBatch,
    given: _Given,
    divided: _Divided | None,
    settings: AttributionConfiguration,
    gathered: Gathered,
) -> None:
    linearised, estimate, at_once = given
    keep, encode = settings.by_latent, partial(source.encode, batch)
    if method == "score":
        assert estimate is not None  # the configuration refuses this method for private latents
        found: ScoreMaps | ReferenceMaps = score(linearised, estimate, vectors_at_once=at_once, keep_latents=keep)
    elif method == "gradient":
        found = gradient(linearised, LatentMean(), vectors_at_once=at_once, keep_latents=keep)
    else:
        assert divided is not None  # the first pass over the clips is made where something is divided
        found = _contributions(method, encode, given, divided, source.name, settings, gathered)
    gathered.add(method, source.name, found.total, found.per_latent, found.by_latent)


def _contributions(
    method: MethodName,
    encode: Callable[[Tensor], Gaussian],
    given: _Given,
    divided: _Divided,
    source: SourceName,
    settings: AttributionConfiguration,
    gathered: Gathered,
) -> ReferenceMaps:
    linearised, _, at_once = given
    quantity, baseline = divided
    keep = settings.by_latent
    if method == "gradient_x_input":
        return gradient_x_input(linearised, quantity, baseline, vectors_at_once=at_once, keep_latents=keep)
    if method == "integrated_gradients":
        found, missing = integrated_gradients(
            encode,
            linearised.source,
            quantity,
            baseline,
            steps=settings.path_steps,
            vectors_at_once=at_once,
            keep_latents=keep,
        )
        gathered.add_gap(source, missing, quantity.value(linearised.posterior))
        return found
    clip = (settings.occlusion_frames or linearised.source.shape[1],)
    patch = clip + ((1,) if source == "neurons" else 2 * (settings.occlusion_pixels,))
    return occlusion(
        encode, linearised.source, quantity, baseline, patch=patch, patches_at_once=at_once, keep_latents=keep
    )


def _device(module: MiVAEModule) -> torch.device:
    return next(module.parameters()).device


def _silence(description: str, done: int, total: int) -> None:
    """Tell nobody."""
