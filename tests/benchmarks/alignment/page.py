"""The page of results: tables of every figure, beside its controls and what it has seen of the animal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from nwb_mivae.outputs import whole_file
from tests.benchmarks.alignment.designs import JUDGED, PUBLISHED
from tests.benchmarks.alignment.results import Figure, Results

__all__ = ["page", "write_page"]

_PRIVATE = ("running", "arousal", "network")
_SHARED = ("neural_shared", "stimulus_shared")
_BLOCKS = {
    "neural_shared": "`z_xc`, shared, neural",
    "neural_private": "`z_xm`, private, neural",
    "stimulus_shared": "`z_yc`, shared, stimulus",
    "stimulus_private": "`z_ym`, private, stimulus",
}
_SIZES = {
    "neural_shared": "shared_latents",
    "neural_private": "neural_private_latents",
    "stimulus_shared": "shared_latents",
    "stimulus_private": "stimulus_private_latents",
}
_NAMES = {
    "with_context": "with context",
    "without_context": "without context",
    "untrained": "control: untrained",
    "untrained_readout": "closed form: ridge to the features, before any gradient step",
    "shuffled_pairs": "control: shuffled pairs",
    "permuted_neurons": "control: permuted neurons",
    "linear": "linear regression fitted on this animal",
    "training mean": "mean of this animal's training part",
}
_CONTROLS = ("untrained", "shuffled_pairs", "permuted_neurons")

#: What of an animal went into the figures about it.
_RECORDING = "activity and frames of its training part; no gradient step"
_BY_ITS_OWN = (
    "activity and frames of so long, from the beginning, and its validation part to choose the penalty and more"
)
_SCALES_ONLY = "mean and scale of its cells' activity; no frame"


def write_page(folder: Path, target: Path, scale: str) -> None:
    """Write the page of one scale from the results in a folder, whole or not at all."""
    text = page(Results.read(folder, scale), scale)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as beside:
        beside.write_text(text, encoding="utf-8")


def page(results: Results, scale: str) -> str:
    """Markdown of everything that was measured."""
    parts = [f"# Alignment of unseen animals, scale `{scale}`"]
    if results.every:
        parts += [
            _introduction(results, scale),
            *_section("Targets", _targets(results)),
            *_section("Retrieval", *_retrieval(results)),
            *_section("Minutes of context", _minutes(results)),
            *_section("Between animals", _across(results)),
            *_section("True factors", *_factors(results)),
            *_section("Leakage", *_leakage(results)),
            *_section("Single latents", *_single(results)),
            *_section("Two runs with different seeds", *_likeness(results)),
            *_section("One modality from the other", *_generation(results)),
            *_section("Active latents", _active(results)),
        ]
    if results.scaling:
        parts += _section("More animals", *_scaling(results))
    return "\n\n".join(parts) + "\n"


def _section(title: str, *parts: str) -> list[str]:
    return [f"## {title}", *parts]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# --- what was measured --------------------------------------------------------------------------------------------


def _introduction(results: Results, scale: str) -> str:
    first = results.every[0]
    size, training = first["configuration"]["scale"], first["configuration"]["training"]
    seeds = sorted({each["configuration"]["seed"] for each in results.every})
    digests = sorted({each["data"]["digest"][:12] for each in results.every})
    codes = sorted({each["code"][:12] for each in results.every})
    steps = sorted({each["configuration"]["training"]["steps"] for each in results.every})
    made = first["provenance"]
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    options = _options(results, steps, size["steps"])
    lines = [
        f"* **Command**: `python -m tests.benchmarks.alignment --scale {scale} {options} --out FOLDER --page PAGE`; "
        "the page is generated, not written.",
        f"* **Data**: simulated, {size['animals']} animals of {size['minutes']:g} minutes, {size['cells'][0]} to "
        f"{size['cells'][1]} cells, frames of {size['height']} x {size['width']} pixels, seed of the simulation 0. "
        f"The first {size['trained']} are trained on, the last {size['held_out']} held out. Digest of the arrays "
        f"{', '.join(digests)}.",
        f"* **Test**: clips of {size['clip_frames']} frames, at most {size['test_clips']} of each animal; "
        + ("their content is never shown in training." if first["data"]["content_disjoint"] else "**not disjoint.**"),
        f"* **Training**: {', '.join(map(str, steps))} steps, seeds {', '.join(map(str, seeds))}; "
        + ("mean ± standard deviation over them." if len(seeds) > 1 else "**one seed**.")
        + _fewer_seeds(results, len(seeds))
        + f" Clips of {training.get('clip_frames', size['clip_frames'])} frames.",
        f"* **Machine**: {made['platform']}, {made['device']}; Python {made['python']}, {packages}.",
        f"* **Code**: digest {', '.join(codes)}.",
    ]
    if len(codes) > 1 or len(digests) > 1 or len(steps) > 1:
        lines.append("* **Not all results are of the same code, data and number of steps.**")
    return "\n".join(lines)


def _options(results: Results, steps: Sequence[int], of_scale: int) -> str:
    """What the command line was given, as far as results tell."""
    seeds = sorted({each["configuration"]["seed"] for each in results.every})
    options = [f"--designs {' '.join(results.designs)}", f"--seeds {' '.join(map(str, seeds))}"]
    options += [f"--steps {number}" for number in steps if number != of_scale]
    options += ["--baselines"] if results.baselines else []
    options += ["--cebra"] if any(each.get("configuration", {}).get("cebra") for each in results.baselines) else []
    options += ["--scaling"] if results.scaling else []
    return " ".join(options)


def _fewer_seeds(results: Results, most: int) -> str:
    fewer = [f"`{design}` {len(found)}" for design, found in results.designs.items() if len(found) < most]
    return f" **Fewer seeds**: {', '.join(fewer)}." if fewer else ""


def _targets(results: Results) -> str:
    with_context, without = (
        results.retrieved(JUDGED, "held_out", name, "top1") for name in ("with_context", "without_context")
    )
    of_ideal, trained = (
        results.retrieved(JUDGED, group, "with_context", "of_ideal") for group in ("held_out", "trained")
    )
    published = results.retrieved(PUBLISHED, "held_out", "with_context", "top1").mean
    gap = Figure.of(1.0 - b / a for a, b in zip(trained.values, of_ideal.values, strict=True) if a > 0)
    leaked = max((_leak(results, JUDGED, "neural_shared", name) for name in _PRIVATE), key=lambda each: each.size)
    back = _leak(results, JUDGED, "neural_private", "stimulus")
    neural, stimulus, fused = (
        results.decoded(JUDGED, "with_context", "stimulus_r2", block, "own") for block in (*_SHARED, "fused_shared")
    )
    rows = [
        _target("top-1 with context / ideal observer", of_ideal, 0.9),
        _target(
            f"top-1 without context / `{PUBLISHED}`",
            without.over(published),
            2.0,
            doubt="" if without.mean > _most_by_chance(results) else f"top-1 {without.text(3)} is chance",
        ),
        _target("trained minus held-out, of trained, each of its ideal observer", gap, 0.05, at_most=True),
        _target(f"top-1 with context / `{PUBLISHED}`", with_context.over(published), 6.0),
        _target("top-1 with context / best per-animal ridge", with_context.over(results.best_ridge().mean), 1.2),
        *(
            _target(
                f"the same, both given {minutes} minute{'s' if minutes != '1' else ''} of the animal",
                results.at(JUDGED, "context_minutes", minutes, "top1").over(results.best_ridge(minutes=minutes).mean),
                1.2,
            )
            for minutes in list(results.minutes)[:1]
        ),
        _target("R² of `z_xc` with the true stimulus factors, linear", neural, 0.8),
        _target("R² of `z_yc` with the true stimulus factors, linear", stimulus, 0.8),
        _target("R² of `z_c`, both together", fused, 0.8),
        _target("leakage: R² of a private factor from `z_xc`, the largest of three", leaked, 0.1, at_most=True),
        _target("leakage: R² of the stimulus factors from `z_xm`", back, 0.1, at_most=True),
        _scaling_target(results),
        _controls_target(results),
    ]
    return (
        f"Design `{JUDGED}`, held-out animals; `{PUBLISHED}` is the published design, which reads no context. Spread "
        "of a ratio is that of its numerator.\n\n" + _table(["figure", "target", "measured", ""], rows)
    )


def _target(name: str, figure: Figure, target: float, *, at_most: bool = False, doubt: str = "") -> list[str]:
    """A row of the targets; one with a doubt is not met, whatever the figure: a ratio of two chances says nothing."""
    met = (figure.mean <= target if at_most else figure.mean >= target) and not doubt
    verdict = "not measured" if not figure.values else "met" if met else "**not met**" + (doubt and f": {doubt}")
    return [name, f"{'at most' if at_most else 'at least'} {target:g}", figure.text(), verdict]


def _scaling_target(results: Results) -> list[str]:
    falls = [
        f"{curve.replace('_', ' ')}: {before.text()} to {after.text()} from {few} to {many} animals"
        for curve, points in results.curves().items()
        for (few, before), (many, after) in pairwise(points)
        if after.mean < before.mean - max(before.spread, after.spread)
    ]
    verdict = "not measured" if not results.scaling else "**not met**" if falls else "met"
    found = "; ".join(falls) or ("it never falls" if results.scaling else "-")
    return ["scaling curves", "monotone within their spread", found, verdict]


def _controls_target(results: Results) -> list[str]:
    name, target = "controls of retrieval, top-1", "at chance"
    if JUDGED not in results.designs:
        return [name, target, "-", "not measured"]
    chance = results.retrieved(JUDGED, "held_out", "with_context", "chance").mean
    most = _most_by_chance(results)
    found = {control: results.retrieved(JUDGED, "held_out", control, "top1") for control in _CONTROLS}
    text = ", ".join(f"{control.replace('_', ' ')} {figure.text(3)}" for control, figure in found.items())
    met = all(figure.mean <= most for figure in found.values())
    return [name, target, f"{text}; chance {chance:.3f}", "met" if met else "**not met**"]


def _most_by_chance(results: Results) -> float:
    """The largest top-1 of held-out animals that chance may bring: two standard errors above it.

    Of a proportion of the different clips; seeds see the same clips and are not counted apart.
    """
    if JUDGED not in results.designs:
        return 0.0
    chance = results.retrieved(JUDGED, "held_out", "with_context", "chance").mean
    clips = sum(
        each["conditions"]["with_context"]["n_clips"]
        for each in results.designs[JUDGED][0]["sessions"].values()
        if each["held_out"]
    )
    return float(chance + 2.0 * np.sqrt(chance * (1.0 - chance) / clips))


# --- retrieval ----------------------------------------------------------------------------------------------------


def _retrieval(results: Results) -> list[str]:
    words = (
        "Which of the test clips is this: `z_xc` of each test clip looked up among `z_yc` of all different test "
        "clips. *Of ideal* is top-1 as a fraction of what the ideal observer reaches: Bayes' rule with the true "
        "rates to every candidate, what was on the screen around the clip, the indicator and the noise; the private "
        "factors are marginalised. The observer of the clip alone is not told what was around it, as no model is. The "
        "closed form is what the context gives before any gradient step. What has been seen of a trained "
        "animal is its training part, by gradient."
    )
    held_out, trained = (_retrieval_table(results, group) for group in ("held_out", "trained"))
    return [words, "Held-out animals:", held_out, "Trained animals:", trained]


def _retrieval_table(results: Results, group: str) -> str:
    columns = ("top1", "of_ideal", "top5", "paired_r", "unpaired_r", "centred_r")
    rows = []
    for design in results.designs:
        for condition, label in _conditions(results, design, "untrained_readout").items():
            figures = [results.retrieved(design, group, condition, name).text() for name in columns]
            informed = results.reads_context(design) and condition != "without_context"
            rows.append([f"`{design}`", label, *figures, _RECORDING if informed else _SCALES_ONLY])
    ideal = results.ideal(group)
    for key, (name, seen) in results.baseline_names().items():
        top1, *others = (results.of_baseline(key, group, each) for each in columns if each != "of_ideal")
        figures = [top1.text(), top1.over(ideal).text(), *(each.text() for each in others)]
        rows.append(["baseline", name, *figures, seen])
    chance = Figure.of(each["retrieval"][group]["with_context"]["chance"] for each in results.every).mean
    for observer, name, seen in (
        ("ideal_observer", "ideal observer", "true rates, and what was on the screen around the clip"),
        ("observer_of_clip_alone", "observer of the clip alone", "true rates during the clip"),
    ):
        top1, top5 = (results.ideal(group, each, observer) for each in ("top1", "top5"))
        rows.append([name, "-", f"{top1:.2f}", f"{top1 / ideal:.2f}", f"{top5:.2f}", "-", "-", "-", seen])
    rows.append(["chance", "-", f"{chance:.3f}", "-", f"{5 * chance:.3f}", "-", "0", "0", "nothing"])
    header = ["design", "condition", "top-1", "of ideal", "top-5", "paired R", "unpaired R", "centred R"]
    return _table([*header, "has seen of the animal"], rows)


def _conditions(results: Results, design: str, *more: str) -> dict[str, str]:
    """Conditions of a design and their labels: one that reads no context is itself under the first."""
    if results.reads_context(design):
        return {name: _NAMES[name] for name in ("with_context", "without_context", *more, *_CONTROLS)}
    return {"with_context": "as it is", **{name: _NAMES[name] for name in _CONTROLS}}


def _minutes(results: Results) -> str:
    ideal = results.ideal("held_out")
    rows = []
    for design, found in results.designs.items():
        if not results.reads_context(design):
            continue
        lengths = {"0": (("retrieval", "held_out", "without_context"), _SCALES_ONLY)}
        for minutes, entry in found[0]["context_minutes"].items():
            if minutes == "0":
                continue
            enough = entry["minutes_there_were"] > 0.97 * float(minutes)
            what = "activity and frames of so long, from the beginning"
            there = "" if enough else f"; an animal has only {entry['minutes_there_were']:.1f}"
            lengths[minutes] = (("context_minutes", minutes), what + there)
        lengths["all"] = (("retrieval", "held_out", "with_context"), _RECORDING)
        for minutes, (path, seen) in lengths.items():
            top1, top5, centred = (results.at(design, *path, name) for name in ("top1", "top5", "centred_r"))
            alone = (
                results.retrieved(design, "held_out", "untrained_readout", "top1")
                if minutes == "all"
                else results.at(design, "context_minutes", minutes, "closed_form_top1")
            )
            if found[0]["configuration"]["model"]["stimulus_encoder"] != "front_end":
                alone = Figure(())  # features that were learned by gradient are no closed form
            figures = [each.text() for each in (top1, top1.over(ideal), top5, centred, alone)]
            rows.append([f"`{design}`", minutes, *figures, seen])
    if not rows:
        return "No design that reads context was measured."
    rows += [
        [name, minutes, top1.text(), top1.over(ideal).text(), *(each.text() for each in others), "-", _BY_ITS_OWN]
        for key, (name, _) in results.baseline_names().items()
        for minutes, found in results.minutes.items()
        if key in found["baselines"]
        for top1, *others in [
            [results.of_baseline(key, "held_out", each, minutes=minutes) for each in ("top1", "top5", "centred_r")]
        ]
    ]
    columns = ["top-1", "of ideal", "top-5", "centred R", "closed form alone, top-1"]
    header = ["design", "minutes", *columns, "has seen of the animal"]
    words = (
        "Held-out animals. Minutes count clips of the training part only. The closed form alone, with as much of the "
        "animal, is looked up by the cosine of its features: the read-out's, or without context the cortical map's. "
        "Its penalty is the learned one, but for *all*, which has the one that training begins with."
    )
    return words + "\n\n" + _table(header, rows)


def _across(results: Results) -> str:
    columns = ("top1", "chance", "paired_r", "unpaired_r", "centred_r")
    groups = {"held_out": "one or both held out", "trained": "both trained on"}
    rows = [
        [f"`{design}`", words, *(results.at(design, "retrieval", "across", group, name).text() for name in columns)]
        for design in results.designs
        for group, words in groups.items()
    ]
    rows += [
        [name, words, *(results.of_baseline(key, group, each).text() for each in columns)]
        for key, (name, _) in results.baseline_names(between=True).items()
        for group, words in groups.items()
    ]
    return (
        "`z_xc` of a clip in one animal looked up among `z_xc` of the clips that both saw, and back; with context "
        "where the design reads it. Mean over pairs of animals.\n\n"
        + _table(["design", "animals", "top-1", "chance", "paired R", "unpaired R", "centred R"], rows)
    )


# --- true factors -------------------------------------------------------------------------------------------------


def _factors(results: Results) -> list[str]:
    share = results.every[0]["stimulus_factors"]
    words = (
        f"True stimulus factors are the {len(share['share'])} leading principal components of the noise-free drive of "
        "a reference population that belongs to no animal, as the indicator blurs and delays it: "
        f"{100 * share['total']:.0f} % of its variance. R² on test frames of held-out animals, mean over factors (*by "
        "variance*: each weighed by its share), of ridge read-outs fitted on the animal's own training part (*own*) "
        "and on validation clips of the trained animals (*transferred*: the held-out animal gives nothing to the "
        "read-out). Permuted and shuffled use the read-outs of the row with context. Untrained latents have "
        "read-outs of their own and are not at 0: a random map of activity still holds activity. *Ridge from "
        "activity* is what linear regression from this animal's own noisy activity reaches."
    )
    hows = ("own", "own_by_variance", "transferred", "transferred_by_variance")
    rows = []
    for design in results.designs:
        for condition, label in _conditions(results, design).items():
            figures = [
                results.decoded(design, condition, "stimulus_r2", block, how).text()
                if _is_touched(block, condition)
                else "-"
                for block in _SHARED
                for how in hows
            ]
            rows.append([f"`{design}`", label, *figures])
    any_design = next(iter(results.designs))
    activity = [results.decoded(any_design, "activity", "stimulus_r2", how).text() for how in hows[:2]]
    rows.append(["baseline", "ridge from activity", *activity, *["-"] * 6])
    columns = ["own", "by variance", "transferred", "by variance"]
    header = [f"`{block}` {column}" for block in ("z_xc", "z_yc") for column in columns]
    return [words, _table(["design", "condition", *header], rows)]


def _is_touched(block: str, condition: str) -> bool:
    """Whether a condition changes a block at all: the order of neurons is nothing to the stimulus encoder."""
    return not (condition == "permuted_neurons" and block.startswith("stimulus"))


def _leak(results: Results, design: str, block: str, factor: str, matrix: str = "leakage") -> Figure:
    return results.decoded(design, "with_context", matrix, block, factor)


def _leakage(results: Results) -> list[str]:
    parts = [
        "R² on test frames of held-out animals of each kind of true factor from each block, read-outs fitted on the "
        "animal's own training part: linear ones, and in brackets with all products of two latents as well. High "
        "should be stimulus from the shared blocks and private factors from `z_xm`; the rest should be near 0 (below "
        "0: worse than the mean). Private factors are slow, so that few moments are independent, and these figures "
        "vary."
    ]
    for design in results.designs:
        rows = []
        for block, name in _BLOCKS.items():
            cells = [
                f"{_leak(results, design, block, factor).text()} "
                f"({_leak(results, design, block, factor, 'leakage_with_products').mean:.2f})"
                for factor in ("stimulus", *_PRIVATE)
            ]
            rows.append([name, *cells])
        activity = [results.decoded(design, "activity", "private_r2", name).text() for name in _PRIVATE]
        stimulus = results.decoded(design, "activity", "stimulus_r2", "own").text()
        rows.append(["ridge from activity", stimulus, *activity])
        parts += [f"`{design}`:", _table(["block", "stimulus", *_PRIVATE], rows)]
    return parts


def _single(results: Results) -> list[str]:
    words = (
        "MCC: mean correlation of each true stimulus factor with the latent assigned to it, for the latents as they "
        "are (the best of many correlations is above 0 by chance: see the controls), and for the linear read-outs of "
        "the trained animals. DCI (disentanglement, completeness, informativeness) of single latents, and of the two "
        "neural blocks against stimulus and private factors. Claimed is the shared block up to an invertible map; "
        "single latents need not match."
    )
    columns = [("mcc", "as_they_are"), ("mcc", "after_linear_map")]
    columns += [("dci", name) for name in ("disentanglement", "completeness", "informativeness")]
    rows = []
    for design in results.designs:
        for condition in ("with_context", "untrained", "permuted_neurons", "shuffled_pairs"):
            for block in (block for block in _SHARED if _is_touched(block, condition)):
                figures = [results.decoded(design, condition, kind, block, name).text() for kind, name in columns]
                blocks = [
                    results.decoded(design, condition, "dci", "neural_blocks", name).text()
                    if block == "neural_shared"
                    else "-"
                    for name in ("disentanglement", "completeness")
                ]
                label = _conditions(results, design)[condition]
                rows.append([f"`{design}`", label, _BLOCKS[block], *figures, *blocks])
    header = ["design", "condition", "block", "MCC", "MCC after map", "D", "C", "I", "D of blocks", "C of blocks"]
    return [words, _table(header, rows)]


def _likeness(results: Results) -> list[str]:
    if not results.likeness:
        return ["One seed only was measured."]
    words = (
        "Latents of the same test clips of held-out animals by two runs: share of variance that a linear map predicts "
        "(both ways; fitted on training clips), and mean correlation after the best assignment of single latents, "
        "beside the same for other clips. Two networks are alike already because they are shown the same clips: "
        "*untrained* is the same between two draws of random weights (behind a front end, of the heads). "
        "Mean ± standard deviation over pairs of runs."
    )
    rows = []
    for design, found in results.likeness.items():
        for condition, block in ((condition, block) for condition in ("trained", "untrained") for block in _SHARED):
            of_condition = [pair if condition == "trained" else pair.get("untrained", {}) for pair in found["pairs"]]
            pairs = [each[block] for each in of_condition if block in each]
            linear = Figure.of(pair[name] for pair in pairs for name in ("one_from_other", "other_from_one"))
            matched, chance = (
                Figure.of(pair[name] for pair in pairs)
                for name in ("matched_correlation", "matched_correlation_chance")
            )
            rows.append([f"`{design}`", condition, _BLOCKS[block], linear.text(), matched.text(), chance.text()])
    header = ["design", "weights", "block", "up to a linear map, R²", "up to order and sign, MCC", "MCC of other clips"]
    return [words, _table(header, rows)]


# --- the rest -----------------------------------------------------------------------------------------------------


def _generation(results: Results) -> list[str]:
    words = (
        "Held-out animals. Video from activity: Pearson R of all pixels, the same after every pixel's training mean "
        "is removed, and squared error where that of the training mean is 1. Activity from video: correlation in "
        "time with the noise-free activity of the true rates, mean over visual cells. The linear regressions "
        "(activity to pixels, pixels to activity) were fitted on the very animal."
    )
    columns = ("video_r", "video_centred_r", "video_error", "rates_r")
    rows = [
        [f"`{design}`", label, *(results.generated(design, condition, name).text() for name in columns)]
        for design in results.designs
        for condition, label in _conditions(results, design).items()
    ]
    any_design = next(iter(results.designs))
    rows += [
        ["baseline", _NAMES[name], *(results.generated(any_design, name, each).text() for each in columns)]
        for name in ("linear", "training mean")
    ]
    header = ["design", "condition", "video R", "video, centred R", "video, error", "activity, R with true rates"]
    return [words, _table(header, rows)]


def _active(results: Results) -> str:
    rows = [
        [
            f"`{design}`",
            *(
                f"{results.at(design, 'active_units', block).text(1)} of {found[0]['configuration']['model'][size]}"
                for block, size in _SIZES.items()
            ),
        ]
        for design, found in results.designs.items()
    ]
    return "Latents whose mean moves by more than a hundredth of their variance.\n\n" + _table(
        ["design", *_BLOCKS.values()], rows
    )


def _scaling(results: Results) -> list[str]:
    rows = []
    for curve, points in results.curves().items():
        for animals, top1 in points:
            first = results.scaling[(curve, animals)][0]
            path = ("retrieval", "held_out")
            figures = [
                top1,
                results.at_point(curve, animals, *path, "with_context", "of_ideal"),
                results.at_point(curve, animals, *path, "without_context", "top1"),
                results.at_point(curve, animals, *path, "untrained", "top1"),
            ]
            clips = str(first["configuration"]["episodes"]["training_clips"])
            rows.append([curve.replace("_", " "), str(animals), clips, *(each.text() for each in figures)])
    header = ["curve", "animals", "clips of each", "top-1 with context", "of ideal", "without context", "untrained"]
    return [
        "Held-out animals, always the same, with their whole training part as context. Training animals give the "
        "beginning of their recordings only; steps, and clips of a step, are the same everywhere.",
        _table(header, rows),
    ]
