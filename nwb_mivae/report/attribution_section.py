"""The report's section on attribution: what latents rely on, what of it was tested, and what can be concluded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution import (
    CONTRIBUTIONS,
    MethodAttribution,
    SessionAttribution,
    SessionStimulusRegions,
    SessionSubpopulations,
    why_no_stimulus_regions,
    why_no_subpopulations,
)
from nwb_mivae.clips import ClipStore, Split, StoredSession, evenly
from nwb_mivae.errors import NwbMivaeError
from nwb_mivae.report import figures
from nwb_mivae.report.conclusions import conclusions
from nwb_mivae.report.page import Html, animation, bullets, heading, paragraph, picture, table
from nwb_mivae.report.shown import draw_sessions, frames_of
from nwb_mivae.report.words import short_names
from nwb_mivae.run import Run

__all__ = ["attribution_section"]

_Figures = npt.NDArray[np.float64]

_MOVIE_FRAMES, _MOVIE_BYTES, _STILL_FRAMES, _RASTER_CLIPS = 32, 500_000, 4, 12
#: Clips and profiles shorter than this are drawn with their ends, or too little would be left.
_LEAST_FRAMES = 5
#: Cells that are named.
_NAMED_CELLS = 5

_METHODS = {
    "score": "which way what was there would move the latents towards what the other modality says; has a sign",
    "fisher": "how strongly the latents depend on what was there; no sign",
    "gradient": "how much the latents' means would change",
    "gradient_x_input": "what was there contributed, to first order",
    "integrated_gradients": "what was there contributed, summed up on the way from a baseline",
    "occlusion": "what is lost where it is replaced by a baseline",
}


def attribution_section(run: Run, store: ClipStore, split: Split) -> list[Html]:
    """Everything about the attribution of one held-out session and one trained session.

    What a session's attribution lacks, or a run of an earlier version does not hold, is said where it would stand.
    """
    drawn = draw_sessions(run.attribution, store, split, lambda path, key: _session(path, key, run, store, split))
    return drawn or [paragraph("Not computed yet: run `nwb-mivae attribute` on this run.")]


def _session(path: Path, key: str, run: Run, store: ClipStore, split: Split) -> list[Html]:
    attribution = SessionAttribution.load(path)
    stored = store.sessions[key]
    name = short_names(store)[key]
    role = "held out" if key in set(split.held_out_sessions) else "trained"
    parts = [heading(f"{name} ({role})", level=3), *_what_was_traced(attribution)]
    groups: SessionSubpopulations | None = None
    regions: SessionStimulusRegions | None = None
    problems = []
    try:
        groups = _found(SessionSubpopulations, run.subpopulations / path.name)
    except NwbMivaeError as problem:
        problems.append(f"Subpopulations are not shown. {problem}")
    try:
        regions = _found(SessionStimulusRegions, run.regions / path.name)
    except NwbMivaeError as problem:
        problems.append(f"Stimulus regions are not shown. {problem}")
    parts.append(bullets([("", text) for text in [*_findings(attribution, groups, regions), *problems]]))
    parts += _of_pixels(attribution, regions, store, stored, name)
    parts += _tests(regions, name)
    parts += _of_cells(attribution, groups, store, stored, name)
    parts.append(heading(f"{name}: what can and cannot be concluded", level=4))
    parts.append(
        bullets(
            conclusions(
                attribution,
                regions,
                groups=groups,
                cells=stored.n_cells,
                different_clips=_different_clips(attribution, stored),
            )
        )
    )
    return parts


def _found(kind: Any, path: Path) -> Any:
    return kind.load(path) if path.exists() else None


def _what_was_traced(attribution: SessionAttribution) -> list[Html]:
    settings = attribution.settings
    known = settings.get("configuration", {})
    clips = len(np.unique(attribution.clip))
    available = settings.get("clips_available", clips)
    block, part = known.get("of", "shared"), known.get("part", "test")
    sources = [
        source
        for source in ("neurons", "pixels")
        if any(getattr(method, source).size for method in attribution.methods.values())
    ]
    return [
        paragraph(
            f"The {block} latents of {clips} of {available} clips of the {part} part, traced back to "
            f"{' and '.join(sources)}. A frame of a map is a frame of what was there: how the latents of the whole "
            "clip respond to it."
        ),
        table(
            ("method", "what it says"),
            [(name.replace("_", " "), _METHODS.get(name, "")) for name in attribution.methods],
        ),
    ]


def _findings(
    attribution: SessionAttribution, groups: SessionSubpopulations | None, regions: SessionStimulusRegions | None
) -> list[str]:
    again = "the run holds none: run `nwb-mivae attribute` on it again"
    if groups is not None:
        cells = str(groups.settings.get("finding", f"{len(groups.profile)} subpopulations."))
    else:
        cells = f"No subpopulations: {why_no_subpopulations(attribution) or again}."
    if regions is not None:
        pixels = f"What the pixels tell most of is {_in_words(regions.strongest())}. "
        pixels += regions.in_words()[regions.strongest()]
    else:
        pixels = f"No stimulus regions: {why_no_stimulus_regions(attribution) or again}."
    return [cells, pixels]


def _of_pixels(
    attribution: SessionAttribution,
    regions: SessionStimulusRegions | None,
    store: ClipStore,
    stored: StoredSession,
    name: str,
) -> list[Html]:
    methods = {key: method for key, method in attribution.methods.items() if method.pixels.size}
    if not methods:
        return []
    key = "fisher" if "fisher" in methods else next(iter(methods))
    method = methods[key]
    numbers = np.unique(attribution.clip)
    length = int((attribution.clip == numbers[0]).sum())
    some = np.isin(attribution.clip, evenly(numbers, max(1, _MOVIE_FRAMES // length)))
    middle = np.array([np.flatnonzero(attribution.clip == clip).mean() for clip in numbers], dtype=np.int64)
    shown = evenly(middle, _STILL_FRAMES)
    fields = method.pixels_per_latent
    label = _in_words(key)
    block = attribution.settings.get("configuration", {}).get("of", "shared")
    colours = "blue for less, orange for more" if method.signed else "from purple, little, to yellow, much"
    parts = [
        animation(
            figures.attribution_movie(
                frames_of(store, stored, attribution.row[some]),
                method.pixels[some],
                frame_rate=store.frame_rate,
                signed=method.signed,
                most_bytes=_MOVIE_BYTES,
            ),
            caption="Attributed clips one after another, three times slower than they were shown, and beside them "
            f"the same under the attribution to each pixel ({label}: {colours}; one scale for all). Good: colour lies "
            "on edges, texture and moving things, and goes where they go. Bad: colour that stays in one place whatever "
            "is shown, a checkerboard, or the border alone (the network's own structure, not the stimulus).",
            description=f"Movie of what {name} saw, beside it the same with pixel attribution.",
        ),
        picture(
            figures.attribution_on_frames(
                frames_of(store, stored, attribution.row[shown]),
                {_in_words(other).replace(" ", "\n", 1): each.pixels[shown] for other, each in methods.items()},
                [f"{attribution.time[place]:.1f} s" for place in shown],
            ),
            caption="Frames from the middle of evenly spaced clips, and over them how much each pixel moved the "
            f"{block} latents by every method (bright: much). Good: bright spots on edges, texture and moving parts, "
            "and different from frame to frame. Bad: the same pattern over every frame, a checkerboard, or the border "
            "alone.",
            description=f"Movie frames of {name} with pixel attribution.",
        ),
        picture(
            figures.receptive_fields(fields, _latent_names(attribution, len(fields))),
            caption=f"Where in the picture each latent looks: its attribution to the pixels ({label}) over all "
            "attributed frames. A cross marks the middle of what stands out. Good: spots in different places. Bad: all "
            f"maps alike, or bright along the border.{_concentration(regions)}",
            description=f"Receptive fields of the latents in {name}.",
        ),
    ]
    return parts


def _concentration(regions: SessionStimulusRegions | None) -> str:
    known = np.zeros(0) if regions is None else regions.latent_concentration[np.isfinite(regions.latent_concentration)]
    if not len(known):
        return ""
    return (
        f" In the median latent the strongest tenth of the pixels has {100 * float(np.median(known)):.0f} % of the "
        "energy (10 % in a flat map)."
    )


def _latent_names(attribution: SessionAttribution, number: int) -> list[str]:
    chosen = attribution.settings.get("configuration", {}).get("latents") or range(number)
    return [f"latent {latent}" for latent in chosen]


def _tests(regions: SessionStimulusRegions | None, name: str) -> list[Html]:
    if regions is None:
        return []
    return [
        picture(
            figures.stimulus_statistics(_effects(regions), effect="rank correlation"),
            caption="Whether the attribution to pixels lies where the stimulus has more of something, frame by frame. "
            "Point and line: correlation and its interval over clips. Hills: what chance gives, with maps shifted in "
            "space, and with the frames of other clips; p-values are corrected for all tests of the session. Good: the "
            "point lies clear of every hill. Bad: within one. Clear of shifted maps alone says little, since "
            "attribution and statistic may merely have the same place in every frame.",
            description=f"Correlation of pixel attribution with stimulus statistics in {name}, against two nulls.",
        ),
        bullets(("", text) for text in regions.in_words().values()),
    ]


def _effects(regions: SessionStimulusRegions) -> dict[str, dict[str, Any]]:
    """Correlations and what each null makes of them, on one scale.

    An effect is the correlation less what the null expects, which is added again here. The interval is that of the
    effect from clip to clip, or where there is none of the other.
    """
    nulls = list(regions.nulls)
    effects = {}
    for place, name in enumerate(regions.statistics):
        correlation = float(regions.correlation[0, place])
        expected = correlation - regions.effect[0, place]
        intervals = expected[:, None] + regions.interval[0, place]
        tested = [null for null in reversed(range(len(nulls))) if np.isfinite(intervals[null]).all()]
        low, high = intervals[tested[0]] if tested else (math.nan, math.nan)
        effects[name] = {
            "effect": correlation,
            "low": float(low),
            "high": float(high),
            "p": {null: float(regions.p_corrected[0, place, which]) for which, null in enumerate(nulls)},
            "null": {null: expected[which] + regions.null_effect[0, place, which] for which, null in enumerate(nulls)},
        }
    return effects


def _of_cells(
    attribution: SessionAttribution,
    groups: SessionSubpopulations | None,
    store: ClipStore,
    stored: StoredSession,
    name: str,
) -> list[Html]:
    methods = {key: method for key, method in attribution.methods.items() if method.neurons.size}
    if not methods:
        return []
    parts = _raster(attribution, groups, store, name) + _subpopulations(groups)
    figures_of = {key: attribution.per_session(key, "neurons") for key in methods}
    evidence = _evidence(methods)
    parts += _cells_with_evidence(figures_of, evidence, stored) + _agreement(figures_of, evidence)
    coordinates = np.asarray(stored.coordinates, dtype=np.float64)
    if not np.isfinite(coordinates[:, :2]).all(axis=1).any():
        return [*parts, paragraph(f"{name}: the file gives no positions of its cells, so there is no map of cortex.")]
    parts.append(_on_cortex(figures_of, evidence, coordinates, name))
    if groups is not None and len(groups.subpopulation) == len(coordinates):
        parts.append(
            picture(
                figures.subpopulations_on_cortex(coordinates, groups.subpopulation, name),
                caption="The same cells coloured by the subpopulation they belong to. Groups are made without "
                "positions, so a group that lies in one place says something; that they are mixed is no fault. Bad: a "
                "border that is the border of a plane or of a part of the field (they were recorded differently).",
                description=f"Map of the cells of {name} coloured by subpopulation.",
            )
        )
    return parts


def _evidence(methods: Mapping[str, MethodAttribution]) -> str | None:
    """The method that divides evidence among cells; contributions to anything else have no sign."""
    return next((key for key in CONTRIBUTIONS if key in methods and methods[key].signed), None)


def _cells_with_evidence(figures_of: Mapping[str, _Figures], evidence: str | None, stored: StoredSession) -> list[Html]:
    """How many cells speak for what was shown, and which most."""
    if evidence is None:
        return [
            paragraph(
                "Which cells speak for what was shown is not known: it takes evidence, of the shared latents, by "
                f"{' or '.join(CONTRIBUTIONS)} (attribution.methods, attribution.quantity).",
                soft=True,
            )
        ]
    values = figures_of[evidence]
    best = np.argsort(-values, kind="stable")[:_NAMED_CELLS]
    others = [key for key in figures_of if key != evidence]
    places = {key: np.argsort(np.argsort(-figures_of[key], kind="stable")) for key in others}
    return [
        paragraph(
            f"Evidence ({_in_words(evidence)}, mean over the attributed frames) says which cells carry information "
            "about what was shown. It is above zero, so that the cell speaks for what was shown, in "
            f"{int((values > 0).sum()):,} of {len(values):,} cells. Of cells that say nothing about half are above "
            f"zero by chance. The strongest{', and their place by the other methods' * bool(others)}:"
        ),
        table(
            ("cell", "evidence, nats per frame", *(f"place by {_in_words(key)}" for key in others)),
            [
                [_row_of(stored, cell), f"{values[cell]:.3g}", *(int(places[key][cell]) + 1 for key in others)]
                for cell in best
            ],
        ),
    ]


def _row_of(stored: StoredSession, cell: int) -> str:
    """Where a cell stands in the recording: its row and the table, and the file where there are several."""
    known = stored.cells.iloc[cell]
    file = f" of {Path(str(known['source_file'])).name}" if stored.cells["source_file"].nunique() > 1 else ""
    return f"row {int(known['source_row'])} of {known['source_path']}{file}"


def _on_cortex(
    figures_of: Mapping[str, _Figures], evidence: str | None, coordinates: npt.NDArray[np.float64], name: str
) -> Html:
    """The map of evidence, with its sign, and that of how sensitive the latents are to each cell."""
    others = [key for key in figures_of if key != evidence]
    mapped = next((key for key in ("fisher", "score") if key in others), next(iter(others), None))
    shown, caption, signed = {}, "Every cell where it lies in cortex.", []
    if evidence is not None:
        label = f"{_in_words(evidence)}: evidence, nats per frame"
        shown[label] = figures_of[evidence]
        signed.append(label)
        caption += (
            " Evidence, mean over the attributed frames: red cells speak for what was shown, blue ones against it, "
            "white ones say nothing about it."
        )
    if mapped is not None:
        shown[_in_words(mapped)] = figures_of[mapped]
        caption += (
            f" {_in_words(mapped).capitalize()}, root mean square over the attributed frames: how much the latents "
            "rely on a cell, whether or not what was shown bears it out."
        )
    caption += (
        " Good: some cells stand out. Bad: all cells equal, or one cell alone (an artefact, or an outlier in its trace)"
    )
    caption += "." if evidence is None else ", or as much blue as red (noise)."
    return picture(
        figures.attribution_on_cortex(coordinates, shown, name, signed),
        caption=caption,
        description=f"Map of the cells of {name} coloured by attribution.",
    )


def _raster(
    attribution: SessionAttribution, groups: SessionSubpopulations | None, store: ClipStore, name: str
) -> list[Html]:
    methods = [key for key, each in attribution.methods.items() if each.neurons.size]
    if groups is None or not methods:
        return []
    # Time courses around onsets are not kept; what is drawn beside them is the attribution to the same cells.
    by = next((key for key in (groups.attribution_method, "fisher") if key in methods), methods[0])
    numbers = np.unique(attribution.clip)
    some = np.isin(attribution.clip, evenly(numbers, _RASTER_CLIPS))
    clip = attribution.clip[some]
    values = attribution.maps(by)[some].astype(np.float64)
    starts = np.flatnonzero(np.diff(clip, prepend=clip[0] - 1))
    lengths = np.diff(starts, append=len(clip))
    long = bool((lengths >= _LEAST_FRAMES).all())
    if long:
        values[np.concatenate([starts, starts + lengths - 1])] = np.nan
    # A profile of other bins than the clip's frames has been cut already.
    of_clips = groups.settings.get("time_courses", "within a clip") == "within a clip"
    cut = slice(1, -1) if of_clips and long and len(groups.profile_time) == lengths[0] else slice(None)
    ends = "Left white are the first and last frame of every clip" if long else "Beware the ends of clips"
    return [
        picture(
            figures.attribution_raster(
                values,
                groups.subpopulation,
                groups.profile[:, cut],
                groups.profile_time[cut],
                starts[1:],
                store.frame_rate,
            ),
            caption=f"How much the latents rely on each cell at each frame ({_in_words(by)}) of "
            f"{len(starts)} of {len(numbers)} clips, cells by subpopulation and the strongest first; below, the mean "
            f"time course of each{'' if of_clips else ' around onsets, of activity above rest'}. {ends},"
            " where the model lets these frames stand for those outside; those next to "
            "them count for less. Good: lines that change together within a group and otherwise than those of the "
            "next, and profiles of different form. Bad: profiles of one form at different heights (groups by strength "
            "alone), or bright columns through all groups (frames at which every cell counts).",
            description=f"Heat map of attribution to the cells of {name}, and time courses by subpopulation.",
        )
    ]


def _subpopulations(groups: SessionSubpopulations | None) -> list[Html]:
    if groups is None:
        return []
    numbers = range(len(groups.profile))
    parts = []
    if len(groups.profile):
        rows: list[list[Any]] = [
            ["cells", "how many belong to it", *(int((groups.subpopulation == number).sum()) for number in numbers)]
        ]
        for name, (description, values) in groups.statistics.items():
            figures_of = [float(value) if math.isfinite(value) else None for value in values]
            rows.append([_in_words(name), description, *figures_of])
        parts.append(table(("subpopulation", "what the figure means", *map(str, numbers)), rows))
    none = int((groups.subpopulation < 0).sum())
    if none:
        parts.append(
            paragraph(f"{none:,} of {len(groups.subpopulation):,} cells belong to no subpopulation.", soft=True)
        )
    return parts


def _agreement(values: Mapping[str, _Figures], evidence: str | None) -> list[Html]:
    """Rank correlations over cells between methods."""
    if len(values) < 2 or len(next(iter(values.values()))) < 3:
        return []
    rows = [[_in_words(one), *(_rank_correlation(values[one], values[other]) for other in values)] for one in values]
    return [
        paragraph(
            "How much methods agree on which cells matter: rank correlation over cells. Good: high. Near zero, one of "
            "them at least says little about which cells matter."
            + (
                ""
                if evidence is None
                else " Contributions to evidence have a sign, so that a cell that speaks against what was shown comes "
                "last; they need not agree with methods that have none."
            ),
            soft=True,
        ),
        table(("method", *map(_in_words, values)), rows),
    ]


def _rank_correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float | None:
    from scipy.stats import rankdata

    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (one, other)]
    size = math.sqrt(float((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float(ranks[0] @ ranks[1]) / size if size > 0 else None


def _different_clips(attribution: SessionAttribution, stored: StoredSession) -> int:
    shown = np.asarray(stored.content[attribution.row])
    return len({shown[attribution.clip == clip].tobytes() for clip in np.unique(attribution.clip)})


def _in_words(name: str) -> str:
    return name.replace("_", " ")
