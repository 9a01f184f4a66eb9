"""Tracing latents back to what they came from, and what is found of it: subpopulations and stimulus regions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwb_mivae.attribution import (
    SessionAttribution,
    SessionStimulusRegions,
    SessionSubpopulations,
    find_stimulus_regions,
    find_subpopulations,
    onset_courses,
    why_no_stimulus_regions,
    why_no_subpopulations,
)
from nwb_mivae.attribution import attribute as attribute_session
from nwb_mivae.pipeline.configuration import PipelineConfiguration
from nwb_mivae.pipeline.record import TrainedRun, changing_step
from nwb_mivae.report.conclusions import why_groups_are_weak

if TYPE_CHECKING:
    Progress = Callable[[str, int, int], None]
    AnyPath = str | PathLike[str]

__all__ = ["AttributedSession", "attribute"]


@dataclass(frozen=True)
class AttributedSession:
    """Attribution of one session, and what was found of it.

    Attributes
    ----------
    attribution : SessionAttribution
    subpopulations : SessionSubpopulations or None
        Cells grouped by when the latents rely on them.
    regions : SessionStimulusRegions or None
        What of the stimulus the attribution to pixels falls on.
    not_found : mapping of str to str
        Why there are no ``subpopulations`` or no ``regions``, by these names.
    """

    attribution: SessionAttribution
    subpopulations: SessionSubpopulations | None = None
    regions: SessionStimulusRegions | None = None
    not_found: Mapping[str, str] = field(default_factory=dict)

    def in_words(self) -> dict[str, str]:
        """What was found: of ``subpopulations`` with what there is to doubt, of ``regions`` what has most weight."""
        words = {name: f"none, since {reason}" for name, reason in self.not_found.items()}
        if self.subpopulations is not None:
            finding, weak = str(self.subpopulations.settings["finding"]), why_groups_are_weak(self.subpopulations)
            words["subpopulations"] = f"{finding} {weak}" if weak else finding
        if self.regions is not None:
            words["regions"] = self.regions.in_words()[self.regions.strongest()]
        return {name: words[name] for name in ("subpopulations", "regions")}


def attribute(
    run: AnyPath,
    *,
    store: AnyPath | None = None,
    sessions: Sequence[str] | None = None,
    settings: Iterable[str] | Mapping[str, Any] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, AttributedSession]:
    """Trace the latents of the wanted sessions (default all) back to neurons and to stimulus pixels.

    Cells whose attribution has a common time course are grouped into subpopulations, and what is shown where the
    attribution to pixels lies is tested; the run keeps both beside the attribution. Where the attribution has not what
    they are found from, the record of this step says why there are none.
    """
    trained = TrainedRun.open(run, store)
    changed = trained.configuration.changed(settings)
    attributions, groups, regions = (
        trained.current_folder("attribute", folder)
        for folder in (trained.run.attribution, trained.run.subpopulations, trained.run.regions)
    )
    found = {}
    keys = trained.sessions(sessions)
    for done, key in enumerate(keys):
        attribution = attribute_session(trained, key, configuration=changed.attribution, seed=seed, progress=progress)
        found[key] = _find(trained, attribution, changed, seed, progress, (done, len(keys)))
        # What was found of an earlier attribution goes first: no part is ever beside one that it is not of.
        for folder in (groups, regions, attributions):
            (folder / f"{key}.npz").unlink(missing_ok=True)
        attribution.save(attributions / f"{key}.npz")
        _save(found[key].subpopulations, groups / f"{key}.npz")
        _save(found[key].regions, regions / f"{key}.npz")
        _record(trained, key, found[key], changed, seed)
    return found


def _find(
    trained: TrainedRun,
    attribution: SessionAttribution,
    settings: PipelineConfiguration,
    seed: int,
    progress: Progress | None,
    place: tuple[int, int],
) -> AttributedSession:
    key = attribution.session
    reasons = {
        "subpopulations": why_no_subpopulations(attribution, settings.subpopulations),
        "regions": why_no_stimulus_regions(attribution),
    }
    done, total = place
    groups = regions = None
    if not reasons["subpopulations"]:
        around_onsets = None
        if settings.subpopulations.around_onsets:
            around_onsets = onset_courses(
                trained,
                key,
                of=settings.attribution.of,
                latents=settings.attribution.latents,
                context=settings.attribution.context,
                configuration=settings.subpopulations,
                progress=progress,
            )
        if progress is not None:
            progress("Finding subpopulations", done, total)
        groups = find_subpopulations(
            attribution,
            trained.store.sessions[key],
            around_onsets=around_onsets,
            configuration=settings.subpopulations,
            seed=seed,
        )
        if progress is not None:
            progress("Finding subpopulations", done + 1, total)
    if not reasons["regions"]:
        if progress is not None:
            progress("Finding stimulus regions", done, total)
        regions = find_stimulus_regions(attribution, trained.store, configuration=settings.regions, seed=seed)
        if progress is not None:
            progress("Finding stimulus regions", done + 1, total)
    not_found = {name: reason for name, reason in reasons.items() if reason}
    return AttributedSession(attribution, groups, regions, not_found)


def _save(result: SessionSubpopulations | SessionStimulusRegions | None, path: Path) -> None:
    if result is not None:
        result.save(path)


def _record(
    trained: TrainedRun, key: str, found: AttributedSession, settings: PipelineConfiguration, seed: int
) -> None:
    """Record the step; what it says of sessions that an earlier call attributed with these weights stays."""
    with changing_step(trained.run, "attribute") as known:
        current = known.get("weights_sha256") == trained.weights_sha256
        earlier = dict(known.get("not_found", {})) if current else {}
        earlier.pop(key, None)
        known.clear()
        known.update(
            seed=seed,
            configuration=settings.attribution.model_dump(mode="json"),
            subpopulations=settings.subpopulations.model_dump(mode="json"),
            regions=settings.regions.model_dump(mode="json"),
            not_found={**earlier, **({key: dict(found.not_found)} if found.not_found else {})},
        )
