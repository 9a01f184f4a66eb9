"""The steps of a run, one function per command. Each reads what earlier steps left and can be repeated alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwb_mivae.clips import ClipStore, Split, make_split
from nwb_mivae.clips import prepare as prepare_store
from nwb_mivae.errors import NwbMivaeError, OutputError
from nwb_mivae.evaluation import Evaluation
from nwb_mivae.evaluation import evaluate as evaluate_model
from nwb_mivae.inference import (
    SessionFingerprints,
    SessionLatents,
    session_context,
    session_fingerprints,
    session_latents,
)
from nwb_mivae.model import write_card
from nwb_mivae.outputs import read_json, restore_replaced, whole_file, write_json
from nwb_mivae.pipeline.configuration import PipelineConfiguration
from nwb_mivae.pipeline.record import TrainedRun, record_step, relative_path, require_new
from nwb_mivae.pipeline.sources import resolve_sources
from nwb_mivae.report import write_report
from nwb_mivae.run import Run
from nwb_mivae.sessions import SessionsConfiguration, describe, find_groups, read_session
from nwb_mivae.simulation import SimulatedAnimal, SimulationConfiguration
from nwb_mivae.simulation import simulate as simulate_animals
from nwb_mivae.training import fit

if TYPE_CHECKING:
    Progress = Callable[[str, int, int], None]
    AnyPath = str | PathLike[str]

__all__ = [
    "evaluate",
    "fingerprints",
    "inspect",
    "latents",
    "prepare",
    "report",
    "simulate",
    "train",
]


def simulate(
    out: AnyPath,
    configuration: SimulationConfiguration | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[SimulatedAnimal]:
    """Write simulated animals as NWB files into ``out``, the truth beside each; see :mod:`nwb_mivae.simulation`."""
    return simulate_animals(out, configuration or SimulationConfiguration(), overwrite=overwrite, progress=progress)


def inspect(
    sources: Iterable[AnyPath],
    *,
    stimulus_folder: AnyPath | None = None,
    configuration: SessionsConfiguration | None = None,
    progress: Progress | None = None,
) -> tuple[list[dict[str, Any]], list[NwbMivaeError]]:
    """Describe what every session holds, and what of it can be used.

    Files that hold one imaging plane each of a session are one session, and of several files of one recording the one
    that tells most is described; its findings say which were left out.

    Returns
    -------
    list of dict, list of NwbMivaeError
        A JSON-able description of each session that can be read, and why the others cannot.
    """
    settings = configuration or SessionsConfiguration()
    described: list[dict[str, Any]] = []
    refused: list[NwbMivaeError] = []
    groups = find_groups(resolve_sources(sources), configuration=settings)
    for done, group in enumerate(groups):
        if progress is not None:
            progress("reading", done, len(groups))
        try:
            with read_session(group.sources, stimulus_folder=stimulus_folder, configuration=settings) as session:
                session.findings.extend(group.findings)
                described.append(describe(session))
        except NwbMivaeError as problem:
            refused.append(problem)
    if progress is not None:
        progress("reading", len(groups), len(groups))
    return described, refused


def prepare(
    sources: Iterable[AnyPath],
    out: AnyPath,
    *,
    configuration: PipelineConfiguration | None = None,
    stimulus_folder: AnyPath | None = None,
    progress: Progress | None = None,
) -> ClipStore:
    """Put the sessions of NWB files, folders of them, or addresses of a DANDI archive into a clip store."""
    settings = configuration or PipelineConfiguration()
    return prepare_store(
        resolve_sources(sources),
        out,
        configuration=settings.clips,
        sessions=settings.sessions,
        alignment=settings.alignment,
        stimulus_folder=stimulus_folder,
        progress=progress,
    )


def train(
    store: ClipStore | AnyPath,
    out: AnyPath,
    *,
    configuration: PipelineConfiguration | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainedRun:
    """Train a model on a store into the run directory ``out``.

    Parameters
    ----------
    store : ClipStore or path
        Prepared sessions.
    out : path
        A new run; with ``resume``, the run to go on with, under its own ``configuration.yaml``.
    resume : bool
        Go on from the run's last checkpoint, or from the start where the run was stopped before it had one. A finished
        run is left as it is.

    Raises
    ------
    OutputError
        If the run already holds a model and ``resume`` is false, or there is nothing to resume.
    """
    run = Run.at(out)
    clips = store if isinstance(store, ClipStore) else ClipStore.open(store)
    if resume:
        if not run.configuration.is_file() or not run.split.is_file():
            raise OutputError(
                "no run to go on with",
                expected="a run with configuration.yaml and split.json",
                remedy="train without --resume",
                file=run.directory,
            )
        for folder in (run.checkpoint, run.model):
            restore_replaced(folder)
        settings = configuration or PipelineConfiguration.from_yaml(run.configuration)
        split = Split.load(run.split)
    else:
        require_new(run)
        # How the store was prepared is the store's to say, whatever a configuration file has under those keys.
        given = (configuration or PipelineConfiguration()).model_dump(mode="json")
        settings = PipelineConfiguration.from_mapping({**given, **clips.manifest["configuration"]})
        split = make_split(clips, settings.split, n_frames=settings.episodes.clip_frames)
        # Written before training, so that an interrupted run can be resumed by what it was started with.
        with whole_file(run.configuration) as beside:
            beside.write_text(settings.to_yaml(), encoding="utf-8")
        split.save(run.split)
    earlier = read_json(run.provenance).get("steps", {}) if run.provenance.exists() else {}
    fit(
        clips,
        split,
        run,
        model=settings.model,
        training=settings.training,
        episodes=settings.episodes,
        # Killed before its first checkpoint, a run has nothing to go on from, but all it takes to start again.
        resume=resume and (run.checkpoint.exists() or run.model.exists()),
        progress=progress,
    )
    # Going on with a finished run gives the same weights, so what was computed from them stays theirs.
    write_json(run.provenance, {**read_json(run.provenance), "steps": earlier})
    record_step(run, "train", store_path=relative_path(clips.path, run.directory))
    return TrainedRun.open(run, clips.path)


def evaluate(
    run: AnyPath,
    *,
    store: AnyPath | None = None,
    settings: Iterable[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge a trained model with all its controls, and compute the latents of every session."""
    trained = TrainedRun.open(run, store)
    configuration = trained.configuration.changed(settings).evaluation
    result = evaluate_model(
        trained.module,
        trained.store,
        trained.split,
        configuration=configuration,
        seed=seed,
        weights_sha256=trained.weights_sha256,
        progress=progress,
    )
    result.save(trained.run.evaluation)
    write_card(trained.run.model, evaluation=result.summary)
    record_step(trained.run, "evaluate", seed=seed, configuration=configuration.model_dump(mode="json"))
    latents(trained, progress=progress)
    return result


def latents(
    trained: TrainedRun, *, sessions: Sequence[str] | None = None, progress: Progress | None = None
) -> dict[str, SessionLatents]:
    """Latents of the wanted sessions (default all): those the run has from its present weights, the rest computed."""
    folder = trained.current_folder("latents", trained.run.latents)
    found = {}
    for key in trained.sessions(sessions):
        path = folder / f"{key}.npz"
        if not path.exists():
            session_latents(
                trained.module,
                trained.store,
                trained.split,
                key,
                session_context(trained.module, trained.store, trained.split, key),
                weights_sha256=trained.weights_sha256,
                progress=progress,
            ).save(path)
        found[key] = SessionLatents.load(path)
    record_step(trained.run, "latents")
    return found


def fingerprints(
    trained: TrainedRun, *, sessions: Sequence[str] | None = None, progress: Progress | None = None
) -> dict[str, SessionFingerprints]:
    """Fingerprints of the wanted sessions' cells (default all), as for latents; none where the model knows none."""
    folder = trained.current_folder("fingerprints", trained.run.fingerprints)
    found = {}
    keys = trained.sessions(sessions)
    for done, key in enumerate(keys):
        if progress is not None:
            progress("fingerprints", done, len(keys))
        path = folder / f"{key}.npz"
        if not path.exists():
            made = session_fingerprints(
                trained.module, trained.store, trained.split, key, weights_sha256=trained.weights_sha256
            )
            if made is None:
                continue
            made.save(path)
        found[key] = SessionFingerprints.load(path)
    if progress is not None:
        progress("fingerprints", len(keys), len(keys))
    record_step(trained.run, "fingerprints")
    return found


def report(run: AnyPath, *, store: AnyPath | None = None) -> Path:
    """Write the run's HTML report, from whatever the run holds so far."""
    trained = TrainedRun.open(run, store)
    return write_report(trained.run, trained.store)
