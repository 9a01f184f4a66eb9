"""Annotations as they are read back: arrays in memory, and the same as pandas tables and pynapple objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.annotation.record import ModelRecord
from nwb_mivae.attribution.result import MethodAttribution
from nwb_mivae.errors import AnnotationError
from nwb_mivae.inference.latents import LatentBlock

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AnnotatedAttribution",
    "AnnotatedFingerprints",
    "AnnotatedSubpopulations",
    "Annotations",
    "PresentationPosterior",
]

_CELL = ["source_path", "source_row", "id"]


class PresentationPosterior(NamedTuple):
    """Posterior of one block by presentation.

    Attributes
    ----------
    block : str
        Name of the latent block.
    table : str
        Path of the presentation table in the file.
    rows : ndarray of int64, (P,)
        Rows of that table.
    offsets : ndarray of float64, (B,)
        Start of each bin, seconds from the onset of the presentation.
    mean, variance : ndarray of float32, (P, B, latents)
        NaN where no frame was encoded.
    """

    block: str
    table: str
    rows: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]


@dataclass(frozen=True)
class AnnotatedAttribution:
    """Attribution of F frames to N cells and H x W pixels.

    Attributes
    ----------
    time : ndarray of float64, (F,)
        Onset of each frame, seconds.
    cells : DataFrame
        N rows: ``source_path``, ``source_row`` and ``id`` of each cell's table, row and id in the file.
    methods : mapping of str to MethodAttribution
        By method; columns in the order of ``cells``. Of another program's methods that have no cells these are NaN, and
        of those that have no pixels ``pixels`` has no rows and columns.
    settings : mapping
        Settings of the attribution.
    """

    time: npt.NDArray[np.float64]
    cells: pd.DataFrame
    methods: Mapping[str, MethodAttribution]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class AnnotatedFingerprints:
    """Functional fingerprints of N cells.

    Attributes
    ----------
    cells : DataFrame
        N rows: ``source_path``, ``source_row`` and ``id`` of each cell's table, row and id in the file.
    fingerprints : ndarray of float32, (N, L, F)
        By lag and feature of the stimulus.
    lags_in_seconds : ndarray of float64, (L,)
        How long before the activity the stimulus was shown.
    method : str
        How they were computed.
    settings : mapping
        Settings of the method.
    """

    cells: pd.DataFrame
    fingerprints: npt.NDArray[np.float32]
    lags_in_seconds: npt.NDArray[np.float64]
    method: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class AnnotatedSubpopulations:
    """N cells in C subpopulations.

    Attributes
    ----------
    cells : DataFrame
        N rows: ``source_path``, ``source_row`` and ``id`` of each cell's table, row and id in the file.
    subpopulation : ndarray of int64, (N,)
        Row of ``profile`` and ``statistics`` that each cell belongs to; -1 where it belongs to none.
    confidence : ndarray of float32, (N,)
        How clearly it belongs there; NaN where it belongs to none, or nothing is said.
    profile : ndarray of float32, (C, B)
        Time course that the cells of a subpopulation have in common.
    profile_time : ndarray of float64, (B,)
        Start of each bin, seconds from the onset of the stimulus, or of a clip.
    statistics : DataFrame
        C rows: ``n_cells`` (in all files of the session) and further figures.
    method, attribution_method : str
        How cells were grouped, and which attribution of theirs.
    settings : mapping
        Settings of the grouping.
    """

    cells: pd.DataFrame
    subpopulation: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    profile: npt.NDArray[np.float32]
    profile_time: npt.NDArray[np.float64]
    statistics: pd.DataFrame
    method: str
    attribution_method: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Annotations:
    """What :func:`~nwb_mivae.annotation.annotate` added to a file, in memory.

    Attributes
    ----------
    name : str
        Name of this result in the file.
    form : str
        What the file is to its source: ``"copy"``, ``"append"`` or ``"companion"``.
    code_version, created : str
        Version of nwb_mivae that wrote the results, and when (ISO 8601); empty where unknown.
    model : ModelRecord
        The model.
    source : mapping of str to str
        The file the results were added to: ``file_name``, ``identifier``, ``sha256``, ``object_id``, and of an asset of
        a DANDI archive ``dandi_instance``, ``dandiset_id``, ``dandiset_version``, ``asset_path`` and ``asset_id``;
        empty where unknown.
    context : mapping
        What the model saw of this animal: ``{"clips": int, "minutes": float}``.
    frames : DataFrame
        One row per encoded frame: ``start_time``, ``stop_time`` in seconds, ``clip``, ``split``; of results that were
        written without this package the ``start_time`` alone.
    blocks : mapping of str to LatentBlock
        Posterior mean and variance, (frames, latents), by block; a variance that was not written is NaN.
    presentations : list of PresentationPosterior
        The same by presentation, for every presentation table of the source.
    attribution : AnnotatedAttribution or None
        Attribution, if there is one.
    fingerprints : AnnotatedFingerprints or None
        Functional fingerprints, if there are any.
    subpopulations : AnnotatedSubpopulations or None
        Subpopulations, if there are any.
    metrics : DataFrame or None
        A row per figure: ``metric``, ``condition``, ``is_control``, ``value``, ``chance``, ``n_clips``,
        ``other_session``, ``held_out``; ``None`` where there are none.
    metrics_settings : mapping
        Settings of the evaluation behind ``metrics``.
    """

    name: str
    form: str
    code_version: str
    created: str
    model: ModelRecord
    source: Mapping[str, str]
    context: Mapping[str, Any]
    frames: pd.DataFrame
    blocks: Mapping[str, LatentBlock]
    presentations: list[PresentationPosterior]
    attribution: AnnotatedAttribution | None
    fingerprints: AnnotatedFingerprints | None
    subpopulations: AnnotatedSubpopulations | None
    metrics: pd.DataFrame | None
    metrics_settings: Mapping[str, Any]

    def __repr__(self) -> str:
        """Which result it is and what is known; arrays are for looking at one by one."""
        known = [f"latents {name} ({block.mean.shape[1]})" for name, block in self.blocks.items()]
        if self.attribution is not None:
            methods = " and ".join(self.attribution.methods)
            known.append(f"attribution by {methods} to {len(self.attribution.cells)} cells")
        if self.fingerprints is not None:
            known.append(f"fingerprints of {len(self.fingerprints.cells)} cells")
        if self.subpopulations is not None:
            known.append(f"{len(self.subpopulations.profile)} subpopulations")
        if self.metrics is not None:
            known.append(f"{len(self.metrics)} figures")
        source = self.source.get("file_name") or "an unknown file"
        return f"Annotations ({self.name}, {self.form} of {source}, {len(self.frames)} frames: {', '.join(known)})"

    def latents_table(self, block: str = "neural_shared", *, variance: bool = False) -> pd.DataFrame:
        """Posterior mean by time: index ``time`` in seconds, columns ``latent_0``, ``latent_1``, ...

        With ``variance`` the columns ``variance_0``, ... stand beside them.

        Raises
        ------
        AnnotationError
            If there is no such block.
        """
        import pandas as pd

        posterior = self._block(block)
        table = pd.DataFrame(posterior.mean, columns=_columns("latent", posterior.mean))
        if variance:
            table = table.join(pd.DataFrame(posterior.variance, columns=_columns("variance", posterior.variance)))
        return table.set_index(pd.Index(self.frames["start_time"].to_numpy(), name="time"))

    def presentations_table(self, block: str = "neural_shared") -> pd.DataFrame:
        """Posterior mean by presentation: a row for each bin with an encoded frame.

        Columns are ``source_path`` and ``source_row`` of the presentation, ``offset_in_seconds`` of the bin from its
        onset, ``latent_0``, ``latent_1``, ...

        Raises
        ------
        AnnotationError
            If there is no such block.
        """
        import pandas as pd

        columns = _columns("latent", self._block(block).mean)
        pieces = [
            pd.DataFrame({"source_path": [], "source_row": [], "offset_in_seconds": [], **dict.fromkeys(columns)})
        ]
        for each in self.presentations:
            if each.block != block:
                continue
            row, offset = np.nonzero(~np.isnan(each.mean).all(axis=2))
            piece = pd.DataFrame(each.mean[row, offset], columns=columns)
            piece.insert(0, "offset_in_seconds", each.offsets[offset])
            piece.insert(0, "source_row", each.rows[row])
            piece.insert(0, "source_path", each.table)
            pieces.append(piece)
        return pd.concat(pieces[1:] or pieces, ignore_index=True)

    def cells_table(self) -> pd.DataFrame:
        """A row for each cell that anything is known of.

        Columns are ``source_path``, ``source_row`` and ``id`` of the cell; ``attribution_METHOD``, the mean over the
        latents of the session's figure; ``subpopulation`` and ``confidence``. What was not computed has no column.
        """
        import pandas as pd

        tables = []
        if self.attribution is not None:
            figures = {
                f"attribution_{name}": method.neurons_per_latent.mean(axis=0)
                for name, method in self.attribution.methods.items()
            }
            tables.append(self.attribution.cells.assign(**figures))
        if self.subpopulations is not None:
            found = self.subpopulations
            tables.append(found.cells.assign(subpopulation=found.subpopulation, confidence=found.confidence))
        if self.fingerprints is not None:
            tables.append(self.fingerprints.cells)
        if not tables:
            return pd.DataFrame(columns=_CELL)
        whole = pd.concat([table[_CELL] for table in tables], ignore_index=True).drop_duplicates(ignore_index=True)
        for table in tables:
            whole = whole.merge(table, how="left", on=_CELL)
        return whole

    def to_pynapple(self, block: str = "neural_shared") -> Any:
        """Posterior mean as a ``pynapple.TsdFrame``, columns ``latent_0``, ``latent_1``, ...

        Raises
        ------
        AnnotationError
            If there is no such block, or pynapple is not installed.
        """
        posterior = self._block(block)
        try:
            import pynapple
        except ImportError as problem:
            raise AnnotationError(
                f"an environment without pynapple ({problem})",
                expected="the extra nwb_mivae[pynapple]",
                remedy='install it with `pip install "nwb_mivae[pynapple]"`, or use latents_table',
            ) from problem
        return pynapple.TsdFrame(
            t=self.frames["start_time"].to_numpy(), d=posterior.mean, columns=_columns("latent", posterior.mean)
        )

    def _block(self, name: str) -> LatentBlock:
        if name not in self.blocks:
            raise AnnotationError(
                f"a block named {name!r}",
                expected=f"one of {', '.join(self.blocks) or 'none'}",
                remedy="name a block that the annotation has",
            )
        return self.blocks[name]


def _columns(what: str, values: npt.NDArray[Any]) -> list[str]:
    return [f"{what}_{number}" for number in range(values.shape[1])]
