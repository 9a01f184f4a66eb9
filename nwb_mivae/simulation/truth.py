"""The truth behind a simulated session: what no recording could tell, in a file beside the NWB file."""

from __future__ import annotations

from os import PathLike

import numpy as np

from nwb_mivae.outputs import whole_file
from nwb_mivae.simulation.animal import Animal
from nwb_mivae.simulation.behaviour import FACTORS
from nwb_mivae.simulation.configuration import SimulationConfiguration
from nwb_mivae.simulation.receptive_fields import CELL_TYPES

__all__ = ["TRUTH_KEYS", "write_truth"]

#: Arrays of a truth file and what they hold. N cells in the order of the file's ROIs, F display refreshes (movie frames
#: and grey alike), M movies, H rows and W columns of a frame.
TRUTH_KEYS: dict[str, str] = {
    "configuration": "() str: the simulation's configuration as YAML",
    "subject": "() str: subject id",
    "cell_type": "(N,) str: simple, complex, luminance or not_visual",
    "subpopulation": "(N,) str: transient, sustained, luminance or not_visual; empty where subpopulations are graded",
    "coordinates": "(N, 3) float64: soma, micrometres from the centre of the field of view, z below the pia",
    "receptive_field_centre": "(N, 2) float64: column and row in pixels of a frame, NaN where not visual",
    "receptive_field_size": "(N, 2) float64: standard deviations across and along the stripes, pixels",
    "orientation": "(N,) float64: direction in which luminance varies, radians from the rows, NaN without stripes",
    "spatial_frequency": "(N,) float64: cycles per pixel, NaN without stripes",
    "phase": "(N,) float64: radians, NaN without stripes",
    "polarity": "(N,) float64: +1 ON, -1 OFF, NaN where not a luminance cell",
    "latency": "(N,) float64: seconds to the peak of the temporal kernel",
    "transience": "(N,) float64: weight of the kernel's negative second phase, 0 sustained",
    "retinotopy": "(2, 3) float64: affine map from (x, y, 1) to receptive field centre, before scatter",
    "pixel_mask": "(N, H, W) float16: receptive field envelope, 1 at its centre; 0 everywhere where not visual",
    "driving_pixels": "(H, W) bool: pixels that cells look at; what is shown elsewhere drives no cell",
    "driver_names": "(4,) str: stimulus, then the private factors",
    "drivers": "(N, 4) bool: what drives or modulates the cell",
    "mean_rate": "(N,) float64: mean firing rate without gain, Hz",
    "loadings": "(N, 3) float64: change of log firing rate per unit of each private factor",
    "factor_names": "(3,) str: running, arousal, network",
    "factors": "(F, 3) float64: private factors; running in units of 10 cm/s, the others standardised",
    "frame_time": "(F,) float64: seconds at which the refresh appeared",
    "frame_stop_time": "(F,) float64: seconds at which the next refresh appeared",
    "frame_movie": "(F,) int64: position in movie_names of what was on the screen, -1 grey",
    "frame_number": "(F,) int64: frame of that movie, -1 grey",
    "frame_dropped": "(F,) bool: the refresh failed, and the picture before it stayed",
    "presentation": "(F,) int64: row of the presentation table that begins here, -1 for grey and dropped refreshes",
    "movie_names": "(M,) str: names in stimulus_template",
    "drive": "(F, N) float16: what the stimulus alone does, mean 1 over the session; 0 where not visual",
    "rates": "(F, N) float32: firing rates, Hz",
    "spike_times": "(spikes,) float64: seconds, sorted within each cell, the cells one after the other",
    "spike_ends": "(N,) int64: where each cell's spikes end in spike_times",
}


def write_truth(path: str | PathLike[str], animal: Animal, configuration: SimulationConfiguration) -> None:
    """Write the arrays of :data:`TRUTH_KEYS`, whole or not at all; ``numpy.load`` reads them without pickle."""
    population, display = animal.population, animal.display
    arrays = {
        "configuration": np.array(configuration.to_yaml()),
        "subject": np.array(animal.subject),
        "cell_type": np.array(CELL_TYPES)[population.cell_type],
        "subpopulation": population.subpopulation,
        "coordinates": population.coordinates,
        "receptive_field_centre": population.centre,
        "receptive_field_size": population.size,
        "orientation": population.orientation,
        "spatial_frequency": population.spatial_frequency,
        "phase": population.phase,
        "polarity": population.polarity,
        "latency": population.latency,
        "transience": population.transience,
        "retinotopy": population.retinotopy,
        "pixel_mask": population.envelopes(configuration.height, configuration.width).astype(np.float16),
        "driving_pixels": population.driving_pixels(configuration.height, configuration.width),
        "driver_names": np.array(["stimulus", *FACTORS]),
        "drivers": np.column_stack([population.visual, animal.tuning.loadings != 0.0]),
        "mean_rate": animal.tuning.mean_rate,
        "loadings": animal.tuning.loadings,
        "factor_names": np.array(FACTORS),
        "factors": animal.factors,
        "frame_time": display.time[:-1],
        "frame_stop_time": display.time[1:],
        "frame_movie": display.movie,
        "frame_number": display.frame,
        "frame_dropped": display.dropped,
        "presentation": display.presentation,
        "movie_names": np.array(list(animal.movies)),
        "drive": animal.drive.astype(np.float16),
        "rates": animal.rates,
        "spike_times": animal.spike_times,
        "spike_ends": animal.spike_ends,
    }
    with whole_file(path) as beside, open(beside, "wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
