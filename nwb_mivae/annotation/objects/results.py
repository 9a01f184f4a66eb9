"""All results of a session added to a file in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nwb_mivae.annotation.backends import Backend
from nwb_mivae.annotation.file_part import FilePart
from nwb_mivae.annotation.objects.attribution import attribution_series
from nwb_mivae.annotation.objects.fingerprints import functional_fingerprints
from nwb_mivae.annotation.objects.latents import encoded_frames, latent_series
from nwb_mivae.annotation.objects.metrics import alignment_metrics
from nwb_mivae.annotation.objects.origin import annotation_of
from nwb_mivae.annotation.objects.presentations import presentation_latents
from nwb_mivae.annotation.objects.subpopulations import subpopulations_of_cells
from nwb_mivae.annotation.objects.tables import cell_tables
from nwb_mivae.annotation.results import Form, Results
from nwb_mivae.provenance import package_version
from nwb_mivae.sessions.nwb import text_values

__all__ = ["add_results"]


def add_results(
    nwbfile: Any,
    objects: Mapping[str, Any],
    results: Results,
    *,
    part: FilePart,
    name: str,
    form: Form = "copy",
    backend: Backend,
    location: str,
) -> None:
    """Add results to a file in memory: the open source, or the companion that is made for it.

    Parameters
    ----------
    nwbfile : pynwb.NWBFile
        Receives the processing module and the lab metadata ``name``.
    objects : mapping of str to container or None
        What stands in ``nwbfile`` for each object of the source, by its path in the *source*; ``None`` for a stimulus
        that stays behind, which is then not referred to.
    results : Results
        What is written: of each cell what belongs to the cells in this file.
    part : FilePart
        What of the session lies in the source.
    name : str
        Name of this result in the file.
    form : {"copy", "append", "companion"}
        What the file is to its source, as the annotation says it.
    backend : Backend
        The format the file is going to be written in.
    location : str
        The source, as errors name it.

    Raises
    ------
    AnnotationError
        If a table the results refer to is not there, or has no such row.
    """
    stored, latents = results.stored, results.latents
    annotation = annotation_of(stored, results.model, latents.context, part=part, name=name, form=form)
    nwbfile.add_lab_meta_data(annotation)
    model = annotation.model
    module = nwbfile.create_processing_module(
        name=name,
        description="Latents of a multi-modal identifiable VAE (miVAE) shared by neural activity and visual stimulus, "
        f"and what they tell of cells and pixels, computed by nwb_mivae {package_version()}.",
    )
    series = list(latent_series(latents, model, backend))
    for item in (*series, encoded_frames(latents, backend)):
        module.add(item)
    for item in presentation_latents(stored, latents, model, objects, part=part, file=location, backend=backend):
        module.add(item)
    of_cells = (results.attribution, results.fingerprints, results.subpopulations)
    tables = cell_tables(stored, part, objects, location) if any(each is not None for each in of_cells) else []
    if results.attribution is not None:
        frames = np.union1d(latents.row, results.attribution.row)
        clock = series[0] if np.array_equal(frames, latents.row) else np.asarray(stored.time[frames], np.float64)
        for item in attribution_series(
            stored, results.attribution, model, objects, tables=tables, frames=frames, clock=clock, backend=backend
        ):
            module.add(item)
    if results.fingerprints is not None:
        for item in functional_fingerprints(results.fingerprints, model, tables=tables, backend=backend):
            module.add(item)
    if results.subpopulations is not None:
        for item in subpopulations_of_cells(results.subpopulations, model, module.data_interfaces, tables=tables):
            module.add(item)
    if results.evaluation is not None:
        metrics = alignment_metrics(results.evaluation, stored.key, model)
        if metrics is not None:
            module.add(metrics)
    _add_generator(nwbfile)


def _add_generator(nwbfile: Any) -> None:
    before = [] if nwbfile.was_generated_by is None else [list(text_values(pair)) for pair in nwbfile.was_generated_by]
    program = ["nwb_mivae", package_version()]
    nwbfile.fields["was_generated_by"] = before if program in before else [*before, program]
    nwbfile.set_modified()
