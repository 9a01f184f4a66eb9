"""A simulated session as an NWB file, laid out as the Allen Institute's two-photon dandisets are (000711, 000728)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.outputs import whole_file
from nwb_mivae.provenance import package_version
from nwb_mivae.simulation.animal import Animal
from nwb_mivae.simulation.configuration import SimulationConfiguration
from nwb_mivae.simulation.receptive_fields import FIELD_OF_VIEW, PIXEL_SIZE
from nwb_mivae.simulation.schedule import FLASHED_PATCHES, FLASHED_PHOTOGRAPHS, NATURAL_MOVIE

__all__ = ["session_id_of", "write_nwb"]

#: Invented and fixed, so that equal simulations make equal files; one animal a day.
_FIRST_SESSION = datetime(2025, 1, 1, 9, 0, tzinfo=UTC)
_SOMA_RADIUS = 6.0
_TRACE_CHUNK = 256

#: What each kind of movie is, for its description.
_KINDS = {
    NATURAL_MOVIE: "Natural movie: pans, zooms and cuts over photographs",
    FLASHED_PHOTOGRAPHS: "Flashed photographs: a still view, grey, the next view, grey",
    FLASHED_PATCHES: "Flashed patches: smooth patches of light and dark, grey, the next patches, grey",
}
_WATCHED = {
    NATURAL_MOVIE: "natural movies",
    FLASHED_PHOTOGRAPHS: "flashed pictures",
    FLASHED_PATCHES: "flashed pictures",
}
#: Settings that came after sessions had identifiers: left alone, they are no part of them.
_LATER_SETTINGS = ("subpopulations", "driving_region", "flashed_fraction", "flash_seconds")


def session_id_of(number: int) -> str:
    """Session id of animal ``number``: the (invented) date of its session."""
    return f"{_FIRST_SESSION + timedelta(days=number):%Y%m%d}"


def write_nwb(path: str | PathLike[str], animal: Animal, configuration: SimulationConfiguration) -> None:
    """Write the session, whole or not at all. The truth is not in it."""
    from pynwb import NWBHDF5IO

    nwbfile = _empty_file(animal, configuration)
    _add_traces(nwbfile, animal)
    _add_stimulus(nwbfile, animal)
    _add_behaviour(nwbfile, animal)
    with whole_file(path) as beside, NWBHDF5IO(beside, "w") as io:
        io.write(nwbfile)


def _empty_file(animal: Animal, configuration: SimulationConfiguration) -> Any:
    from pynwb import NWBFile
    from pynwb.file import Subject

    # Animals of a larger set are those of the smaller one, so their number is no part of a session's identity.
    left_alone = {
        name
        for name in _LATER_SETTINGS
        if getattr(configuration, name) == SimulationConfiguration.model_fields[name].default
    }
    settings = configuration.model_dump_json(exclude={"animals", *left_alone})
    watched = " and ".join(sorted({_WATCHED[kind] for kind in animal.kinds}, reverse=True))
    return NWBFile(
        session_description=(
            "Simulated animal, not a recording: Poisson cells with Gabor-energy receptive fields and a GCaMP6f model "
            f"looking at {watched}, made by nwb_mivae to test methods against known truth."
        ),
        identifier=str(uuid.uuid5(uuid.NAMESPACE_OID, f"nwb_mivae.simulation {settings} {animal.subject}")),
        session_start_time=_FIRST_SESSION + timedelta(days=animal.number),
        session_id=session_id_of(animal.number),
        experiment_description=f"Simulation with seed {configuration.seed}; all dates and identifiers are invented.",
        experimenter=["Simulation, nwb_mivae"],
        institution="none (simulation)",
        lab="none (simulation)",
        keywords=["simulation", "primary visual cortex", "natural movies", "two-photon calcium imaging"],
        was_generated_by=[["nwb-mivae", package_version()]],
        subject=Subject(
            subject_id=animal.subject,
            species="Mus musculus",
            sex="F" if animal.number % 2 else "M",
            age="P90D",
            description="Simulated; not a living animal.",
        ),
    )


def _add_traces(nwbfile: Any, animal: Animal) -> None:
    from hdmf.backends.hdf5 import H5DataIO
    from pynwb.ophys import DfOverF, ImageSegmentation, OpticalChannel, RoiResponseSeries

    recording, population = animal.recording, animal.population
    device = nwbfile.create_device(name="microscope", description="Simulated two-photon mesoscope")
    channel = OpticalChannel(name="green", description="Emission of the simulated indicator", emission_lambda=510.0)
    metre = 1e-6
    corner = -np.array(FIELD_OF_VIEW) * PIXEL_SIZE / 2.0
    depth = float(population.coordinates[0, 2])
    plane = nwbfile.create_imaging_plane(
        name="imaging_plane",
        optical_channel=channel,
        description=f"Simulated field of view, {depth:g} micrometres below the pia",
        device=device,
        excitation_lambda=910.0,
        imaging_rate=recording.imaging_rate,
        indicator="GCaMP6f",
        location="VISp",
        grid_spacing=[PIXEL_SIZE * metre, PIXEL_SIZE * metre],
        grid_spacing_unit="meters",
        origin_coords=[float(corner[0]) * metre, float(corner[1]) * metre, depth * metre],
        origin_coords_unit="meters",
        reference_frame=(
            "x and y from the centre of the field of view along the columns and rows of the image, "
            "z downwards from the pia"
        ),
    )
    module = nwbfile.create_processing_module(name="ophys", description="Simulated two-photon imaging")
    segmentation = ImageSegmentation(name="ImageSegmentation")
    module.add(segmentation)
    rois = segmentation.create_plane_segmentation(
        name="PlaneSegmentation", description="Somata of the simulated cells", imaging_plane=plane
    )
    for number, pixels in enumerate(_soma_pixels(population.coordinates)):
        rois.add_roi(id=1000 * (animal.number + 1) + number, pixel_mask=pixels)

    container = DfOverF(name="DfOverF")
    module.add(container)
    container.add_roi_response_series(
        RoiResponseSeries(
            name="DfOverF",
            description="dF/F of each cell, one column per row of PlaneSegmentation",
            data=H5DataIO(
                recording.dff,
                compression="gzip",
                compression_opts=4,
                shuffle=True,
                chunks=(min(_TRACE_CHUNK, len(recording.dff)), recording.dff.shape[1]),
            ),
            unit="n.a.",
            rois=rois.create_roi_table_region(
                region=list(range(population.n_cells)), description="every cell of PlaneSegmentation"
            ),
            timestamps=H5DataIO(recording.dff_time, compression="gzip"),
        )
    )


def _soma_pixels(coordinates: npt.NDArray[np.float64]) -> list[list[tuple[int, int, float]]]:
    """Pixels (x, y, weight) of each soma: a disc whose edge is soft, so that its weighted centre is the cell's."""
    corner = -np.array(FIELD_OF_VIEW) * PIXEL_SIZE / 2.0
    reach = int(np.ceil(_SOMA_RADIUS / PIXEL_SIZE)) + 1
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    masks = []
    for place in (coordinates[:, :2] - corner) / PIXEL_SIZE:
        pixels = np.round(place).astype(int) + steps
        distance = np.hypot(*(pixels - place).T) * PIXEL_SIZE
        weight = np.clip((_SOMA_RADIUS - distance) / PIXEL_SIZE + 0.5, 0.0, 1.0)
        inside = (weight > 0.0) & ((pixels >= 0) & (pixels < np.array(FIELD_OF_VIEW))).all(axis=1)
        masks.append([(int(x), int(y), float(w)) for (x, y), w in zip(pixels[inside], weight[inside], strict=True)])
    return masks


def _add_stimulus(nwbfile: Any, animal: Animal) -> None:
    from hdmf.backends.hdf5 import H5DataIO
    from hdmf.common import VectorData
    from pynwb.epoch import TimeIntervals
    from pynwb.image import ImageSeries

    for (name, movie), kind in zip(animal.movies.items(), animal.kinds, strict=True):
        nwbfile.add_stimulus_template(
            ImageSeries(
                name=name,
                description=(
                    f"{_KINDS[kind]}; luminance, 255 the brightest, as "
                    "(frame, row, column). Its rate is the display's; when it was shown is in the presentation table."
                ),
                data=H5DataIO(movie, compression="gzip", compression_opts=1, chunks=movie.shape),
                unit="n.a.",
                format="raw",
                rate=animal.recording.frame_rate,
                starting_time=0.0,
            )
        )
    display = animal.display
    shown = display.presented
    names = list(animal.movies)
    columns = [
        VectorData(name="start_time", description="Seconds at which the frame appeared", data=display.time[:-1][shown]),
        VectorData(
            name="stop_time", description="Seconds at which another picture replaced it", data=display.presentation_stop
        ),
        VectorData(
            name="stimulus_name",
            description="Name of the movie in stimulus_template",
            data=[names[movie] for movie in display.movie[shown]],
        ),
        VectorData(name="movie_frame_index", description="Frame of the movie, from 0", data=display.frame[shown]),
        VectorData(
            name="stimulus_block",
            description="Block of movies between two grey screens, from 0",
            data=display.block[shown],
        ),
        VectorData(name="movie_repeat", description="How often the movie was shown before", data=display.repeat[shown]),
    ]
    nwbfile.add_time_intervals(
        TimeIntervals(
            name="natural_movie_presentations",
            description="One row per movie frame shown; between blocks, where there are no rows, the screen was grey.",
            columns=columns,
            colnames=[column.name for column in columns],
        )
    )


def _add_behaviour(nwbfile: Any, animal: Animal) -> None:
    from pynwb import TimeSeries
    from pynwb.behavior import BehavioralTimeSeries, PupilTracking

    recording = animal.recording
    module = nwbfile.create_processing_module(name="behavior", description="Simulated wheel and eye camera")
    running = BehavioralTimeSeries(name="BehavioralTimeSeries")
    running.create_timeseries(
        name="running_speed",
        description="Running speed on a wheel",
        data=recording.running,
        unit="cm/s",
        timestamps=recording.running_time,
    )
    module.add(running)
    module.add(
        PupilTracking(
            name="PupilTracking",
            time_series=TimeSeries(
                name="pupil_diameter",
                description="Diameter of the pupil",
                data=recording.pupil,
                unit="mm",
                starting_time=recording.pupil_start,
                rate=recording.pupil_rate,
            ),
        )
    )
