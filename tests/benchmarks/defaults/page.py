"""The page of results, one row per kind of recording, with its controls beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nwb_mivae.outputs import read_json, whole_file
from tests.benchmarks.defaults.kinds import KINDS

__all__ = ["page", "write_page"]

Result = Mapping[str, Any]


def write_page(folder: Path, target: Path) -> None:
    """Write the page from the figures in a folder, whole or not at all."""
    text = page([read_json(path) for path in sorted(folder.glob("*.json"))])
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as beside:
        beside.write_text(text, encoding="utf-8")


def page(results: Sequence[Result]) -> str:
    """Markdown of everything that was measured."""
    groups = _groups(results)
    parts = ["# Default settings, by kind of recording", _introduction(results)]
    for encoder in sorted({encoder for _, encoder in groups}, reverse=True):
        rows = {name: some for (name, each), some in groups.items() if each == encoder}
        parts += [f"## Stimulus encoder `{encoder}`", _retrieval(rows), _course(rows)]
    return "\n\n".join(parts) + "\n"


def _groups(results: Sequence[Result]) -> dict[tuple[str, str], list[Result]]:
    """Results of all seeds by kind and encoder, kinds in their own order."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for name in KINDS:
        for each in results:
            if each["configuration"]["kind"]["name"] == name:
                key = name, each["configuration"]["model"]["stimulus_encoder"]
                groups.setdefault(key, []).append(each)
    return groups


def _introduction(results: Sequence[Result]) -> str:
    made = results[0]["provenance"]
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    seeds = sorted({each["configuration"]["seed"] for each in results})
    codes = sorted({each["configuration"]["code"][:12] for each in results})
    digests = {each["configuration"]["kind"]["name"]: each["data"]["digest"][:12] for each in results}
    encoders = sorted({each["configuration"]["model"]["stimulus_encoder"] for each in results}, reverse=True)
    lines = [
        f"* **Command**: `python -m tests.benchmarks.defaults --encoders {' '.join(encoders)} --seeds "
        f"{' '.join(map(str, seeds))} --out FOLDER --page PAGE`; the page is generated, not written.",
        "* **Settings**: defaults of model, training and episodes, but for the stimulus encoder where it is named and "
        "the number of steps, which is far below the default.",
        "* **Data**: simulated, frames of 18 x 32 pixels; four animals trained on and one held out of 4 minutes each "
        "(8,000 cells: two and one of 2.5 minutes). All animals see all movies. Deconvolved activity is what simulated "
        "dF/F rises by beyond the indicator's decay, above the noise. Digests: "
        + ", ".join(f"`{name}` {digest}" for name, digest in digests.items())
        + ".",
        "* **Test**: clips of 16 frames whose content is never shown in training; whole training part of the held-out "
        "animal as context."
        if all(each["data"]["content_disjoint"] for each in results)
        else "* **Test content was shown in training.**",
        f"* **Seeds** of training: {', '.join(map(str, seeds))}"
        + ("; mean ± standard deviation." if len(seeds) > 1 else ": **one seed**."),
        f"* **Machine**: {made['platform']}, CPU, one thread, beside other work; Python {made['python']}, {packages}.",
        f"* **Code**: digest {', '.join(codes)}." + (" **Not all figures are of the same code.**" if codes[1:] else ""),
    ]
    if missing := [name for name in KINDS if name not in digests]:
        lines.append(f"* **Not measured yet**: {', '.join(f'`{name}`' for name in missing)}.")
    return "\n".join(lines)


def _retrieval(rows: Mapping[str, Sequence[Result]]) -> str:
    conditions = {
        "with_context": "trained model",
        "without_context": "without context",
        "untrained": "control: untrained",
        "shuffled_pairs": "control: shuffled pairs",
        "permuted_neurons": "control: permuted neurons",
    }
    header = [
        "recording",
        *conditions.values(),
        "chance",
        "clips",
        "trained model, by cosine",
        "before training, by cosine",
        "ridge read-out alone, by cosine",
        "trained animals: trained model",
        "by cosine",
        "before training, by cosine",
        "ridge read-out alone, by cosine",
    ]
    table = [
        [
            KINDS[name].description,
            *(_figure(some, lambda each, at=at: each["retrieval"]["held_out"][at]["top1"]) for at in conditions),
            _figure(some, lambda each: each["retrieval"]["held_out"]["with_context"]["chance"]),
            str(some[0]["clips"]),
            *_by_cosine(some, "held_out"),
            _figure(some, lambda each: each["retrieval"]["trained"]["with_context"]["top1"]),
            *_by_cosine(some, "trained"),
        ]
        for name, some in rows.items()
    ]
    return (
        "Retrieval top-1, of the held-out animal and in the last columns of the trained ones; by expected squared "
        "distance, as evaluation does, or by the cosine of centred means, which a ridge that shrinks does not harm:\n\n"
        + _table(header, table)
    )


def _by_cosine(some: Sequence[Result], group: str) -> list[str]:
    return [
        _figure(some, lambda each: each["by_cosine"]["trained"][group]),
        _figure(some, lambda each: each["by_cosine"]["at_first"][group]),
        _figure(some, lambda each: each["retrieval"][group]["untrained_readout"]["top1"]),
    ]


def _course(rows: Mapping[str, Sequence[Result]]) -> str:
    header = [
        "recording",
        "steps",
        "loss, first ten steps",
        "last ten",
        "all finite",
        "form of the ridge, training / inference",
        "context frames, training / inference",
        "penalty, first / last",
        "active `z_xc`",
        "processor seconds a step",
        "peak MiB, training / evaluation",
    ]
    table = []
    for name, some in rows.items():
        first = some[0]
        episodes = first["configuration"]["episodes"]
        frames = episodes["context_clips"] * episodes["clip_frames"]
        table.append(
            [
                KINDS[name].description,
                str(KINDS[name].steps),
                _figure(some, lambda each: each["loss"]["first"]),
                _figure(some, lambda each: each["loss"]["last"]),
                "yes" if all(each["finite"] for each in some) else "**no**",
                f"{first['readout']['training']} / {first['readout']['inference']}",
                f"{min(frames, first['data']['context_frames']):,} / {first['data']['context_frames']:,}",
                _figure(some, lambda each: each["readout"]["penalty_first"])
                + " / "
                + _figure(some, lambda each: each["readout"]["penalty_last"]),
                _figure(some, lambda each: each["active_units"]["neural_shared"], digits=0),
                _figure(some, lambda each: each["cost"]["seconds_per_step"]),
                " / ".join(
                    f"{max(each['cost'][f'{part}_mebibytes'] for each in some):,.0f}"
                    for part in ("training", "evaluation")
                ),
            ]
        )
    return "Training and cost:\n\n" + _table(header, table)


def _figure(some: Sequence[Result], of: Callable[[Result], float | None], *, digits: int = 2) -> str:
    values = [value for each in some if (value := of(each)) is not None]
    if not values:
        return "-"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
