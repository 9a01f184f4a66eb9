"""The report of a run: one HTML file that says what was done, what came out, and what to doubt."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.clips import ClipStore, Split, StoredSession
from nwb_mivae.errors import OutputError
from nwb_mivae.evaluation import Evaluation
from nwb_mivae.inference import SessionLatents
from nwb_mivae.outputs import read_json, whole_file
from nwb_mivae.provenance import package_version
from nwb_mivae.report import figures
from nwb_mivae.report.attribution_section import attribution_section
from nwb_mivae.report.page import Html, bullets, details, heading, page, paragraph, picture, table
from nwb_mivae.report.shown import draw_sessions, frames_of
from nwb_mivae.report.words import doubts, headline, short_names, what_was_trained
from nwb_mivae.run import Run
from nwb_mivae.sessions.grouping import source_name
from nwb_mivae.training import read_training_log

__all__ = ["write_report"]

#: More sessions than these are listed in tables but not drawn.
_DRAWN_SESSIONS = 8
_SHOWN_FRAMES = 6
_SHOWN_LATENT_FRAMES = 160


def write_report(run: Run | str | PathLike[str], store: ClipStore) -> Path:
    """Write ``report.html`` into a run's directory, from whatever the run holds so far.

    The file is self-contained: figures are inside, nothing is loaded from elsewhere, no script runs. Parts that have
    not been computed yet are named, with the command that computes them.

    Parameters
    ----------
    run : Run or path
        A run with a trained model.
    store : ClipStore
        The store it was trained on.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    OutputError
        If the run holds no split, that is, nothing was trained there.
    """
    run = run if isinstance(run, Run) else Run.at(run)
    if not run.split.exists():
        raise OutputError(
            "a run without a trained model",
            expected="a run that `nwb-mivae train` wrote",
            remedy="run `nwb-mivae train` first",
            file=run.directory,
        )
    split = Split.load(run.split)
    log = _read_log(run.training_log)
    evaluation = Evaluation.load(run.evaluation) if run.evaluation.exists() else None
    name = run.directory.resolve().name
    parts = [
        heading("In words"),
        *(paragraph(sentence) for sentence in what_was_trained(store, split, log)),
        *_outcome(evaluation),
        heading("What to doubt", level=3),
        bullets(("doubt", sentence) for sentence in doubts(store, split, evaluation)),
        heading("Data"),
        *_data(store, split),
        heading("Training"),
        *_training(log),
        heading("Alignment and retrieval"),
        *_alignment(evaluation, store, split),
        heading("Latents over time"),
        *_latents(run, store, split),
        heading("Attribution"),
        *attribution_section(run, store, split),
        heading("Where it came from"),
        *_origin(run, store),
    ]
    written = f"Written by nwb_mivae {package_version()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    with whole_file(run.report) as beside:
        beside.write_text(page(f"miVAE report: {name}", written, parts), encoding="utf-8")
    return run.report


def _read_log(path: Path) -> dict[str, list[float]]:
    """Columns of the training log, NaN where a row leaves one empty."""
    rows = read_training_log(path) if path.exists() else []
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, math.nan) for row in rows] for name in names}


def _outcome(evaluation: Evaluation | None) -> list[Html]:
    if evaluation is None:
        return [paragraph("Whether it works has not been measured yet: run `nwb-mivae evaluate` on this run.")]
    verdicts = [("", str(sentence)) for sentence in evaluation.summary.get("verdicts", ())]
    return [bullets([headline(evaluation), *verdicts])]


def _data(store: ClipStore, split: Split) -> list[Html]:
    rows = []
    held_out = set(split.held_out_sessions)
    for key, stored in store.sessions.items():
        minutes = float(np.sum(np.asarray(stored.valid))) / store.frame_rate / 60
        rows.append(
            (
                str(stored.subject),
                "held out" if key in held_out else "trained",
                stored.n_cells,
                str(stored.trace_kind),
                f"{stored.report['lag']:g}",
                round(minutes, 2),
                _file_names(stored),
                ", ".join(str(file["sha256"] or "")[:12] for file in stored.source["files"]),
            )
        )
    header = ("animal", "used for", "cells", "traces", "lag (s)", "valid minutes", "file", "sha256 begins")
    return [
        paragraph(
            f"{len(store.sessions)} sessions on a clock of {store.frame_rate:g} frames per second, frames of "
            f"{store.height} x {store.width} pixels. Activity is taken `lag` seconds after the frame it is matched "
            "with, since the response comes later than the stimulus (setting alignment.lag)."
        ),
        table(header, rows),
        *(
            details(f"Alignment report of {key}", json.dumps(stored.report, indent=1, default=str))
            for key, stored in store.sessions.items()
        ),
    ]


def _file_names(stored: StoredSession) -> str:
    return ", ".join(source_name(file["path"]) for file in stored.source["files"])


def _training(log: dict[str, list[float]]) -> list[Html]:
    drawn = {name: values for name, values in log.items() if any(map(math.isfinite, values))}
    if "step" not in drawn or len(drawn) < 2:
        return [paragraph("The training log is missing or empty, so there are no curves.")]
    return [
        picture(
            figures.loss_curves(drawn),
            caption="Every term of the loss, and what else was logged, over training steps. Good: the total and the "
            "matching term fall and then flatten; the KL terms settle above zero. Bad: a term that grows without end, "
            "a KL term that falls to zero at once (its latents hold nothing), or validation rising while training "
            "falls (the model learns its animals by heart).",
            description="Small panels, one per logged quantity, against training step.",
        )
    ]


def _alignment(evaluation: Evaluation | None, store: ClipStore, split: Split) -> list[Html]:
    if evaluation is None:
        return [paragraph("Not measured yet: run `nwb-mivae evaluate` on this run.")]
    parts: list[Html] = []
    names = short_names(store)
    held_out = set(split.held_out_sessions)
    first = sorted(evaluation.sessions, key=lambda key: (key not in held_out, key))[:_DRAWN_SESSIONS]
    bars = {
        f"{names[key]}\n({'held out' if evaluation.sessions[key]['held_out'] else 'trained'})": dict(
            evaluation.sessions[key]["conditions"]
        )
        for key in first
    }
    parts.append(
        picture(
            figures.retrieval_bars(bars, evaluation.chance),  # type: ignore[arg-type]
            caption=f"Given neural activity, which of the test clips was shown? How often the right one (of "
            f"{evaluation.n_clips}) came first. Good: blue bars of held-out animals far right of the chance line, "
            "the controls at it; what training adds is how far they are right of the "
            "closed form. Bad: blue bars at the line (nothing was learned "
            "that carries over), or one of the controls far right of it (the test itself gives the answer away). "
            "With context: the model has read the training part of the animal's own recording. Closed form: the "
            "regression from the neurons to the stimulus features as they are before any gradient step, with that same "
            "context; it may be far above chance, and what training is worth lies above it. "
            "Shuffled pairs: activity beside the wrong clips. "
            "Permuted neurons: the test clips' activity given to the wrong neurons."
            + (
                f" {len(evaluation.sessions) - len(first)} more sessions are not drawn."
                * (len(evaluation.sessions) > len(first))
            ),
            description="Horizontal bars of top-1 retrieval per session and condition, with the chance level.",
        )
    )
    for key, values in list(evaluation.similarity.items())[:_DRAWN_SESSIONS]:
        matrix = np.asarray(values, dtype=np.float64)
        if matrix.ndim != 2 or matrix.size == 0:
            continue
        parts.append(
            picture(
                figures.similarity_matrix(matrix, f"{names[key]}, {len(matrix)} test clips"),
                caption="Each row is one test clip as the neurons tell it, each column one as the stimulus tells it. "
                "Good: a red diagonal on a pale ground, every clip alike to itself alone. Bad: no diagonal, or stripes "
                "and blocks (clips that cannot be told apart, often because only brightness is held).",
                description=f"Matrix of similarity between neural and stimulus latents of {key}.",
            )
        )
    parts += [heading("All figures", level=3), _metrics_table(evaluation, names)]
    if evaluation.across:
        header = ("animal a", "animal b", "held out among them", "top-1", "chance", "clips", "centred R")
        parts += [
            heading("Between animals", level=3),
            paragraph(
                "Neural latents of one animal looked up among those of another that saw the same clips. Good: far "
                "above chance, most of all between held-out animals.",
                soft=True,
            ),
            table(
                header,
                (
                    (
                        names[pair["a"]],
                        names[pair["b"]],
                        "yes" if pair["held_out"] else "no",
                        pair["top1"],
                        pair["chance"],
                        pair["n_clips"],
                        pair["centred_r"],
                    )
                    for pair in evaluation.across
                ),
            ),
        ]
    parts += [
        heading("Active latents", level=3),
        paragraph(
            "How many latents of each block carry information. Good: most. Bad: 0 or 1, a block that collapsed.",
            soft=True,
        ),
        table(
            ("block", "active latents"), ((name.replace("_", " "), n) for name, n in evaluation.active_units.items())
        ),
    ]
    return parts


def _metrics_table(evaluation: Evaluation, names: Mapping[str, str]) -> Html:
    header = ("animal", "condition", "top-1", "top-5", "chance", "clips", "paired R", "unpaired R", "centred R")
    return table(
        header,
        (
            (
                names[key],
                condition.replace("_", " "),
                figure["top1"],
                figure["top5"],
                figure["chance"],
                figure["n_clips"],
                figure["paired_r"],
                figure["unpaired_r"],
                figure["centred_r"],
            )
            for key, session in evaluation.sessions.items()
            for condition, figure in session["conditions"].items()
        ),
    )


def _latents(run: Run, store: ClipStore, split: Split) -> list[Html]:
    drawn = draw_sessions(run.latents, store, split, lambda path, key: _latents_of(path, store, key, split))
    return drawn or [paragraph("Not computed yet: run `nwb-mivae evaluate` or `nwb-mivae annotate` on this run.")]


def _latents_of(path: Path, store: ClipStore, key: str, split: Split) -> list[Html]:
    latents = SessionLatents.load(path)
    stored = store.sessions[key]
    test = np.flatnonzero(latents.part == 2)
    if len(test) < 2:
        return [paragraph(f"{key}: no test clips to show.")]
    neural = _standardised(latents.blocks["neural_shared"].mean[test])
    stimulus = _standardised(latents.blocks["stimulus_shared"].mean[test])
    agreement = (neural * stimulus).mean(axis=0)
    order = np.argsort(-agreement)
    chosen = slice(0, min(_SHOWN_LATENT_FRAMES, len(test)))
    rows = latents.row[test][chosen]
    shown = np.linspace(0, len(rows) - 1, _SHOWN_FRAMES + 2).round().astype(np.int64)[1:-1]
    role = "held out" if key in set(split.held_out_sessions) else "trained"
    return [
        picture(
            figures.latents_beside_stimulus(
                neural[chosen][:, order],
                stimulus[chosen][:, order],
                frames_of(store, stored, rows[shown]),
                shown,
                np.flatnonzero(np.diff(rows) != 1) + 1,
                store.frame_rate,
                f"{short_names(store)[key]} ({role}); median R over latents {np.median(agreement):.2f}",
            ),
            caption="Above, what was on the screen. Below, the shared latents, first as read from the neurons, then as "
            "read from the stimulus; black lines are where time jumps, and the latents on which both agree best come "
            "first. Every clip is encoded on its own, so small steps at its borders are the method's. Good: both "
            "panels show the same pattern. Bad: the neural panel is flat, noisy, or changes where the other does not.",
            description=f"Two heat maps of shared latents over time of {key}, below movie frames.",
        )
    ]


def _standardised(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    deviation = values.std(axis=0)
    standardised: npt.NDArray[np.float32] = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return standardised


def _origin(run: Run, store: ClipStore) -> list[Html]:
    parts: list[Html] = [paragraph(f"Clip store digest: {store.digest}")]
    if run.provenance.exists():
        provenance: dict[str, Any] = read_json(run.provenance)
        command = provenance.get("command")
        if isinstance(command, list):
            parts.append(paragraph("Trained with: " + " ".join(str(part) for part in command)))
        parts.append(details("Provenance", json.dumps(provenance, indent=1)))
    else:
        parts.append(paragraph("The run holds no provenance record."))
    if run.configuration.exists():
        parts.append(details("Settings", run.configuration.read_text(encoding="utf-8")))
    # Recordings of one name lie in folders of their own, and Zarr recordings are folders.
    found = (path for ending in ("*.nwb", "*.nwb.zarr") for path in run.annotated.rglob(ending))
    annotated = sorted(path.relative_to(run.annotated).as_posix() for path in found if not path.name.startswith("."))
    if annotated:
        parts += [
            paragraph("Annotated NWB files, in the run's folder `annotated`:"),
            bullets(("", n) for n in annotated),
            paragraph("Next: `nwb-mivae check` says whether DANDI would take them, `nwb-mivae publish` shares them."),
        ]
    else:
        parts.append(paragraph("No annotated NWB files yet: run `nwb-mivae annotate` on this run."))
    return parts
