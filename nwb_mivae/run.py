"""A run: one directory with everything a result came from, and the names of what lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

__all__ = ["Run"]


@dataclass(frozen=True)
class Run:
    """Paths of a run's directory; each room writes and reads its own part of it."""

    directory: Path

    @classmethod
    def at(cls, directory: str | PathLike[str]) -> Run:
        """The run in ``directory``, which need not exist yet."""
        return cls(Path(directory))

    @property
    def configuration(self) -> Path:
        """The whole configuration, as YAML."""
        return self.directory / "configuration.yaml"

    @property
    def provenance(self) -> Path:
        """Version, command, data hashes and seed, as JSON."""
        return self.directory / "provenance.json"

    @property
    def split(self) -> Path:
        """Which animals and which stimulus content were held out, as JSON."""
        return self.directory / "split.json"

    @property
    def model(self) -> Path:
        """The trained model: a folder with ``weights.safetensors`` and ``model.json``."""
        return self.directory / "model"

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint, a folder that training resumes from."""
        return self.directory / "checkpoint"

    @property
    def training_log(self) -> Path:
        """One CSV row per logged step, one column per term of the loss."""
        return self.directory / "training.csv"

    @property
    def evaluation(self) -> Path:
        """Metrics with their controls, as JSON."""
        return self.directory / "evaluation.json"

    @property
    def latents(self) -> Path:
        """Folder of one ``SESSION.npz`` per session (``SessionLatents``)."""
        return self.directory / "latents"

    @property
    def attribution(self) -> Path:
        """Folder of one ``SESSION.npz`` per session (``SessionAttribution``)."""
        return self.directory / "attribution"

    @property
    def fingerprints(self) -> Path:
        """Folder of one ``SESSION.npz`` per session (``SessionFingerprints``)."""
        return self.directory / "fingerprints"

    @property
    def subpopulations(self) -> Path:
        """Folder of one ``SESSION.npz`` per session (``SessionSubpopulations``), none where it has none."""
        return self.directory / "subpopulations"

    @property
    def regions(self) -> Path:
        """Folder of one ``SESSION.npz`` per session (``SessionStimulusRegions``), none where it has none."""
        return self.directory / "regions"

    @property
    def annotated(self) -> Path:
        """Folder of annotated NWB files."""
        return self.directory / "annotated"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.directory / "report.html"
