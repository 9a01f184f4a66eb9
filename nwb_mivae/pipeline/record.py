"""What a run remembers of its steps, and how a step finds what the steps before it left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwb_mivae.clips import ClipStore, Split
from nwb_mivae.errors import ModelError, OutputError, StoreError
from nwb_mivae.model import load_module, weights_digest
from nwb_mivae.outputs import locked, read_json, restore_replaced, write_json
from nwb_mivae.pipeline.configuration import PipelineConfiguration
from nwb_mivae.provenance import provenance_record
from nwb_mivae.run import Run

if TYPE_CHECKING:
    from nwb_mivae.model import MiVAEModule

__all__ = ["TrainedRun", "changing_step", "record_step", "relative_path", "require_new"]


def record_step(run: Run, step: str, **facts: Any) -> None:
    """Add a step to the run's provenance record, with version, command and time."""
    with changing_step(run, step) as known:
        known.clear()
        known.update(facts)


@contextmanager
def changing_step(run: Run, step: str) -> Iterator[dict[str, Any]]:
    """Give what the run's provenance record holds of a step; what is made of it is recorded, if the block succeeds.

    Version, command and time are added. Other programs that record something of this run wait for the end of the block.
    """
    weights = weights_digest(run.model)
    with locked(run.directory / ".provenance.lock"):
        record = read_json(run.provenance) if run.provenance.exists() else {}
        steps = record.setdefault("steps", {})
        known = dict(steps.get(step, {}))
        yield known
        steps[step] = {**known, **provenance_record(weights_sha256=weights)}
        write_json(run.provenance, record)


@dataclass(frozen=True)
class TrainedRun:
    """A run with a trained model, and the store it was trained on."""

    run: Run
    store: ClipStore
    split: Split
    module: MiVAEModule
    configuration: PipelineConfiguration

    @classmethod
    def open(cls, directory: Run | str | PathLike[str], store: str | PathLike[str] | None = None) -> TrainedRun:
        """Open a run.

        Parameters
        ----------
        directory : Run or path
            The run.
        store : path, optional
            The clip store, where it is no longer where training found it.

        Raises
        ------
        ModelError
            If nothing was trained there.
        StoreError
            If the store is missing, or is not the one that was trained on.
        """
        run = directory if isinstance(directory, Run) else Run.at(directory)
        _refuse_untrained(run)
        record = read_json(run.provenance)
        known = record.get("steps", {}).get("train", {}).get("store_path")
        if store is None and known is None:
            raise StoreError(
                "a run that does not say where its clip store lies",
                expected="the folder that `nwb-mivae prepare` wrote",
                remedy="name it with --store",
                file=run.directory,
            )
        if store is None and not (run.directory / known).is_dir():
            raise StoreError(
                "no clip store where it lay when the run was trained",
                expected="the folder that `nwb-mivae prepare` wrote",
                remedy="where it was moved, name it with --store",
                file=os.path.normpath(run.directory.resolve() / known),
            )
        clips = ClipStore.open(store if store is not None else run.directory / known)
        if record.get("store") != clips.digest:
            raise StoreError(
                "a clip store other than the one this run was trained on",
                expected=f"the digest {record.get('store')}, not {clips.digest}",
                remedy="name the right one with --store, or train a new run on this one",
                file=clips.path,
            )
        configuration = (
            PipelineConfiguration.from_yaml(run.configuration)
            if run.configuration.exists()
            else PipelineConfiguration()
        )
        return cls(run, clips, Split.load(run.split), load_module(run.model), configuration)

    @cached_property
    def weights_sha256(self) -> str:
        """Digest of the trained weights: what evaluation, latents and attribution belong to."""
        return weights_digest(self.run.model)

    def sessions(self, wanted: Sequence[str] | None) -> list[str]:
        """Keys of the wanted sessions, or of all, held-out animals first.

        Raises
        ------
        StoreError
            If a key is not in the store.
        """
        held_out = list(self.split.held_out_sessions)
        everything = held_out + [key for key in self.store.sessions if key not in set(held_out)]
        unknown = sorted(set(wanted or ()) - set(everything))
        if unknown:
            raise StoreError(
                f"no session {', '.join(unknown)}",
                expected=f"one of {', '.join(everything)}",
                remedy="correct the name",
                file=self.store.path,
            )
        return everything if not wanted else [key for key in everything if key in set(wanted)]

    def is_current(self, step: str) -> bool:
        """Whether a step has been done with the weights the run holds now."""
        record = read_json(self.run.provenance).get("steps", {}).get(step, {})
        return bool(record.get("weights_sha256") == self.weights_sha256)

    def current_folder(self, step: str, folder: Path) -> Path:
        """The folder of a step's results, emptied where they belong to weights the run no longer holds."""
        if folder.exists() and not self.is_current(step):
            shutil.rmtree(folder)
        return folder


def _refuse_untrained(run: Run) -> None:
    for folder in (run.model, run.checkpoint):
        restore_replaced(folder)
    interrupted = run.checkpoint.is_dir()
    if run.model.is_dir():
        missing = [path for path in (run.model / "weights.safetensors", run.split) if not path.is_file()]
        if not missing:
            return
        again = interrupted and missing == [run.model / "weights.safetensors"]
        raise ModelError(
            f"a trained run without {' and '.join(str(path.relative_to(run.directory)) for path in missing)}",
            expected="all that `nwb-mivae train` wrote",
            remedy="copy the run again, whole"
            + (", or have `nwb-mivae train --resume` write its model again from the checkpoint" if again else ""),
            file=missing[0],
        )
    raise ModelError(
        "a run whose training did not finish" if interrupted else "no trained model",
        expected="a run that `nwb-mivae train` finished",
        remedy="go on with `nwb-mivae train --resume`" if interrupted else "run `nwb-mivae train` first",
        file=run.directory,
    )


def relative_path(path: Path, start: Path) -> str:
    """``path`` as seen from ``start``, so that run and store can move together; absolute across drives."""
    try:
        return os.path.relpath(path.resolve(), start.resolve())
    except ValueError:
        return str(path.resolve())


def require_new(run: Run) -> None:
    """Refuse to train where a model already is.

    Raises
    ------
    OutputError
        If the run holds a model or a checkpoint.
    """
    for path in (run.model, run.checkpoint):
        if path.exists():
            raise OutputError(
                f"a run with a {path.name} in it",
                expected="a new folder for a new run",
                remedy="choose another --out, go on with --resume, or remove the folder",
                file=run.directory,
            )
