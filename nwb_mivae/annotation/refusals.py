"""What an annotation is refused for, checked before anything is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nwb_mivae.annotation.names import annotations_in
from nwb_mivae.annotation.results import Results, refuse_other_weights
from nwb_mivae.annotation.schema import KNOWN_SCHEMA, cached_versions, newest
from nwb_mivae.errors import AnnotationError
from nwb_mivae.outputs import refuse_long_name

if TYPE_CHECKING:
    from nwb_mivae.attribution import SessionAttribution
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.inference.latents import SessionLatents

__all__ = ["refuse_foreign_results", "refuse_newer_schema", "refuse_output", "refuse_same_weights", "refuse_taken_name"]

_TIME_TOLERANCE_IN_SECONDS = 1e-6


def refuse_output(source: Path | None, out: Path, *, overwrite: bool) -> None:
    """Refuse an output that is the source, one that exists already, and one whose name is too long.

    ``source`` is ``None`` on a server.
    """
    refuse_long_name(out)
    if source is not None and out.exists() and out.samefile(source):
        raise AnnotationError(
            "an output that is the source itself",
            expected="another name; sources are never changed but by form='append'",
            remedy="choose another output path",
            file=out,
        )
    if os.path.lexists(out) and not overwrite:  # a link to nothing too has the name
        raise AnnotationError(
            "a file that is already there",
            expected="a new name",
            remedy="choose another output path or allow overwriting",
            file=out,
        )


def refuse_newer_schema(source: Path) -> None:
    """Refuse to write anew a local file with results of a later version of the extension than is known here.

    What this version does not know of them would be left out or written as something else, without a word.
    """
    version = newest(cached_versions(source))
    if version is not None:
        raise AnnotationError(
            f"results in version {version} of the ndx-mivae schema, which would be lost in part",
            expected=f"at most version {KNOWN_SCHEMA}, which this version of nwb_mivae knows",
            remedy="update nwb_mivae and ndx-mivae, or write a companion (form='companion')",
            file=source,
            object_path="specifications/ndx-mivae",
        )


def refuse_taken_name(nwbfile: Any, name: str, *, file: str) -> None:
    """Refuse a name that a module or lab metadata of the file has."""
    for place, names in (("processing", nwbfile.processing), ("general", nwbfile.lab_meta_data)):
        if name in names:
            raise AnnotationError(
                f"an object named {name!r}: results are never overwritten",
                expected="a name that no processing module and no lab metadata has",
                remedy="choose another name, or none to take the next that is free",
                file=file,
                object_path=f"{place}/{name}",
            )


def refuse_same_weights(nwbfile: Any, digest: str, *, file: str) -> None:
    """Refuse results of weights that the file has results of."""
    for name, annotation in annotations_in(nwbfile).items():
        if str(annotation.model.weights_sha256) == digest:
            raise AnnotationError(
                f"results of the same weights ({digest[:12]}...) named {name!r}: the file is annotated already",
                expected="a file without results of these weights",
                remedy="use the results that are there, or give these a name of their own to have both",
                file=file,
                object_path=f"general/{name}/model",
            )


def refuse_foreign_results(results: Results, *, file: str) -> None:
    """Refuse results of another session or of other weights, or of frames and cells this session does not have."""
    stored, latents, attribution = results.stored, results.latents, results.attribution
    for what in ("latents", "attribution", "fingerprints", "subpopulations"):
        result = getattr(results, what)
        if result is not None:
            _refuse_other_session(stored, what, result.session, file)
    refuse_other_weights(results, file=file)
    _refuse_other_frames(stored, "latents", latents, file)
    if attribution is not None:
        _refuse_other_frames(stored, "attribution", attribution, file)
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
            # An attribution to pixels alone has no cells, one to neurons alone no pixels.
            n_cells = stored.n_cells if method.neurons.size else 0
            _refuse_shape(f"{where}.neurons", method.neurons, (frames, n_cells), file)
            latents_of = method.neurons_per_latent.shape[0]
            _refuse_shape(f"{where}.neurons_per_latent", method.neurons_per_latent, (latents_of, n_cells), file)
            _refuse_shape(f"{where}.pixels", method.pixels, (frames, *method.pixels.shape[1:3]), file)
            expected = (method.pixels_per_latent.shape[0], *method.pixels.shape[1:3])
            _refuse_shape(f"{where}.pixels_per_latent", method.pixels_per_latent, expected, file)
    _refuse_groups_and_fingerprints(results, file)


def _refuse_groups_and_fingerprints(results: Results, file: str) -> None:
    n_cells, fingerprints, groups = results.stored.n_cells, results.fingerprints, results.subpopulations
    if fingerprints is not None:
        lags, values = len(fingerprints.lags_in_seconds), fingerprints.fingerprints
        _refuse_shape("fingerprints.fingerprints", values, (n_cells, lags, *np.shape(values)[2:3]), file)
    if groups is not None:
        _refuse_shape("subpopulations.subpopulation", groups.subpopulation, (n_cells,), file)
        _refuse_shape("subpopulations.confidence", groups.confidence, (n_cells,), file)
        _refuse_shape(
            "subpopulations.profile", groups.profile, (*np.shape(groups.profile)[:1], len(groups.profile_time)), file
        )
        if len(groups.subpopulation) and not -1 <= groups.subpopulation.min() <= groups.subpopulation.max() < len(
            groups.profile
        ):
            raise AnnotationError(
                f"subpopulations {groups.subpopulation.min()} to {groups.subpopulation.max()}",
                expected=f"-1 (none) to {len(groups.profile) - 1}, the rows of the profile",
                remedy="compute the subpopulations again",
                file=file,
                object_path="subpopulations.subpopulation",
            )


def _refuse_other_session(stored: StoredSession, what: str, session: str, file: str) -> None:
    if session != stored.key:
        raise AnnotationError(
            f"{what} of session {session!r}",
            expected=f"session {stored.key!r}",
            remedy=f"give the {what} of the session that is annotated",
            file=file,
        )


def _refuse_other_frames(
    stored: StoredSession, what: str, result: SessionLatents | SessionAttribution, file: str
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


def _refuse_shape(where: str, values: Any, expected: tuple[int, ...], file: str) -> None:
    if np.shape(values) != expected:
        raise AnnotationError(
            f"shape {np.shape(values)}",
            expected=f"shape {expected}",
            remedy="compute the results again from the present store",
            file=file,
            object_path=where,
        )
