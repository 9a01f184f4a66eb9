"""What can and cannot be concluded from a session's attribution, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nwb_mivae.attribution import why_no_stimulus_regions

if TYPE_CHECKING:
    from nwb_mivae.attribution import SessionAttribution, SessionStimulusRegions, SessionSubpopulations

__all__ = ["conclusions", "why_groups_are_weak"]

#: Below these, figures are said to rest on little; above this error, probes to leave much. Judgement, not statistics.
_FEW_CELLS, _FEW_CLIPS, _LARGE_ERROR = 50, 20, 0.1
_NULLS = {"shifted": "shifted maps", "other_clip": "other clips"}


def conclusions(
    attribution: SessionAttribution,
    regions: SessionStimulusRegions | None,
    *,
    cells: int,
    different_clips: int,
    groups: SessionSubpopulations | None = None,
) -> list[tuple[str, str]]:
    """What a session's attribution can be taken for.

    Parameters
    ----------
    attribution : SessionAttribution
    regions : SessionStimulusRegions or None
        ``None`` where there are none.
    cells : int
        Of the session.
    different_clips : int
        Attributed clips that show different things; showings of the same frames count once.
    groups : SessionSubpopulations, optional
        Where there are any.

    Returns
    -------
    list of (str, str)
        Kind (``doubt``, ``good`` or empty) and sentence, as :func:`~nwb_mivae.report.page.bullets` takes them.
    """
    return [
        *_about_the_model(attribution.settings),
        *_cells(attribution, cells),
        *(("doubt", reason) for reason in [why_groups_are_weak(groups)] if reason),
        _clips(attribution, different_clips),
        *_errors(attribution),
        *_nulls(attribution, regions),
    ]


def why_groups_are_weak(groups: SessionSubpopulations | None) -> str:
    """Why subpopulations are weak evidence, a sentence; empty where there is no such reason or no division."""
    if groups is None or len(groups.profile) < 2:
        return ""
    # Versions that compared clips alone do not say so.
    if groups.settings.get("time_courses", "within a clip") != "within a clip":
        return ""
    return (
        "Groups found within clips are weak evidence: the ends of the clips shape their time courses, so that groups "
        "that come again may be the model's doing."
    )


def _about_the_model(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    context = (
        "The context is held fixed: fingerprints and read-out come from the training part of the recording, and how "
        "they would change with activity is no part of these figures."
    )
    if settings.get("context_frames") == 0:
        context = "Cells were read without context, by what the model learned from other animals."
    return [
        (
            "",
            "All of this is about what the model uses, not about what cortex does. A cell that the latents do not rely "
            "on may well respond to the stimulus: of two cells that respond alike, the model may use one.",
        ),
        ("", context),
        (
            "",
            "Each clip is encoded on its own, and activity before its first and after its last frame is taken to be "
            "that of these frames. They stand for their neighbours outside, so attribution to them is larger: the "
            "raster and the profiles leave them out. The frames next to them are read fewer times than those in the "
            "middle, since the read-out looks back and ahead (model.readout_offsets), so attribution to them is "
            "smaller. A step at the same distance from both ends of all profiles is the model's doing, not the cells'.",
        ),
    ]


def _cells(attribution: SessionAttribution, cells: int) -> list[tuple[str, str]]:
    if not any(method.neurons.size for method in attribution.methods.values()):
        return [("", "Latents were traced to pixels alone, so nothing can be said about cells.")]
    same = "is found by halving the clips of these same cells, and so does not say whether others would be grouped so"
    if cells < _FEW_CELLS:
        return [
            (
                "doubt",
                f"{cells} cell{'s' * (cells != 1)}, fewer than {_FEW_CELLS}: no subpopulations can be claimed, "
                "whatever was found above. "
                f"Stability {same}, and of so few cells a group is a handful, whose form one or two decide.",
            )
        ]
    return [
        (
            "",
            f"{cells:,} cells are enough to look for subpopulations. Stability {same}; what is to be claimed of the "
            "animal's cells has to come again in other recordings.",
        )
    ]


def _clips(attribution: SessionAttribution, different_clips: int) -> tuple[str, str]:
    clips = len(np.unique(attribution.clip))
    which = f"{different_clips} different clip{'s' * (different_clips != 1)}"
    which += f" ({clips} with those that show the same)" if clips > different_clips else ""
    if different_clips < _FEW_CLIPS:
        return (
            "doubt",
            f"It rests on {which}, fewer than {_FEW_CLIPS}: another handful of stimuli may give other profiles, other "
            "fields and other effects. Attribute more clips (attribution.clips), if the recording has them.",
        )
    return "", f"It rests on {which}, and holds for stimuli like these."


def _errors(attribution: SessionAttribution) -> list[tuple[str, str]]:
    found = []
    if "fisher" in attribution.methods:
        errors = attribution.settings.get("fisher_relative_standard_error")
        if errors:
            large = max(errors.values()) > _LARGE_ERROR
            found.append(
                (
                    "doubt" if large else "good",
                    f"The random probes of fisher leave a relative error of {_by_source(errors)} in its maps of single "
                    "frames"
                    + (
                        ", so that part of what they show is noise: set more (attribution.probes), or null for none."
                        if large
                        else ", which is small; averages have less."
                    ),
                )
            )
        else:
            found.append(("good", "The maps of fisher are exact: no random probes were drawn."))
    gaps = attribution.settings.get("integrated_gradients_relative_gap")
    if gaps:
        large = max(gaps.values()) > _LARGE_ERROR
        found.append(
            (
                "doubt" if large else "good",
                f"Integrated gradients miss {_by_source(gaps)} of what they should add up to"
                + ("; take more points (attribution.path_steps)." if large else "."),
            )
        )
    return found


def _by_source(shares: Mapping[str, float]) -> str:
    return " and ".join(f"{100 * share:.1f} % ({source})" for source, share in shares.items())


def _nulls(attribution: SessionAttribution, regions: SessionStimulusRegions | None) -> list[tuple[str, str]]:
    if regions is None:
        reason = why_no_stimulus_regions(attribution)
        why = f"{reason[0].upper()}{reason[1:]}" if reason else "The run holds no stimulus regions of this session"
        return [("doubt", f"{why}: whether the attribution to pixels follows the stimulus was not tested.")]
    return [_null(regions, name) for name in regions.nulls]


def _null(regions: SessionStimulusRegions, name: str) -> tuple[str, str]:
    label = _NULLS.get(name, name.replace("_", " "))
    which = list(regions.nulls).index(name)
    tested = int(np.isfinite(regions.p_value[0, :, which]).sum())
    if not tested:
        reasons = [text for key, text in regions.not_tested.items() if key.startswith("total/") and key.endswith(name)]
        return "doubt", f"Nothing was tested against {label}: {'; '.join(dict.fromkeys(reasons))}."
    if not regions.can_find(name):
        smallest = float(np.nanmin(regions.smallest_p[0, :, which]))
        return (
            "doubt",
            f"Against {label} no data could have been a finding: of so few clips or pixels no p-value is below "
            f"{smallest:.2g}, and it is corrected for {int(np.isfinite(regions.p_value).sum())} tests. That nothing "
            "was found says nothing.",
        )
    missing = len(regions.statistics) - tested
    return (
        "good",
        f"Against {label} {tested} of {len(regions.statistics)} statistics could be tested"
        + (f"; {missing} could not." if missing else ".")
        + _what_it_means(name),
    )


def _what_it_means(null: str) -> str:
    return {
        "shifted": " A finding there alone says that attribution and statistic lie in the same places, as a map that "
        "is the same whatever is shown may do.",
        "other_clip": " A finding there says that the attribution follows what is shown.",
    }.get(null, "")
