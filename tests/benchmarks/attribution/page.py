"""The page of results: what was planted, how well each method finds it, beside chance and models that know nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nwb_mivae.attribution import METHODS
from nwb_mivae.attribution.null_tests import holm
from nwb_mivae.outputs import whole_file
from tests.benchmarks.alignment.results import Figure
from tests.benchmarks.attribution.random_models import HALVES, KINDS
from tests.benchmarks.attribution.results import Results

__all__ = ["page", "write_page"]

#: Methods of the design; the others are what they are compared with.
_SCORE_METHODS = ("score", "fisher")
#: Least p-value of tests for uniform p-values, corrected; and standard errors within which a mean is at chance: of ten
#: means, one beyond two of them would be no surprise.
_LEVEL, _ERRORS = 0.05, 3.0
#: Shares of the cells or pixels at which curves are shown.
_SHOWN = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


def write_page(folder: Path, target: Path, scale: str) -> None:
    """Write the page of one scale from the results in a folder, whole or not at all."""
    text = page(Results.read(folder, scale), scale)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as beside:
        beside.write_text(text, encoding="utf-8")


def page(results: Results, scale: str) -> str:
    """Markdown of everything that was measured."""
    parts = [f"# Attribution against planted truth, scale `{scale}`"]
    if results.seeds:
        parts += [
            _introduction(results, scale),
            *_section("Targets", _targets(results)),
            *_section("Neurons", *_neurons(results)),
            *_section("Pixels", *_pixels(results)),
            *_section("Subpopulations", *_subpopulations(results)),
            *_section("Removal of neurons", *_removal(results, "neurons")),
            *_section("Removal of pixels", *_removal(results, "pixels")),
            *_section("Models with random weights", *_random_models(results)),
            *_section("Stimulus regions", *_regions(results)),
        ]
    if results.cost is not None:
        parts += _section("Cost of exact Fisher scores", *_cost(results.cost))
    return "\n\n".join(parts) + "\n"


def _section(title: str, *parts: str) -> list[str]:
    return [f"## {title}", *parts]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# --- what was measured --------------------------------------------------------------------------------------------


def _introduction(results: Results, scale: str) -> str:
    first = results.seeds[0]
    size, made = first["configuration"]["scale"], first["provenance"]
    seeds = [each["configuration"]["seed"] for each in results.seeds]
    digests = sorted({each["data"]["digest"][:12] for each in results.seeds})
    codes = sorted({each["code"][:12] for each in results.seeds})
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    disjoint = all(each["data"]["content_disjoint"] for each in results.seeds)
    clips = next(iter(first["sessions"].values()))["clips"]
    used = {
        source: ", ".join(f"`{method}` {clips[source][method]}" for method in METHODS)
        for source in ("neurons", "pixels")
    }
    simulation = first["configuration"]["simulation"]
    left, upper, right, lower = simulation["driving_region"]
    lines = [
        f"* **Command**: `python -m tests.benchmarks.attribution --scale {scale} --seeds {' '.join(map(str, seeds))} "
        "--out FOLDER --page PAGE`; the page is generated, not written.",
        f"* **Data**: simulated, {size['animals']} animals of {size['minutes']:g} minutes, {size['cells'][0]} to "
        f"{size['cells'][1]} cells, frames of {size['height']} x {size['width']} pixels, half of the movies flashes of "
        f"{size['flash_seconds']:g} s, seed of the simulation {simulation['seed']}. Planted: which cells no stimulus "
        "drives (the model is never told), three subpopulations of visual cells (transient, sustained, luminance), and "
        f"the part of the frame that cells look at (columns {left:g} to {right:g}, rows {upper:g} to {lower:g} of "
        f"it). The first {size['trained']} animals are trained on, the last {size['held_out']} held out and judged. "
        f"Digest of the arrays {', '.join(digests)}.",
        f"* **Training**: default model, {size['steps']} steps, seeds {', '.join(map(str, seeds))}; "
        + ("mean ± standard deviation over them." if len(seeds) > 1 else "**one seed**."),
        f"* **Test**: clips of {size['clip_frames']} frames"
        + (" whose content is never shown in training" if disjoint else ", **content was shown in training**")
        + "; the whole training part of the held-out animal is its context. Clips of the first animal that are "
        f"attributed, of {clips['test']}: to neurons {used['neurons']}; to pixels {used['pixels']}. Fewer than all are "
        "what the time allows. The last three methods divide the evidence for the other modality's estimate.",
        f"* **Machine**: {made['platform']}, {made['device']}; Python {made['python']}, {packages}.",
        f"* **Code**: digest {', '.join(codes)}. Seconds of one seed: "
        + ", ".join(f"{name} {seconds:.0f}" for name, seconds in first["seconds"].items())
        + ".",
    ]
    if len(codes) > 1 or len(digests) > 1:
        lines.append("* **Not all results are of the same code and data.**")
    return "\n".join(lines)


def _targets(results: Results) -> str:
    rows = [
        _best(results, "neurons", 0.95),
        _best_per_latent(results, 0.95),
        _best(results, "pixels", 0.9),
        *(
            _best(results, source, least, among=_SCORE_METHODS)
            for source, least in (("neurons", 0.95), ("pixels", 0.9))
        ),
        _target("adjusted Rand index of subpopulations", results.at("subpopulations", "adjusted_rand_index"), 0.8),
        *(_random_target(results, source) for source in ("neurons", "pixels")),
        _null_target(results),
        *_cost_targets(results),
    ]
    missed = [name for name, _, _, verdict in rows if verdict.startswith("**")]
    words = f"Not met: {'; '.join(missed)}." if missed else "All targets that were measured are met."
    per_latent = (
        "The row per latent is there for information, beside that of the session figure: each latent's own ranking, "
        "and for positive the visual cells that tell of this latent alone (see below)."
    )
    return _table(["figure", "target", "measured", ""], rows) + f"\n\n{words} {per_latent}"


def _best(results: Results, source: str, least: float, *, among: Sequence[str] = METHODS) -> list[str]:
    """The method with the largest AUROC of session figures."""
    figures = {method: results.at(source, method, "session") for method in among}
    best = max(figures, key=lambda method: figures[method].size)
    planted = {"neurons": "visual cells", "pixels": "driving pixels"}[source]
    which = "all methods" if among == METHODS else " and ".join(f"`{method}`" for method in among)
    return _target(f"AUROC of {planted}, best of {which}: `{best}`", figures[best], least)


def _best_per_latent(results: Results, least: float) -> list[str]:
    """The method with the largest AUROC of cells that tell of a latent, mean over latents."""
    figures = {method: results.at("neurons", method, "per_latent_driven") for method in METHODS}
    best = max(figures, key=lambda method: figures[method].size)
    return _target(
        f"AUROC of cells that tell of a latent, per latent, best of all methods: `{best}`", figures[best], least
    )


def _target(name: str, figure: Figure, target: float) -> list[str]:
    verdict = "not measured" if not figure.values else "met" if figure.mean >= target else "**not met**"
    return [name, f"at least {target:g}", figure.text(), verdict]


def _random_target(results: Results, source: str) -> list[str]:
    """Each method's mean over draws; the draws' spread says how far from one half it may be.

    Of pixels it is the mean of two halves, and what these differ by is no part of its error.
    """
    texts, met = [], True
    parts = HALVES.values() if source == "pixels" else [slice(None)]
    for method in _methods_of_controls(results, source):
        drawn = [results.drawn("knows_nothing", source, method, part) for part in parts]
        means = [np.mean(values) for values in drawn]
        variances = [np.var(values, ddof=1) / len(values) for values in drawn]
        mean, error = np.mean(means), np.sqrt(np.sum(variances)) / len(drawn)
        met = met and bool(abs(mean - 0.5) <= _ERRORS * error)
        halves = f" ({' / '.join(f'{each:.2f}' for each in means)})" if len(means) > 1 else ""
        texts.append(f"`{method}` {mean:.2f} ± {error:.2f}{halves}")
    found = ", ".join(texts) + " (mean ± standard error over models and animals"
    found += f"; in brackets {' / '.join(HALVES)} frames)" if source == "pixels" else ")"
    name = f"AUROC of a model that knows nothing, {source}"
    return [name, f"0.5 within {_ERRORS:g} standard errors", found, "met" if met else "**not met**"]


def _methods_of_controls(results: Results, source: str) -> list[str]:
    there = results.names("random_models", "knows_nothing", source)
    return [method for method in METHODS if method in there]


def _null_target(results: Results) -> list[str]:
    name, target = "p-values of stimulus regions on unrelated maps", "uniform"
    corrected = _uniformity(results)
    if not corrected:
        return [name, target, "-", "not measured"]
    least = min(corrected, key=lambda test: corrected[test])
    found = f"least corrected p against uniform {corrected[least]:.2g} (`{least}`); {_share_below(results)}"
    return [name, target, found, "met" if corrected[least] > _LEVEL else "**not met**"]


def _uniformity(results: Results) -> dict[str, float]:
    """How each test's p-values agree with uniform ones (Kolmogorov-Smirnov), corrected for the number of tests."""
    from scipy.stats import kstest

    tests = results.null_tests
    if not tests:
        return {}
    p_values = np.array([kstest(results.p_values(test), "uniform").pvalue for test in tests])
    return dict(zip(tests, holm(p_values).tolist(), strict=True))


def _share_below(results: Results) -> str:
    values = np.concatenate([results.p_values(test) for test in results.null_tests])
    return f"{100 * np.mean(values <= _LEVEL):.1f} % of {len(values):,} below {_LEVEL:g}"


def _cost_targets(results: Results) -> list[list[str]]:
    if results.cost is None:
        return [["cost of exact Fisher scores, backward passes", "at most 4 x latents", "-", "not measured"]]
    most = float(results.cost["target_ratio"])
    rows = []
    for source, unit in (("neurons", "cells"), ("pixels", "pixels")):
        ratios = {size: float(each["ratio"]) for size, each in results.cost[source].items()}
        found = ", ".join(f"{ratio:.0f} for {size} {unit}" for size, ratio in ratios.items())
        verdict = "met" if max(ratios.values()) <= most else "**not met**"
        rows.append([f"cost of exact Fisher scores of {source}, backward passes", f"at most {most:g}", found, verdict])
    return rows


# --- neurons, pixels, subpopulations ------------------------------------------------------------------------------


def _neurons(results: Results) -> list[str]:
    cells = results.sessions[0]["cells"]
    words = (
        "Does a method rank cells that the stimulus drives above those that it does not? AUROC is the probability that "
        "a visual cell is ranked above one that is not; chance is 0.5. The *session figure* is the mean over frames of "
        "contributions, which have a sign, and the root mean square of the others. *Per latent, cells that tell of "
        "it*: each shared latent's own ranking, in which only those visual cells count whose noise-free drive "
        f"correlates by at least {results.seeds[0]['configuration']['driven']:g} with this stimulus latent over the "
        f"test clips ({cells['cells_of_a_latent']:.0f} on average in the first animal, "
        f"{cells['latents_with_cells']} latents have any). There are {cells['visual']} visual cells in it and "
        f"{cells['not_visual']} that are not."
    )
    columns = {
        "session": "session figure",
        "root_mean_square": "root mean square",
        "per_latent_driven": "per latent, cells that tell of it",
        "per_latent_visual": "per latent, all visual cells",
    }
    rows = [[f"`{method}`", *(results.at("neurons", method, name).text() for name in columns)] for method in METHODS]
    half = results.at("half_of_recording", "session")
    method = results.sessions[0]["half_of_recording"]["method"]
    shorter = (
        f"With the first half of each animal's context, and the first half of the test clips, `{method}` has an AUROC "
        f"of {half.text()}: how much longer recordings help."
    )
    private = [[f"`{name}`", results.at("private", name).text()] for name in results.names("private")]
    about = (
        "Private latents should rely on cells that running, arousal or the network modulate, of which the first animal "
        f"has {cells['private']}, with {cells['not_private']} that none does (AUROC, root mean square; no target, "
        "since every cell of a network is modulated by something):"
    )
    return [words, _table(["method", *columns.values()], rows), shorter, about, _table(["method", "AUROC"], private)]


def _pixels(results: Results) -> list[str]:
    share = results.sessions[0]["driving_share"]
    words = (
        "Does a method rank pixels that cells look at above those that drive no cell, whatever is shown there? "
        "*Frames*: mean AUROC of the maps of single frames, by magnitude. *Pointing game*: how often the largest "
        "value of a frame's map, or of a latent's map of the session, lies in the part that cells look at; by chance "
        f"{share:.2f}, its share of the frame. The session figure of contributions is their mean with its sign."
    )
    columns = {
        "session": "session figure",
        "root_mean_square": "root mean square",
        "per_latent": "per latent",
        "frames": "frames",
        "pointing_frames": "pointing game, frames",
        "pointing_latents": "pointing game, latents",
    }
    rows = [[f"`{method}`", *(results.at("pixels", method, name).text() for name in columns)] for method in METHODS]
    return [words, _table(["method", *columns.values()], rows)]


def _subpopulations(results: Results) -> list[str]:
    numbers = [session["subpopulations"]["groups"] for session in results.sessions]
    words = (
        "Are the groups that `find_subpopulations` finds in the attribution those that were planted? The adjusted Rand "
        "index is 1 for the same groups and 0 for groups at random; cells that are in no group count as one. It is "
        f"{results.at('subpopulations', 'adjusted_rand_index').text()}, with {', '.join(map(str, numbers))} groups "
        "found in the animals, seed after seed. The first seed:"
    )
    parts = [words]
    for key, session in results.seeds[0]["sessions"].items():
        found = session["subpopulations"]
        rows = [[name, *map(str, cells)] for name, cells in zip(found["planted"], found["cells"], strict=True)]
        parts.append(f"`{key}`. {found['finding']}\n\n" + _table(["planted", *found["found"]], rows))
    return parts


# --- removal ------------------------------------------------------------------------------------------------------


def _removal(results: Results, source: str) -> list[str]:
    words = {
        "neurons": "Does the model need the cells that a method ranks high? They are removed (given their mean) in "
        "the order of the session figure, for all test clips alike. *Evidence* is what activity says for what was "
        "shown, as a share of what it says with all cells; *top-1* is how often the clip is found among all test "
        "clips. When the highest are deleted first, a small area under the curve is good; when they are the first to "
        "be put back (inserted), a large one.",
        "pixels": "Does the model need the pixels that a method ranks high? They are greyed (given their mean) in the "
        "order of the session figure, and `z_yc` of what is left is compared with the untouched `z_xc`: *evidence* "
        "for it as a share of that of whole frames, and how often the right clip is found (*top-1*). Where only the "
        "driving pixels count, half of the pixels in the right order take everything.",
    }[source]
    orders = [*METHODS, "random"]
    labels = {order: "random order" if order == "random" else f"`{order}`" for order in orders}
    areas = [
        [
            labels[order],
            *(
                results.at("removal", source, "areas", order, way, name).text()
                for way in ("deleted", "inserted")
                for name in ("evidence", "top1")
            ),
        ]
        for order in orders
    ]
    shares = results.sessions[0]["removal"][source]["shares"]
    shown = [shares.index(share) for share in _SHOWN]
    curves = {
        way: [
            [labels[order], *(results.at("removal", source, "curves", order, way, "evidence", i).text() for i in shown)]
            for order in orders
        ]
        for way in ("deleted", "inserted")
    }
    header = ["order", *(f"{share:.0%}".replace("%", " %") for share in _SHOWN)]
    return [
        words,
        "Areas under the curves over shares from 0 to 1:",
        _table(
            ["order", "deleted: evidence", "deleted: top-1", "inserted: evidence", "inserted: top-1"],
            areas,
        ),
        f"Evidence left with this share of {source} deleted, highest first:",
        _table(header, curves["deleted"]),
        f"Evidence with only this share of {source} there, highest first:",
        _table(header, curves["inserted"]),
    ]


# --- controls -----------------------------------------------------------------------------------------------------


def _random_models(results: Results) -> list[str]:
    meanings = "; ".join(f"*{kind.replace('_', ' ')}*: {meaning}" for kind, meaning in KINDS.items())
    words = (
        "Is what attribution finds the model's knowledge? The same AUROCs for models that learned nothing, mean ± "
        f"standard deviation over models and animals. Two kinds: {meanings}. The first must be at chance, 0.5. The "
        "second need not be: the context is worked out from the animal's own recording without any training, and is "
        f"data, not knowledge of the weights; in the stimulus encoder the front end was fitted as well. {_few(results)}"
    )
    neurons = [
        [f"`{method}`", *(_spread(results.drawn(kind, "neurons", method)) for kind in KINDS)]
        for method in _methods_of_controls(results, "neurons")
    ]
    pixels = [
        [
            f"`{method}`",
            *(_spread(results.drawn(kind, "pixels", method, half)) for kind in KINDS for half in HALVES.values()),
        ]
        for method in _methods_of_controls(results, "pixels")
    ]
    kinds = [kind.replace("_", " ") for kind in KINDS]
    mirrored = (
        "Pixels. Any model's gradients differ with contrast, of which there may be more on one side in these clips. So "
        "every second model is shown all frames mirrored, left for right, which moves what the frames do to the other "
        "side and leaves what a model knows of the part that cells look at. **The verdict is on the mean of the two "
        "halves**, which is near 0.5 by construction whatever contrast does; each half alone may lie off it, and its "
        "distance is what the frames do by themselves:"
    )
    return [
        words,
        _table(["method, neurons", *kinds], neurons),
        mirrored,
        _table(["method, pixels", *(f"{kind}: {half} frames" for kind in kinds for half in HALVES)], pixels),
    ]


def _few(results: Results) -> str:
    """How many clips there are, and which methods are not there."""
    scale = results.seeds[0]["configuration"]["scale"]
    clips = {
        source: ", ".join(f"`{method}` {number}" for method, number in scale[f"control_clips_to_{source}"].items())
        for source in ("neurons", "pixels")
    }
    missing = [f"`{method}`" for method in METHODS if method not in scale["control_clips_to_pixels"]]
    left_out = f" {' and '.join(missing)} would take too long for pixels and are left out there." if missing else ""
    return (
        f"{scale['control_draws']} models of each kind for each animal, in so few clips as the time allows: to neurons "
        f"{clips['neurons']}; to pixels {clips['pixels']}.{left_out}"
    )


def _spread(values: Sequence[float]) -> str:
    return Figure.of(values).text() + f" ({len(values)})"


def _regions(results: Results) -> list[str]:
    words = (
        "Do the tests of what attribution to pixels falls on find nothing where there is nothing? Attribution maps of "
        "half of the clips are given, at random, to the frames of the other half, and all are shifted in space "
        f"alike: every p-value is then as likely as any other. Of these, {_share_below(results)}; by test, the "
        "share, and the Kolmogorov-Smirnov p-value against uniform ones (corrected for the number of tests):"
    )
    corrected = _uniformity(results)
    nulls = [
        [
            f"`{test}`",
            str(len(values := results.p_values(test))),
            f"{np.mean(np.asarray(values) <= _LEVEL):.3f}",
            f"{corrected[test]:.2g}",
        ]
        for test in results.null_tests
    ]
    true = [
        _region_row(test, [session["regions"][test] for session in results.sessions])
        for test in results.names("regions")
    ]
    about = (
        "On the true maps (`fisher`): what the attribution falls on more (or less) than the null expects, as the mean "
        "effect on the rank correlation, and in how many of the animals and seeds it is a finding (corrected p at most "
        f"{_LEVEL:g}). `shifted` asks whether it lies where the statistic is high; `other_clip`, whether it follows it "
        "from clip to clip; `unique` is what the other statistics do not explain:"
    )
    return [
        words,
        _table(["test", "p-values", f"share below {_LEVEL:g}", "uniform, corrected p"], nulls),
        about,
        _table(["test", "effect", "findings"], true),
    ]


def _region_row(test: str, figures: Sequence[Mapping[str, float | None]]) -> list[str]:
    known = [each for each in figures if each["p_corrected"] is not None]
    if not known:
        return [f"`{test}`", "-", "not tested"]
    effect = float(np.mean([each["effect"] for each in known]))  # type: ignore[arg-type]
    findings = sum(each["p_corrected"] <= _LEVEL for each in known)  # type: ignore[operator]
    return [f"`{test}`", f"{effect:+.3f}", f"{findings} of {len(known)}"]


# --- cost ---------------------------------------------------------------------------------------------------------


def _cost(cost: Mapping[str, Any]) -> list[str]:
    made = cost["provenance"]
    words = (
        f"Exact Fisher scores of one clip of {cost['frames']} frames, as so many backward passes of the same "
        f"encoder on the same clip as in training, of which 4 for each of {cost['latents']} latents are meant to be "
        f"enough; the generic way takes {cost['vectors_of_the_generic_way']} vector-Jacobian products. `python -m "
        f"tests.benchmarks.attribution.cost`, random weights, {cost['threads']} threads, {made['platform']}, torch "
        f"{made['packages']['torch']}, load average {made['load_average'][0]:g}."
    )
    rows = [
        [
            f"{source}, {size}",
            f"{each['seconds']:.3f}",
            f"{each['ratio']:.0f}",
            f"{each['ratio_to_the_clip_alone']:.0f}",
        ]
        for source in ("neurons", "pixels")
        for size, each in cost[source].items()
    ]
    header = ["of", "seconds", "backward passes", "backward passes to the clip alone"]
    long = cost["long_clip"]
    ways = [[way, f"{each['seconds']:.1f}", f"{each['mebibytes_at_most']:,.0f}"] for way, each in long["ways"].items()]
    height, width = long["pixels"]
    about = f"One clip of {long['frames']} frames, {long['cells']:,} neurons, {height} x {width} pixels:"
    return [words, _table(header, rows), about, _table(["of", "seconds", "peak MiB"], ways)]
