"""The page of the real animals: every figure beside its controls, and what it does and does not mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nwb_mivae.outputs import whole_file
from tests.benchmarks.alignment.recordings.results import Measured, measured
from tests.benchmarks.alignment.results import Figure
from tests.openscope_sessions import ELEMENT, PICTURES

__all__ = ["page", "write_page"]

_CHANCE = 1.0 / len(PICTURES)
_CONTEXT = "activity and frames of its training trials; no gradient step"
_SCALES = "mean and scale of its cells' activity; no frame"
#: Condition, its name on the page, and what of the animal the network has seen before the clip.
_ROWS = (
    ("with_context", "`z_xc` with context", _CONTEXT),
    ("without_context", "`z_xc` without context", _SCALES),
    ("shuffled_pairs", "control: shuffled pairs, with context", _CONTEXT),
    ("shuffled_pairs_without_context", "control: shuffled pairs, without context", _SCALES),
    ("permuted_neurons", "control: permuted neurons, with context", _CONTEXT),
    ("untrained", "control: untrained weights, with context", _CONTEXT),
    ("untrained_without_context", "control: untrained weights, without context", _SCALES),
    ("mean_activity", "no model: mean activity of its ROIs during the clip", _SCALES),
    ("activity", "no model: activity of each ROI during the clip", _SCALES),
)
_OTHERS = (
    "shuffled_pairs",
    "permuted_neurons",
    "untrained",
    "without_context",
    "mean_activity",
)


def write_page(folder: Path, target: Path) -> None:
    """Write the page from all results in a folder, whole or not at all.

    Raises
    ------
    ValueError
        If there are none.
    """
    found = measured(folder)
    if not found:
        raise ValueError(f"no results in {folder}: measure some first (--seeds)")
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as beside:
        beside.write_text(page(found), encoding="utf-8")


def page(found: Sequence[Measured]) -> str:
    """Markdown of everything that was measured."""
    parts = ["# Real animals: position in a Gabor sequence", _introduction(found), "## What the number means"]
    parts.append(_meaning(found))
    for each in found:
        parts += [f"## {each.title}", _verdict(each), _conditions(each), _differences(each), _animals(each)]
        parts += [_confusions(each)]
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _introduction(found: Sequence[Measured]) -> str:
    first = found[0].first
    made = first["provenance"]
    every = [seed for each in found for seed in each.seeds]
    digests = sorted({each["data"]["digest"][:12] for each in every})
    codes = sorted({each["code"][:12] for each in every})
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    lines = [
        *(f"* **Command**: `{_command(each)}`" for each in found),
        "* The page is generated, not written: the last command, or one with `--seeds` and no number, was given "
        "`--page docs/benchmarks/recordings.md` as well.",
        f"* **Data**: `{first['data']['source']}`, sha256 {first['data']['source_sha256'][:12]}: "
        f"{len(first['animals'])} mice of the OpenScope Credit Assignment project (DANDI:000037), "
        f"{sum(each['rois'] for each in first['animals'].values())} ROIs. Digest of the arrays {', '.join(digests)}.",
        "* **Test**: single trials that neither gradient nor context has seen. **Content is not disjoint**: every "
        "trial shows the same sequence.",
        "* **Held out**: each animal once, some at a time; the rest is trained on. Default settings but for the split "
        "by presentation and the number of steps.",
        f"* **Machine**: {made['platform']}, {made['device']}; Python {made['python']}, {packages}.",
        f"* **Code**: digest {', '.join(codes)}.",
    ]
    if len(codes) > 1 or len(digests) > 1:
        lines.append("* **Not all results are of the same code and data.**")
    return "\n".join(lines)


def _command(each: Measured) -> str:
    settings = each.first["configuration"]
    seeds = " ".join(str(number) for number in _seeds(each))
    return (
        "python -m tests.benchmarks.alignment.recordings --real-data ../shared/data/real --out FOLDER "
        f"--stimulus-encoder {settings['model']['stimulus_encoder']} --steps {settings['training']['steps']} "
        f"--clip-frames {settings['episodes']['clip_frames']} --fold-size {settings['fold_size']} --seeds {seeds}"
    )


def _seeds(each: Measured) -> list[int]:
    return sorted(result["configuration"]["seed"] for result in each.seeds)


def _meaning(found: Sequence[Measured]) -> str:
    animals = found[0].first["animals"].values()
    rois = [each["rois"] for each in animals]
    trials = [each["trials"] for each in animals]
    return "\n".join(
        [
            "Which Gabor picture of the sequence is on the screen, read from the shared latents of an animal that gave "
            f"no gradient. Balanced accuracy over {len(PICTURES)} positions ({', '.join(PICTURES)}); chance is "
            f"{_CHANCE:.2f}. *Transferred*: the read-out is fitted on validation trials of the trained animals only. "
            "*Own*: on the animal's own training trials.",
            "",
            f"* **Real**: the dF/F, the animals, the order of trials ({min(trials)} to {max(trials)} of each), and the "
            f"position: activity was recorded during elements A, B, C, U and grey of {ELEMENT} s each, and position "
            "is told by the time from the onset of U.",
            "* **Invented**: the session clock, and the pictures. Orientations are not in the source; stand-in Gabors "
            "were drawn, the same in all trials and animals. What is decoded is the position, not what a picture "
            "looked like.",
            f"* **Few cells, chosen by hand for a figure**: {', '.join(map(str, rois))} ROIs, so that "
            f"{rois.count(1)} of {len(rois)} animals have a single one. The figures say nothing about a population.",
            "* **Position is time.** The sequence always runs in one order, so a slow ramp or decay after any event of "
            "the trial tells the position as well as a response to its pictures would. Nothing here tells the two "
            "apart.",
            "* **All animals show the same thing**, in training too: this is no test of new stimuli.",
            "* **What cannot help**: latents are those of the middle frame of clips that start at every frame, so the "
            "place in the clip tells nothing; auxiliary variables, time in the session among them, do not enter "
            "`z_xc`; test trials are in no context. The price is that clips must fit into the trial on both sides of "
            "that frame: of A and U only a part is seen, of grey nothing.",
            "* **With context** the network was shown the pictures beside the animal's own training trials, and so "
            "their positions. No read-out and no weight came from the animal, but it is not new to the network; "
            "compare with *own* read-outs of raw activity, which saw the same trials.",
            "* **Without context**, cells without coordinates are all alike to the network: it reads their sum. An "
            "animal whose cells rise where those of others fall is then read wrongly.",
            "* **Untrained weights are no control at chance**: random functions of activity still hold activity, and "
            "the context's fingerprints and read-out are closed forms that already say what a cell answers to. What "
            "training adds is the difference from them.",
            "* The traces were smoothed over four samples by their authors. Trials may have followed each other "
            "directly; if so, neighbours in different parts are not independent.",
        ]
    )


def _verdict(each: Measured) -> str:
    shuffled = each.of_animals("shuffled_pairs", "transferred")
    error = float(shuffled.std(ddof=1) / np.sqrt(len(shuffled)))
    far = abs(float(shuffled.mean()) - _CHANCE) > 3.0 * error
    transferred = each.of_animals("with_context", "transferred")
    seconds = Figure.of(result["seconds"] for result in each.seeds)
    animals = each.first["animals"].values()
    tested = [animal["test_trials"] for animal in animals]
    frames = np.sum([animal["test_clips"] for animal in animals], axis=0) / sum(tested)
    shown = ", ".join(f"{name} {share:.0f}" for name, share in zip(PICTURES, frames, strict=True))
    trained = each.over_animals("with_context", "trained")
    adds = Figure.of(each.less("with_context", "untrained"))
    return (
        f"Seeds {', '.join(map(str, _seeds(each)))}; {seconds.text(0)} s for each. {min(tested)} to {max(tested)} test "
        f"trials of each animal; middle frames of each trial: {shown}. Held-out animals, with context: "
        f"{each.over_animals('with_context', 'transferred').text()}, above chance in "
        f"{int((transferred > _CHANCE).sum())} of {len(transferred)}; trained animals, same read-out, "
        f"{trained.mean:.2f}. Shuffled pairs: {shuffled.mean():.3f}, standard error over animals {error:.3f}: "
        + ("**not at chance**." if far else "at chance.")
        + f" **What training adds** to untrained weights that are given the same context: {adds.text()} (standard "
        f"deviation over animals), above 0 in {sum(value > 0 for value in adds.values)} of {len(adds.values)}."
    )


def _conditions(each: Measured) -> str:
    rows = []
    for condition, name, seen in _ROWS:
        row = [name]
        for kind in ("transferred", "own"):
            figure = each.over_animals(condition, kind)
            seeds = each.over_seeds(condition, kind)
            spread = f" ({seeds.spread:.2f})" if len(seeds.values) > 1 else ""
            row.append(f"{figure.text()}{spread}")
        rows.append([*row, seen])
    rows.append(["chance", f"{_CHANCE:.2f}", f"{_CHANCE:.2f}", "nothing"])
    return "Mean ± standard deviation over animals (in brackets that of the mean over seeds):\n\n" + _table(
        ["condition", "transferred", "own", "has seen of the animal"], rows
    )


def _differences(each: Measured) -> str:
    names = {condition: name for condition, name, _ in _ROWS}
    rows = []
    for other in _OTHERS:
        difference = each.less("with_context", other)
        rows.append([names[other], Figure.of(difference).text(), f"{int((difference > 0).sum())} of {len(difference)}"])
    return "`z_xc` with context, transferred, less the same animal's:\n\n" + _table(
        ["condition", "difference, mean ± SD over animals", "animals above 0"], rows
    )


def _animals(each: Measured) -> str:
    columns = (
        ("with_context", "transferred"),
        ("without_context", "transferred"),
        ("untrained", "transferred"),
        ("with_context", "own"),
        ("activity", "own"),
    )
    names = {condition: name for condition, name, _ in _ROWS}
    values = [each.of_animals(*column) for column in columns]
    rows = []
    for number, key in enumerate(each.sessions):
        animal = each.first["animals"][key]
        rows.append(
            [animal["subject"], str(animal["rois"]), str(animal["trials"])]
            + [f"{column[number]:.2f}" for column in values]
        )
    return "Animals, mean over seeds:\n\n" + _table(
        ["animal", "ROIs", "trials", *(f"{names[condition]}, {kind}" for condition, kind in columns)], rows
    )


def _confusions(each: Measured) -> str:
    found = each.confusion("with_context")
    rows = [[name, *(f"{share:.2f}" for share in row)] for name, row in zip(PICTURES, found, strict=True)]
    return "What is shown (rows) and what the transferred read-out says, with context, mean over animals:\n\n" + _table(
        ["shown", *PICTURES], rows
    )
