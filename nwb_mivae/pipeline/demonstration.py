"""Everything once, on simulated animals: from nothing to annotated NWB files and a report, in a few minutes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwb_mivae.errors import AnnotationError, OutputError
from nwb_mivae.outputs import write_json
from nwb_mivae.pipeline.annotating import annotate
from nwb_mivae.pipeline.attributing import attribute
from nwb_mivae.pipeline.configuration import PipelineConfiguration
from nwb_mivae.pipeline.steps import evaluate, prepare, report, simulate, train
from nwb_mivae.provenance import provenance_record
from nwb_mivae.simulation import SimulationConfiguration

if TYPE_CHECKING:
    Progress = Callable[[str, int, int], None]
    Note = Callable[[str], None]

__all__ = ["DEMO_SETTINGS", "DemoResult", "demo"]

#: What differs from the defaults, so that the whole takes minutes on two cores.
DEMO_SETTINGS: dict[str, Any] = {
    "split.held_out": 1,
    "training.steps": 270,
    "training.validate_every": 90,
    "training.checkpoint_every": 90,
    "attribution.clips": 8,
    "subpopulations.onsets": 48,
}


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration gave.

    Attributes
    ----------
    figures : dict
        JSON-able: ``seconds`` by step and in total, ``peak_memory_bytes`` (``None`` where the system does not say),
        ``held_out`` (the evaluation's summary of held-out animals), ``files``.
    report : Path
        The HTML report.
    annotated : list of Path
        Annotated copies, every one valid by ``pynwb.validate``.
    """

    figures: dict[str, Any]
    report: Path
    annotated: list[Path]

    def in_words(self) -> str:
        """The outcome, for people."""
        lines = [
            *self._retrieval(),
            "",
            f"Annotated NWB file: {self.annotated[0]}" if self.annotated else "No annotated NWB file.",
            f"Report:             {self.report}",
            f"All figures:        {self.figures['files']['figures']}",
            f"It took {self.figures['seconds']['total']:.0f} s" + self._memory() + ".",
        ]
        return "\n".join(lines)

    def _retrieval(self) -> list[str]:
        held_out = self.figures["held_out"]
        if held_out is None:
            return ["The animal that was held out shows too few test clips to say whether the model works on it."]
        head = held_out["with_context"]
        return [
            f"An animal the model was never trained on, read by its own recording: the right clip was found in "
            f"{_percent(head['top1'])} of lookups.",
            f"  chance                       {_percent(head['chance'])}",
            f"  without its own context      {_percent(held_out['without_context']['top1'])}",
            f"  control, untrained model     {_percent(held_out['untrained']['top1'])}",
            f"  closed form, before training {_percent(held_out['untrained_readout']['top1'])}",
            f"  control, shuffled pairs      {_percent(held_out['shuffled_pairs']['top1'])}",
            f"  control, permuted neurons    {_percent(held_out['permuted_neurons']['top1'])}",
        ]

    def _memory(self) -> str:
        peak = self.figures["peak_memory_bytes"]
        return "" if peak is None else f" and at most {peak / 2**30:.1f} GiB of memory"


def demo(
    out: str | PathLike[str],
    *,
    simulation: SimulationConfiguration | None = None,
    configuration: PipelineConfiguration | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    note: Note | None = None,
) -> DemoResult:
    """Simulate animals, prepare, train with one animal held out, evaluate, attribute, annotate, validate, report.

    Parameters
    ----------
    out : path
        A new folder; receives ``recordings/``, ``store/``, ``run/`` and ``demo.json``.
    simulation, configuration : configuration, optional
        The animals and the pipeline; five animals of six minutes and :data:`DEMO_SETTINGS` by default.
    seed : int
        Of the simulation, the split, the training and the evaluation, where no configuration is given.
    progress, note : callable, optional
        ``progress(description, done, total)``, and ``note(text)`` at the start of every step.

    Raises
    ------
    OutputError
        If the folder is there and not empty.
    AnnotationError
        If an annotated file could not be written, or is not valid NWB.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(
            "a folder that is not empty",
            expected="a new folder",
            remedy="name another, or remove it",
            file=folder,
        )
    simulation = simulation or SimulationConfiguration(seed=seed)
    settings = {**DEMO_SETTINGS, "split.seed": seed, "training.seed": seed}
    configuration = configuration or PipelineConfiguration().changed(settings)
    recordings, store, run = folder / "recordings", folder / "store", folder / "run"
    seconds: dict[str, float] = {}

    @contextmanager
    def step(name: str, words: str) -> Iterator[None]:
        if note is not None:
            note(words)
        start = time.perf_counter()
        yield
        seconds[name] = round(time.perf_counter() - start, 2)

    with step("simulate", f"Simulating {simulation.animals} animals of {simulation.minutes:g} minutes ..."):
        simulate(recordings, simulation, progress=progress)
    with step("prepare", "Putting neural activity and movies on one clock ..."):
        prepare([recordings], store, configuration=configuration, progress=progress)
    with step("train", f"Training for {configuration.training.steps} steps, one animal held out ..."):
        train(store, run, configuration=configuration, progress=progress)
    with step("evaluate", "Testing on the animal that was held out, with controls ..."):
        evaluation = evaluate(run, seed=seed, progress=progress)
    with step("attribute", "Tracing latents back to neurons and pixels ..."):
        attribute(run, seed=seed, progress=progress)
    with step("annotate", "Writing annotated copies of the NWB files ..."):
        annotated, refused = annotate(run, progress=progress)
        if refused:
            raise refused[0]
    with step("validate", "Validating the annotated files ..."):
        for path in annotated:
            _require_valid(path)
    with step("report", "Writing the report ..."):
        page = report(run)
    seconds["total"] = round(sum(seconds.values()), 2)
    figures_file = folder / "demo.json"
    figures = {
        "seconds": seconds,
        "peak_memory_bytes": _peak_memory(),
        "held_out": evaluation.summary["held_out"],
        "verdicts": evaluation.summary["verdicts"],
        "files": {
            "figures": str(figures_file),
            "report": str(page),
            "annotated": [str(path) for path in annotated],
        },
        "simulation": simulation.model_dump(mode="json"),
        "provenance": provenance_record(seed=seed),
    }
    write_json(figures_file, figures)
    return DemoResult(figures, page, annotated)


def _require_valid(path: Path) -> None:
    import pynwb

    problems = pynwb.validate(path=str(path))
    if problems:
        raise AnnotationError(
            f"{len(problems)} violations of the NWB schema, the first being: {problems[0]}",
            expected="valid NWB",
            remedy="report this as a bug",
            file=path,
        )


def _peak_memory() -> int | None:
    """Largest resident size of this process so far, in bytes."""
    try:
        import resource
    except ImportError:  # there is no such module on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{100 * value:.1f} %"
