"""Settings of reading: which traces, which cells, which units."""

from __future__ import annotations

from pydantic import Field

from nwb_mivae.configuration import Configuration
from nwb_mivae.sessions.screen import Screen

__all__ = ["BaselineConfiguration", "SessionsConfiguration", "UnitQuality"]


class UnitQuality(Configuration):
    """Which sorted units count as cells. Each criterion applies where the file has its column, and nowhere else.

    The defaults are the Allen Institute's own (AllenSDK, ``EcephysProjectCache.get_units``). ``None`` switches a
    criterion off. What other software calls the columns is in ``unit_criteria`` of the conventions.
    """

    labels: tuple[str, ...] | None = Field(("good",), description="accepted values of the column `quality`")
    maximum_isi_violations: float | None = Field(0.5, ge=0, description="largest `isi_violations`")
    maximum_amplitude_cutoff: float | None = Field(0.1, ge=0, description="largest `amplitude_cutoff`")
    minimum_presence_ratio: float | None = Field(0.95, ge=0, le=1, description="smallest `presence_ratio`")
    minimum_signal_to_noise: float | None = Field(None, ge=0, description="smallest `snr`")


class BaselineConfiguration(Configuration):
    """How dF/F is computed where a file has raw fluorescence only (:mod:`nwb_mivae.sessions.fluorescence`).

    The defaults are suite2p's (Pachitariu et al. 2017, bioRxiv 061507: ``win_baseline``, ``prctile_baseline``,
    ``neucoeff``); the percentile is that of Dombeck et al. 2007 (Neuron 56:43) and the share of neuropil that of
    Chen et al. 2013 (Nature 499:295).
    """

    window: float = Field(60.0, gt=0, description="seconds over which the baseline F0 is a running percentile")
    percentile: float = Field(8.0, ge=0, le=50, description="that percentile")
    neuropil_factor: float = Field(
        0.7, ge=0, le=1.5, description="share of the neuropil taken off, where the file has it; 0 for none"
    )


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
    compute_dff: bool | None = Field(
        None,
        description="compute dF/F from raw fluorescence; empty for: where raw fluorescence is all there is and `trace` "
        "does not name it",
    )
    baseline: BaselineConfiguration = Field(BaselineConfiguration(), description="how dF/F is computed")
    spike_sampling_frequency: float | None = Field(
        None, gt=0, description="Hz of the clock spikes were sorted on, where the file does not say; empty for 30000"
    )
    micrometres_per_pixel: float | None = Field(
        None, gt=0, description="pixel size of the imaging planes, whatever the file says; empty for what it says"
    )
    grey_pause: float | None = Field(
        1.5,
        gt=0,
        description="seconds up to which a pause between two standing images or gratings of one table and block counts "
        "as a grey screen; empty to leave such pauses unknown",
    )
    join_planes: bool = Field(
        True, description="read files that hold one imaging plane each of the same session as one session"
    )
    screen: Screen | None = Field(
        None, description="screen that gratings, patches and flashes are drawn for; empty for that of the file's layout"
    )
