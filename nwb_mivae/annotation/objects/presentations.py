"""Latents by presentation: one object per block and presentation table of the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ndx_mivae
from hdmf.common import DynamicTable, DynamicTableRegion

from nwb_mivae.annotation.backends import Backend
from nwb_mivae.annotation.file_part import FilePart
from nwb_mivae.annotation.objects.arrays import compressed
from nwb_mivae.annotation.objects.tables import distinct_names, refuse_rows, table_at
from nwb_mivae.annotation.per_presentation import presentation_bins

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.inference.latents import SessionLatents

__all__ = ["presentation_latents"]


def presentation_latents(
    stored: StoredSession,
    latents: SessionLatents,
    model: Any,
    objects: Mapping[str, Any],
    *,
    part: FilePart,
    file: str,
    backend: Backend,
) -> Iterator[Any]:
    """``PresentationLatents`` for every presentation table that the file has.

    Presentations the source keeps as a series (IndexSeries, ImageSeries) have no rows to refer to, and stay behind in a
    companion; the ``LatentSeries`` has their latents all the same.
    """
    sorted_frames = list(presentation_bins(stored, latents))
    names = distinct_names(dict.fromkeys(bins.table for bins in sorted_frames))
    for bins in sorted_frames:
        if bins.table in part.told_elsewhere:
            continue
        table = table_at(objects, bins.table, file)
        if not isinstance(table, DynamicTable):
            continue
        refuse_rows(bins.rows, table, bins.table, file)
        for name, block in latents.blocks.items():
            mean, variance = bins.spread(block)
            yield ndx_mivae.PresentationLatents(
                name=f"presentation_latents_{name}_{names[bins.table]}{bins.suffix}",
                description=f"Posterior of the {name.replace('_', ' ')} latents for each row of {bins.table} that has "
                "encoded frames, one bin per stimulus frame of the presentation.",
                presentations=DynamicTableRegion(
                    name="presentations", description=f"Rows of {bins.table}.", data=bins.rows, table=table
                ),
                mean=compressed(mean, backend),
                variance=compressed(variance, backend),
                bin_offsets_in_seconds=bins.offsets,
                space=name,
                model=model,
            )
