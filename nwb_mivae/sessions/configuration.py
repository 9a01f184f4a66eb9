"""Settings of reading: which traces, which cells, which units."""

from __future__ import annotations

from pydantic import Field

from nwb_mivae.configuration import Configuration

__all__ = ["SessionsConfiguration", "UnitQuality"]


class UnitQuality(Configuration):
    """Which sorted units count as cells. Each criterion applies where the file has its column, and nowhere else.

    The defaults are the Allen Institute's own (AllenSDK, ``EcephysProjectCache.get_units``). ``None`` switches a
    criterion off.
    """

    labels: tuple[str, ...] | None = Field(("good",), description="accepted values of the column `quality`")
    maximum_isi_violations: float | None = Field(0.5, ge=0, description="largest `isi_violations`")
    maximum_amplitude_cutoff: float | None = Field(0.1, ge=0, description="largest `amplitude_cutoff`")
    minimum_presence_ratio: float | None = Field(0.95, ge=0, le=1, description="smallest `presence_ratio`")


class SessionsConfiguration(Configuration):
    """How NWB files are read as sessions."""

    conventions: str | None = Field(
        None, description="YAML file with names and layouts of your own, used before the built-in ones"
    )
    trace: str | None = Field(
        None,
        description="path of the traces inside the file, such as `processing/ophys/DfOverF/DfOverF` or `units`; "
        "empty for the best there is (dF/F, deconvolved, events, raw fluorescence, units)",
    )
    keep_invalid_cells: bool = Field(False, description="keep ROIs that the file marks as not being cells")
    unit_quality: UnitQuality = Field(UnitQuality(), description="which sorted units count as cells")
    spike_sampling_frequency: float | None = Field(
        None, gt=0, description="Hz of the clock spikes were sorted on, where the file does not say; empty for 30000"
    )
    micrometres_per_pixel: float | None = Field(
        None, gt=0, description="pixel size of the imaging planes, where the file does not say"
    )
