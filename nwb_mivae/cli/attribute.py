"""``nwb-mivae attribute``."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nwb_mivae.cli.options import RunArgument, SeedOption, SessionsOption, SettingsOption, StoreOption
from nwb_mivae.cli.terminal import JsonOption, QuietOption, Terminal, typed

if TYPE_CHECKING:
    from nwb_mivae.attribution import SessionStimulusRegions, SessionSubpopulations
    from nwb_mivae.pipeline import AttributedSession

__all__ = ["attribute"]


class Block(StrEnum):
    """Which latents are traced back."""

    SHARED = "shared"
    PRIVATE = "private"


class Source(StrEnum):
    """What latents are traced back to."""

    NEURONS = "neurons"
    PIXELS = "pixels"


class Method(StrEnum):
    """How latents are traced back."""

    SCORE = "score"
    FISHER = "fisher"
    GRADIENT = "gradient"
    GRADIENT_X_INPUT = "gradient_x_input"
    INTEGRATED_GRADIENTS = "integrated_gradients"
    OCCLUSION = "occlusion"


def attribute(
    run: RunArgument,
    session: SessionsOption = None,
    of: Annotated[
        Block | None,
        typer.Option(
            "--of", help="Latents that both modalities share, or those of each alone. [default: attribution.of, shared]"
        ),
    ] = None,
    to: Annotated[
        list[Source] | None,
        typer.Option("--to", help="Only to these; may be repeated. [default: attribution.to, both]"),
    ] = None,
    method: Annotated[
        list[Method] | None,
        typer.Option(
            "--method",
            help="Only by this method; may be repeated. [default: attribution.methods, score, fisher and "
            "gradient_x_input]",
        ),
    ] = None,
    store: StoreOption = None,
    seed: SeedOption = 0,
    setting: SettingsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the neurons and pixels behind latents.

    Latents are traced back to what they came from, frame by frame, on clips kept out of training. By six methods: score
    (which way what was there would move the latents towards what the other modality says; signed) and fisher (how
    strongly, without sign) are the design's own; gradient, gradient_x_input, integrated_gradients and occlusion are
    what they are compared with. Private latents have no score.

    Cells are grouped by when the latents rely on them, around onsets of the stimulus where there are enough; where the
    attribution to pixels (fisher) lies is compared with edges, contrast and change.

    \b
    Examples:
        nwb-mivae attribute run
        nwb-mivae attribute run --session sub-5_ses-1 --set attribution.clips=64
        nwb-mivae attribute run --to neurons --method fisher --method occlusion
        nwb-mivae attribute run --of private --method fisher
    """
    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        from nwb_mivae import pipeline

        settings = [f"attribution.of={of}"] if of else []
        settings += [f"attribution.to=[{', '.join(to)}]"] if to else []
        settings += [f"attribution.methods=[{', '.join(method)}]"] if method else []
        results = pipeline.attribute(
            run,
            store=store,
            sessions=session,
            settings=[*(setting or ()), *settings],
            seed=seed,
            progress=terminal.progress,
        )
        lines = [line for key, each in results.items() for line in _lines(key, each)]
        terminal.result(
            {"attribution": {key: _values(each) for key, each in results.items()}},
            "\n".join([*lines, f"Next: nwb-mivae annotate {typed(run)}"]),
        )


def _lines(key: str, found: AttributedSession) -> list[str]:
    words = found.in_words()
    *most, last = found.attribution.methods
    methods = f"{', '.join(most)} and {last}" if most else last
    return [
        f"{key}: {len(found.attribution.time)} frames, {methods}",
        f"  subpopulations    {words['subpopulations']}",
        f"  stimulus regions  {words['regions']}",
    ]


def _values(found: AttributedSession) -> dict[str, Any]:
    attribution = found.attribution
    return {
        "frames": len(attribution.time),
        "methods": list(attribution.methods),
        "settings": dict(attribution.settings),
        "subpopulations": None
        if found.subpopulations is None
        else _of_subpopulations(found.subpopulations, found.in_words()["subpopulations"]),
        "regions": None if found.regions is None else _of_regions(found.regions),
        "not_found": dict(found.not_found),
    }


def _of_subpopulations(groups: SessionSubpopulations, finding: str) -> dict[str, Any]:
    return {
        "finding": finding,
        "method": groups.attribution_method,
        "cells": [int((groups.subpopulation == number).sum()) for number in range(len(groups.profile))],
        "cells_in_none": int((groups.subpopulation < 0).sum()),
        "statistics": {name: _known(values) for name, (_, values) in groups.statistics.items()},
    }


def _of_regions(regions: SessionStimulusRegions) -> dict[str, Any]:
    """By statistic what is said of it, and for each null the effect and its corrected p-value."""
    words = regions.in_words()
    nulls = list(regions.nulls)
    return {
        "strongest": regions.strongest(),
        "method": regions.attribution_method,
        "statistics": {
            name: {
                "finding": words[name],
                "effect": dict(zip(nulls, _known(regions.effect[0, place]), strict=True)),
                "p_corrected": dict(zip(nulls, _known(regions.p_corrected[0, place]), strict=True)),
            }
            for place, name in enumerate(regions.statistics)
        },
    }


def _known(values: Any) -> list[float | None]:
    """Numbers for JSON, which has none that is not a number."""
    return [float(value) if math.isfinite(value) else None for value in values]
