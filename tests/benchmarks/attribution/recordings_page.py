"""The page of attribution on real files: what came out, and what can be concluded of so few cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from nwb_mivae.outputs import whole_file

__all__ = ["page", "write_page"]

_ABOUT = {
    "openscope": (
        "Eight mice of OpenScope",
        "Single-trial dF/F of hand-picked ROIs from the OpenScope Credit Assignment project (DANDI:000037). **Real**: "
        "the dF/F, the mice, the order of trials. **Invented**: the session clock, and the pictures, four Gabor "
        "pictures drawn here, the same in every trial. Split by presentation: test clips show what training clips "
        "show. The traces were smoothed over four samples by their authors.",
    ),
    "single_units": (
        "Single units of one person",
        "Spikes of units in amygdala and hippocampus while clips were shown (DANDI:000207, `sub-4_ses-4`). **Real**: "
        "the spikes, and when which clip was shown. **Not what was seen**: the clips are not published; excerpts of "
        "one free film stand in for them. Nobody is held out, since there is one recording.",
    ),
}


def write_page(found: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Write the page, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as beside:
        beside.write_text(page(found), encoding="utf-8")


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of results as :mod:`tests.benchmarks.attribution.recordings` makes them."""
    parts = ["# Attribution on real recordings", _meaning(found), "## How it was made", _introduction(found)]
    for each in found:
        parts += _recordings(each)
    return "\n\n".join(parts) + "\n"


def _meaning(found: Sequence[Mapping[str, Any]]) -> str:
    sessions = [session for each in found for session in each["sessions"].values()]
    cells = sorted(session["cells"] for session in sessions)
    return "\n".join(
        [
            f"The whole of attribution on {len(sessions)} sessions of real cells, {cells[0]} to {cells[-1]} of each "
            f"(median {median(cells):g}). There is no truth to compare with.",
            "",
            "* **Can be concluded**: the way from recordings of calcium and of spikes to attribution, into NWB files "
            "and back is passable, and what was read back is what was written, to the last bit. Of these few cells, in "
            "these clips, it is known which the model's latents rely on, and when.",
            "* **Subpopulations cannot be concluded.** With a few cells a group is one or two of them. "
            '"One subpopulation" below does not say that the cells are alike; there are too few to tell.',
            "* **Nothing about what cells look at can be concluded.** The pictures are not those that were shown. What "
            "the attribution to pixels falls on says what the stimulus encoder does with the stand-ins.",
            "* **Nothing about the population, the area or the species can be concluded.** ROIs were picked by hand "
            "for a figure, and the units are of one person.",
            "* **The model is hardly trained**: see the settings. Nothing here says how good it is.",
        ]
    )


def _introduction(found: Sequence[Mapping[str, Any]]) -> str:
    made = found[0]["provenance"]
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    codes = sorted({each["code"][:12] for each in found})
    files = [f"`{name}` (sha256 {digest[:12]})" for each in found for name, digest in each["data"].items()]
    lines = [
        "* **Command**: `python -m tests.benchmarks.attribution.recordings --real-data ../shared/data/real --out "
        "FOLDER --page docs/benchmarks/attribution-recordings.md`; the page is generated, not written.",
        f"* **Data**: {', '.join(files)}.",
        "* **Steps**: prepare, train, evaluate, attribute, annotate, read the annotations, report; **one seed**. "
        "Defaults but for the settings that are named.",
        f"* **Machine**: {made['platform']}, {made['device']}; Python {made['python']}, {packages}.",
        f"* **Code**: digest {', '.join(codes)}.",
    ]
    if len(codes) > 1:
        lines.append("* **Not all results are of the same code.**")
    return "\n".join(lines)


def _recordings(each: Mapping[str, Any]) -> list[str]:
    name, settings = each["configuration"]["recordings"], each["configuration"]
    title, about = _ABOUT[name]
    sessions: Mapping[str, Mapping[str, Any]] = each["sessions"]
    named = ", ".join(f"`{key}={value}`" for key, value in settings.items() if key != "recordings")
    seconds = ", ".join(f"{step} {value:g}" for step, value in each["seconds"].items())
    shared = _in_every_session(sessions)
    parts = [f"## {title}", about, f"Settings: {named}. Seconds by the clock: {seconds}."]
    parts.append(_table(sessions))
    if shared:
        parts += ["What the report says can and cannot be concluded of each of these sessions:", _bullets(shared)]
    for key, session in sessions.items():
        parts += [f"### `{key}`", _found(session)]
        own = [sentence for sentence in _sentences(session) if sentence not in shared]
        if own:
            of = "of this session alone" if shared else "of it"
            parts += [f"What the report says can and cannot be concluded {of}:", _bullets(own)]
    return parts


def _table(sessions: Mapping[str, Mapping[str, Any]]) -> str:
    header = ["session", "cells", "clips attributed", "of", "different clips", "seconds of attribution"]
    rows = [
        [
            f"`{key}`",
            *(str(session[name]) for name in ("cells", "clips", "clips_available", "different_clips")),
            f"{session['seconds']:.1f}",
        ]
        for key, session in sessions.items()
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *rows])


def _found(session: Mapping[str, Any]) -> str:
    statistic = session["statistic"]
    of = "" if statistic is None else f" (the strongest statistic, `{statistic}`)"
    return _bullets(
        [f"**Subpopulations**: {session['subpopulations']}", f"**Stimulus regions**{of}: {session['regions']}"]
    )


def _sentences(session: Mapping[str, Any]) -> list[str]:
    return [f"**Doubt**: {text}" if kind == "doubt" else text for kind, text in session["conclusions"]]


def _in_every_session(sessions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences that would be the same under each of several sessions."""
    first, *others = [_sentences(session) for session in sessions.values()]
    return [sentence for sentence in first if others and all(sentence in other for other in others)]


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"* {sentence}" for sentence in sentences)
