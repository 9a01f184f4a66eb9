"""An annotated copy of a source file: all that was in it, and the results, each tied to the source's own rows."""

from __future__ import annotations

import os
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwb_mivae.annotation.backends import HDF5Backend
from nwb_mivae.annotation.file_part import part_of_session
from nwb_mivae.annotation.names import MODULE
from nwb_mivae.annotation.record import ModelRecord
from nwb_mivae.annotation.refusals import refuse_foreign_results, refuse_paths
from nwb_mivae.annotation.results import Results
from nwb_mivae.errors import AnnotationError, NwbMivaeError
from nwb_mivae.outputs import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nwb_mivae.attribution import SessionAttribution
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.inference.latents import SessionLatents
    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["annotate"]


def annotate(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    latents: SessionLatents,
    attribution: SessionAttribution | None = None,
    stored: StoredSession,
    model: ModelRecord,
    overwrite: bool = False,
) -> Path:
    """Write a copy of ``source`` with latents and attribution added.

    The copy is an export of the whole source: a new ``object_id`` for the file, the same ``identifier`` and, inside,
    the same objects with their own ids; HDF5 objects that no NWB schema describes are unknown to pynwb and stay behind,
    data kept in other HDF5 files comes along. Results go to the processing module and the lab metadata ``mivae``:

    * ``latents_BLOCK`` (``LatentSeries``): posterior mean and variance (frames, latents), at frame onsets in seconds;
    * ``encoded_frames`` (``TimeIntervals``): start, stop, clip and split of these frames;
    * ``presentation_latents_BLOCK_TABLE`` (``PresentationLatents``): the same by row of the source's presentation
      table, where it has one;
    * ``attribution_METHOD_cells`` (``RoiAttributionSeries`` or ``UnitAttributionSeries``) and
      ``attribution_METHOD_stimulus`` (``StimulusAttributionSeries``), if ``attribution`` is given;
    * the model, its training sessions, the source's digest and the context shown (``MIVAEAnnotation``).

    Of a session whose planes lie in several files each is annotated by a call of its own. Latents are the session's and
    the same in every copy; attribution is that of the cells in this file; ``PresentationLatents`` are written where
    this file has the presentation table that the session's presentations came from, with the same start times.

    The source is only read. The output is written beside its place and renamed, so it is there whole or not at all.

    Parameters
    ----------
    source : path-like
        A local NWB file that ``stored`` was prepared from.
    out : path-like
        The file to write; :func:`annotated_name` proposes a name.
    latents : SessionLatents
        Latents of this session.
    attribution : SessionAttribution, optional
        Attribution of this session.
    stored : StoredSession
        The session in the clip store; tells which rows of the source the cells and presentations are.
    model : ModelRecord
        Where the results came from.
    overwrite : bool
        Replace ``out`` if it exists.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    AnnotationError
        If the source changed since it was prepared, is annotated already or cannot be exported; if results and session
        do not belong together; if a row is out of range; if ``out`` is the source or exists.
    SessionError
        If the source cannot be read.
    OutputError
        If the folder of ``out`` cannot be written.
    """
    source, out = Path(source), Path(out)
    refuse_paths(source, out, overwrite=overwrite)
    refuse_foreign_results(stored, latents, attribution, file=source)
    part = part_of_session(source, stored)

    # Before the source is opened: what pynwb does not know by then it writes as the type it extends, without a word.
    from nwb_mivae.annotation.objects import add_results
    from nwb_mivae.sessions.nwb import open_nwb

    opened = open_nwb(source)
    try:
        _refuse_annotated(opened)
        with _refusing(opened, "a file that results cannot be added to"):
            objects = {opened.path_of(item): item for item in opened.nwbfile.objects.values()}
            add_results(
                opened.nwbfile,
                objects,
                Results(stored, model, latents, attribution),
                part=part,
                name=MODULE,
                backend=HDF5Backend(),
                location=opened.location,
            )
            _keep_external_files(opened, source, out)
            _decode_texts(opened)
            _load_masks(opened)
        with whole_file(out, overwrite=overwrite) as beside:
            _export(opened, source, beside)
    finally:
        opened.close()
    return out


def _refuse_annotated(opened: OpenedFile) -> None:
    nwbfile = opened.nwbfile
    for place, names in (("processing", nwbfile.processing), ("general", nwbfile.lab_meta_data)):
        if MODULE in names:
            raise AnnotationError(
                f"an object named {MODULE!r}: the file is annotated already",
                expected="a source without results",
                remedy="annotate the original source, which its lab metadata names",
                file=opened.location,
                object_path=f"{place}/{MODULE}",
            )


def _keep_external_files(opened: OpenedFile, source: Path, out: Path) -> None:
    """Let movies named relative to the source be found from the copy's folder; those that are absent stay as named.

    They also stay as named where the way from folder to folder leads out of the user's home or over the root of the
    disk: such a name tells of that disk as an absolute path does, and the copy is made to be shared.
    """
    from pynwb.image import ImageSeries

    here, there = source.resolve().parent, out.resolve().parent
    if here == there or _common_folder(here, there) in Path.home().resolve().parents:
        return
    for series in opened.of_type(ImageSeries):
        if series.external_file is None:
            continue
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in series.external_file[:]]
        moved = [
            os.path.relpath(here / name, there) if _is_relative_and_present(here, name) else name for name in names
        ]
        if moved != names:
            series.fields["external_file"] = moved
            series.set_modified()


def _common_folder(here: Path, there: Path) -> Path:
    try:
        return Path(os.path.commonpath([here, there]))
    except ValueError:  # two drives of Windows have nothing in common
        return Path(here.anchor)


def _is_relative_and_present(folder: Path, name: str) -> bool:
    return "://" not in name and not Path(name).is_absolute() and (folder / name).exists()


def _decode_texts(opened: OpenedFile) -> None:
    """Decode the file's own lists of texts where pynwb reads bytes, as MatNWB writes them.

    Written anew they would otherwise become texts that begin with ``b'``.
    """
    from nwb_mivae.sessions.nwb import text_values

    # Only what is modified is written anew; the file itself is, everything else is copied byte by byte.
    fields = opened.nwbfile.fields
    for name, values in fields.items():
        if isinstance(values, list | tuple) and any(isinstance(value, bytes) for value in values):
            fields[name] = tuple(text_values(values))


def _load_masks(opened: OpenedFile) -> None:
    """Read pixel and voxel masks at once; hdmf would copy them value by value, minutes for thousands of ROIs.

    They are written in the source's chunks and compression.
    """
    from hdmf.backends.hdf5.h5_utils import ContainerH5TableDataset

    for column in opened.nwbfile.objects.values():
        values = getattr(column, "data", None)
        # Compound values with references or text inside are hdmf's to resolve.
        if isinstance(values, ContainerH5TableDataset) and not any(values.types):
            column.transform(_as_stored)
            column.set_modified()


def _as_stored(table: Any) -> Any:
    from hdmf.backends.hdf5 import H5DataIO

    stored = table.dataset
    if stored.chunks is None:
        return stored[:]
    return H5DataIO(
        stored[:],
        chunks=stored.chunks,
        maxshape=stored.maxshape,
        compression=stored.compression,
        compression_opts=stored.compression_opts,
        shuffle=stored.shuffle,
    )


def _links_to_other_files(source: Path) -> bool:
    import h5py

    def is_external(_: str, link: object) -> bool | None:
        return isinstance(link, h5py.ExternalLink) or None

    with h5py.File(source, "r") as file:
        return bool(file.visititems_links(is_external))


def _export(opened: OpenedFile, source: Path, beside: Path) -> None:
    from pynwb import NWBHDF5IO

    # Only the file is a new object. Its parts keep their ids: they are the same ROIs, presentations and traces.
    opened.nwbfile.generate_new_id(recurse=False)
    with _refusing(opened, "a file that pynwb cannot export"), NWBHDF5IO(str(beside), mode="w") as writing:
        # Data that the source keeps in another file is copied: a link to it is a path, and breaks at a move.
        # Everywhere else links stay, because without them pynwb builds every object anew.
        writing.export(
            src_io=opened.io,
            nwbfile=opened.nwbfile,
            write_args={"link_data": not _links_to_other_files(source)},
        )


@contextmanager
def _refusing(opened: OpenedFile, found: str) -> Iterator[None]:
    """Say of an error of pynwb's which file it is about, so that the other sessions go on."""
    try:
        yield
    except NwbMivaeError:
        raise
    except Exception as problem:  # pynwb and hdmf raise every builtin there is for what they cannot write
        raise AnnotationError(
            f"{found} ({type(problem).__name__}: {' '.join(str(problem).split())[:300]})",
            expected="a source that can be copied object by object",
            remedy="check it with `python -m pynwb.validate`",
            file=opened.location,
        ) from problem
