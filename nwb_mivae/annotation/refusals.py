"""What an annotation is refused for, checked before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwb_mivae.errors import AnnotationError

if TYPE_CHECKING:
    from nwb_mivae.attribution import SessionAttribution
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.inference.latents import SessionLatents

__all__ = ["refuse_foreign_results", "refuse_paths"]

_TIME_TOLERANCE_IN_SECONDS = 1e-6


def refuse_paths(source: Path, out: Path, *, overwrite: bool) -> None:
    """Refuse a missing source, an output that is the source, and one that exists already."""
    if not source.is_file():
        raise AnnotationError(
            "no such file", expected="the NWB file the session was prepared from", remedy="check the path", file=source
        )
    if out.exists() and out.samefile(source):
        raise AnnotationError(
            "an output that is the source itself",
            expected="another name; sources are never changed",
            remedy="choose another output path",
            file=out,
        )
    if out.exists() and not overwrite:
        raise AnnotationError(
            "a file that is already there",
            expected="a new name",
            remedy="choose another output path or allow overwriting",
            file=out,
        )


def refuse_foreign_results(
    stored: StoredSession, latents: SessionLatents, attribution: SessionAttribution | None, *, file: Path
) -> None:
    """Refuse latents or attribution of another session, or of frames and cells this session does not have."""
    results: list[tuple[str, SessionLatents | SessionAttribution]] = [("latents", latents)]
    if attribution is not None:
        results.append(("attribution", attribution))
    for what, result in results:
        _refuse_other_session(stored, what, result, file)
        _refuse_other_frames(stored, what, result, file)
    for name, block in latents.blocks.items():
        for part, values in (("mean", block.mean), ("variance", block.variance)):
            _refuse_shape(f"latents.{name}.{part}", values, (len(latents.time), block.mean.shape[-1]), file)
            if not np.all(np.isfinite(values)):
                raise AnnotationError(
                    f"{int(np.sum(~np.isfinite(values)))} values that are not finite",
                    expected="finite numbers",
                    remedy="check the training log for a loss that is not finite",
                    file=file,
                    object_path=f"latents.{name}.{part}",
                )
        if np.any(block.variance < 0):
            raise AnnotationError(
                f"{int(np.sum(block.variance < 0))} negative variances",
                expected="variances, not log-variances",
                remedy="give the posterior's variance",
                file=file,
                object_path=f"latents.{name}.variance",
            )
    if attribution is not None:
        for name, method in attribution.methods.items():
            frames, where = len(attribution.time), f"attribution.{name}"
            _refuse_shape(f"{where}.neurons", method.neurons, (frames, stored.n_cells), file)
            latents_of = method.neurons_per_latent.shape[0]
            _refuse_shape(f"{where}.neurons_per_latent", method.neurons_per_latent, (latents_of, stored.n_cells), file)
            _refuse_shape(f"{where}.pixels", method.pixels, (frames, *method.pixels.shape[1:3]), file)
            expected = (method.pixels_per_latent.shape[0], *method.pixels.shape[1:3])
            _refuse_shape(f"{where}.pixels_per_latent", method.pixels_per_latent, expected, file)


def _refuse_other_session(
    stored: StoredSession, what: str, result: SessionLatents | SessionAttribution, file: Path
) -> None:
    if result.session != stored.key:
        raise AnnotationError(
            f"{what} of session {result.session!r}",
            expected=f"session {stored.key!r}",
            remedy=f"give the {what} of the session that is annotated",
            file=file,
        )


def _refuse_other_frames(
    stored: StoredSession, what: str, result: SessionLatents | SessionAttribution, file: Path
) -> None:
    rows = np.asarray(result.row)
    for name in ("time", "stop_time", "presentation", "clip"):
        _refuse_shape(f"{what}.{name}", getattr(result, name), rows.shape, file)
    if not len(rows):
        raise AnnotationError(f"{what} of no frame at all", expected="at least one frame", file=file)
    outside = bool(rows.min() < 0 or rows.max() >= stored.n_frames)
    if outside or np.any(np.abs(stored.time[rows] - result.time) > _TIME_TOLERANCE_IN_SECONDS):
        raise AnnotationError(
            f"{what} of frames that the stored session does not have at these times",
            expected=f"rows 0 to {stored.n_frames - 1} and their onsets",
            remedy=f"compute the {what} again from the present store",
            file=file,
            object_path=f"{what}.row",
        )
    if np.any(np.diff(result.time) <= 0):
        raise AnnotationError(
            f"{what} whose times do not increase", expected="frames in order, each once", file=file,
            object_path=f"{what}.time",
        )  # fmt: skip


def _refuse_shape(where: str, values: Any, expected: tuple[int, ...], file: Path) -> None:
    if np.shape(values) != expected:
        raise AnnotationError(
            f"shape {np.shape(values)}",
            expected=f"shape {expected}",
            remedy="compute the results again from the present store",
            file=file,
            object_path=where,
        )
