"""Small synthetic clip stores for tests: no NWB, written by the same writer as ``prepare``.

The relation between stimulus and activity is planted: each cell is a random smooth linear filter of the frame followed
by a rectification (dF/F: through an exponential indicator, with noise; spikes: Poisson).
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.alignment import AlignedSession, AlignmentConfiguration, AlignmentReport
from nwb_mivae.clips import ClipsConfiguration, ClipStore
from nwb_mivae.clips.writing import StoreWriter
from nwb_mivae.sessions.session import Provenance, Template


class ArrayTemplate(Template):
    """A template whose frames are in memory."""

    def __init__(self, name: str, frames: npt.NDArray[np.uint8]) -> None:
        self.name = name
        self.frames = frames
        self.n_frames, self.height, self.width = frames.shape
        self.origin = "file"

    def read(self, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        return self.frames[frames]


def smooth_movie(random: np.random.Generator, n_frames: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A movie whose frames change smoothly in space and time, uint8 ``(n_frames, height, width)``."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(random.standard_normal((n_frames, height, width)), (2.0, 2.0, 2.0), mode="wrap")
    return np.clip(128 + 45 * noise / noise.std(), 0, 255).astype(np.uint8)


def aligned_session(
    key: str,
    templates: Sequence[ArrayTemplate],
    showings: Sequence[int],
    *,
    cells: int,
    seed: int,
    frame_rate: float = 30.0,
    trace_kind: Literal["dff", "deconvolved", "events", "fluorescence", "spikes"] = "dff",
    noise: float = 0.5,
    subject: str | None = None,
) -> AlignedSession:
    """A session that shows ``templates[showings[0]]``, then ``templates[showings[1]]`` and so on without a pause."""
    from scipy.ndimage import gaussian_filter
    from scipy.signal import lfilter

    random = np.random.default_rng([seed, 1])
    template = np.concatenate([np.full(templates[number].n_frames, number) for number in showings]).astype(np.int32)
    frame = np.concatenate([np.arange(templates[number].n_frames) for number in showings])
    showing = np.concatenate([np.full(templates[number].n_frames, turn) for turn, number in enumerate(showings)])
    repeat = np.array([list(showings[:turn]).count(number) for turn, number in enumerate(showings)])[showing]
    stimulus = np.concatenate([templates[number].frames for number in showings]).astype(np.float32) / 255.0 - 0.5
    n_frames, height, width = stimulus.shape
    fields = gaussian_filter(random.standard_normal((cells, height, width)), (0, 2.0, 2.0))
    fields /= np.linalg.norm(fields.reshape(cells, -1), axis=1)[:, None, None]
    drive = stimulus.reshape(n_frames, -1) @ fields.reshape(cells, -1).T
    running = gaussian_filter(random.standard_normal(n_frames), 30.0)
    running /= running.std()
    rate = np.maximum(drive / drive.std(axis=0) + 0.3 * running[:, None], 0.0)
    if trace_kind == "spikes":
        neural = random.poisson(rate).astype(np.float32)
    elif trace_kind in ("deconvolved", "events"):
        neural = (rate * (random.random(rate.shape) < 0.7)).astype(np.float32)
    else:
        neural = lfilter([1.0], [1.0, -0.7], rate, axis=0) + noise * random.standard_normal(rate.shape)
        neural = (0.1 * neural).astype(np.float32)
    time = 5.0 + np.arange(n_frames) / frame_rate
    coordinates = random.uniform(0, 500, (cells, 3)).astype(np.float32)
    coordinates[:, 2] = 150.0
    auxiliary = AlignmentConfiguration().auxiliary
    columns = {"running": running, "pupil": np.zeros(n_frames), "time": time - time[0]}
    return AlignedSession(
        key=key,
        subject=subject or f"mouse-{key}",
        provenance=Provenance(
            path=f"{key}.nwb",
            nwb_version="2.9.0",
            identifier=key,
            object_id=f"object-{key}",
            session_id=key,
            subject_id=subject or f"mouse-{key}",
            species="Mus musculus",
            session_start_time="2025-01-01T00:00:00+00:00",
        ),
        trace_kind=trace_kind,
        trace_path="processing/ophys/DfOverF/RoiResponseSeries",
        neural=neural,
        valid=np.ones(n_frames, dtype=bool),
        time=time,
        stop_time=time + 1 / frame_rate,
        segment=np.zeros(n_frames, dtype=np.int32),
        template=template,
        frame=frame.astype(np.int64),
        repeat=repeat.astype(np.int32),
        presentation=np.arange(n_frames, dtype=np.int64),
        presentations=pd.DataFrame(
            {
                "start_time": time,
                "stop_time": time + 1 / frame_rate,
                "stimulus": [templates[number].name for number in template],
                "template": [templates[number].name for number in template],
                "frame": frame,
                "parameters": "",
                "blank": False,
                "omitted": False,
                "repeat": repeat,
                "block": "0",
                "source_path": "stimulus/presentation",
                "source_row": np.arange(n_frames),
            }
        ),
        auxiliary=np.stack([columns[name] for name in auxiliary], axis=1).astype(np.float32),
        auxiliary_names=auxiliary,
        coordinates=coordinates,
        cells=pd.DataFrame(
            {
                "id": [f"{cell}" for cell in range(cells)],
                "x": coordinates[:, 0],
                "y": coordinates[:, 1],
                "z": coordinates[:, 2],
                "area": "VISp",
                "plane": "plane0",
                "source_row": np.arange(cells),
                "source_path": "processing/ophys/ImageSegmentation/PlaneSegmentation",
                "source_file": 0,
            }
        ),
        templates=list(templates),
        frame_rate=frame_rate,
        report=AlignmentReport(
            neural_rate=None if trace_kind == "spikes" else 30.0,
            frame_rate=frame_rate,
            lag=0.0,
            n_frames=n_frames,
            n_valid=n_frames,
            n_segments=1,
            masked_share=0.0,
            frame_jitter_rms=0.0,
            frame_jitter_maximum=0.0,
            frames_dropped=0,
            frames_repeated=0,
            frames_held=0,
            neural_gaps=0,
            neural_gap_seconds=0.0,
            presentations=n_frames,
            presentations_used=n_frames,
            presentations_on_clock=0,
            excluded={},
            missing_templates=[],
            cells=cells,
            cells_dropped=0,
            auxiliary_filled={"running": 0.0, "pupil": 1.0, "time": 0.0},
        ),
    )


def write_store(
    path: str | PathLike[str], sessions: Sequence[AlignedSession], configuration: ClipsConfiguration | None = None
) -> ClipStore:
    """A store of aligned sessions, as ``prepare`` writes it."""
    configuration = configuration or ClipsConfiguration()
    writer = StoreWriter(path, configuration, {"clips": configuration.model_dump(mode="json")})
    for aligned in sessions:
        file = {
            "path": aligned.provenance.path,
            "sha256": None,
            "object_id": aligned.provenance.object_id,
            "identifier": aligned.provenance.identifier,
            "asset": None,
        }
        writer.add(
            aligned,
            source={
                **file,
                "session_id": aligned.provenance.session_id,
                "trace_path": aligned.trace_path,
                "files": [file],
                "left_out": [],
            },
            fingerprint=f"synthetic {aligned.key}",
        )
    return writer.finish()


def make_store(
    path: str | PathLike[str],
    *,
    sessions: int = 3,
    cells: Sequence[int] = (20, 30, 25),
    seconds: float = 48.0,
    height: int = 18,
    width: int = 32,
    seed: int = 0,
    shared_content: bool = True,
    movie_frames: int = 96,
    repeats: int = 1,
    frame_rate: float = 30.0,
    trace_kind: Literal["dff", "deconvolved", "events", "fluorescence", "spikes"] = "dff",
    noise: float = 0.5,
) -> ClipStore:
    """A small store of synthetic animals, one session each, named ``session-0``, ``session-1`` ...

    Parameters
    ----------
    path : path-like
        Folder to make.
    sessions, cells : int, sequence of int
        Number of animals, and how many cells each has (taken in turn).
    seconds : float
        Length of a session, repeats included; rounded up to whole movies of ``movie_frames`` frames, ten at least.
    shared_content : bool
        Whether all animals see the same movies (in another order each), or each its own.
    repeats : int
        How often each movie is shown.
    """
    count = max(10, int(np.ceil(seconds * frame_rate / movie_frames / repeats)))
    made = []
    for number in range(sessions):
        random = np.random.default_rng([seed, 2, 0 if shared_content else number])
        owner = "shared" if shared_content else f"own-{number}"
        templates = [
            ArrayTemplate(f"{owner}-{movie}", smooth_movie(random, movie_frames, height, width))
            for movie in range(count)
        ]
        order = np.random.default_rng([seed, 3, number])
        showings = np.concatenate([order.permutation(count) for _ in range(repeats)]).tolist()
        made.append(
            aligned_session(
                f"session-{number}",
                templates,
                showings,
                cells=cells[number % len(cells)],
                seed=seed * 1000 + number,
                frame_rate=frame_rate,
                trace_kind=trace_kind,
                noise=noise,
                subject=f"mouse-{number}",
            )
        )
    return write_store(Path(path), made, ClipsConfiguration(height=height, width=width))
