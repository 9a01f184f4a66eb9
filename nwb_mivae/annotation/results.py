"""Everything that is written into one file: the results of a session, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Literal

from nwb_mivae.errors import AnnotationError

if TYPE_CHECKING:
    from nwb_mivae.annotation.record import ModelRecord
    from nwb_mivae.attribution import SessionAttribution, SessionSubpopulations
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.evaluation import Evaluation
    from nwb_mivae.inference import SessionFingerprints, SessionLatents

__all__ = ["FORMS", "Form", "Results", "refuse_other_weights"]

#: What an annotated file is to its source.
Form = Literal["copy", "append", "companion"]
FORMS: tuple[Form, ...] = ("copy", "append", "companion")


@dataclass(frozen=True)
class Results:
    """Results of one session.

    Attributes
    ----------
    stored : StoredSession
        The session in the clip store: tells which rows of the source the cells and presentations are.
    model : ModelRecord
        The model behind the results.
    latents : SessionLatents
        Posteriors at every encoded frame.
    attribution : SessionAttribution, optional
        Latents traced back to cells and pixels.
    fingerprints : SessionFingerprints, optional
        What the model knew of each cell.
    subpopulations : SessionSubpopulations, optional
        Cells grouped by the time course of their attribution.
    evaluation : Evaluation, optional
        Figures with their controls; those of this session are written.
    """

    stored: StoredSession
    model: ModelRecord
    latents: SessionLatents
    attribution: SessionAttribution | None = None
    fingerprints: SessionFingerprints | None = None
    subpopulations: SessionSubpopulations | None = None
    evaluation: Evaluation | None = None


def refuse_other_weights(results: Results, *, file: str | PathLike[str]) -> None:
    """Refuse results that say they were computed with other weights than the model's.

    Results that say nothing (of before they did) pass.

    Raises
    ------
    AnnotationError
        Naming the first such result.
    """
    for name in ("latents", "attribution", "fingerprints", "subpopulations", "evaluation"):
        digest = getattr(getattr(results, name), "weights_sha256", "")
        if digest and digest != results.model.weights_sha256:
            raise AnnotationError(
                f"{name} of the weights {digest}",
                expected=f"results of the model's weights {results.model.weights_sha256}",
                remedy=f"compute the {name} again with this model, or name the model they were computed with",
                file=file,
                object_path=f"{name}.weights_sha256",
            )
