"""Stand-in movies for a recording whose own movies cannot be redistributed. They are NOT what the subject saw.

``sub-4_ses-4_ecephys+image.nwb`` (DANDI:000207) names 90 clips, ``NB_1.mp4`` and so on, that are not published. To run
the whole way on that real recording, this makes a folder of movies of the same names from one freely licensed film
(``stimuli/flower.mp4``, CC0). Each clip is a different excerpt: another window moving over the picture, another
starting time and pace, mirrored or not, reversed or not, another brightness. Whatever a model finds between these
pictures and those neurons is therefore chance, and tests may only look at whether the way is passable.

    python -m tests.stand_in_movies RECORDING.nwb flower.mp4 FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["clip_names", "make_stand_in_movies"]


def clip_names(recording: Path) -> list[str]:
    """Names of the external movies that an NWB file of this layout refers to, in order of first showing."""
    import h5py

    with h5py.File(recording, "r") as file:
        stored = file["stimulus/presentation/StimulusPresentation_encoding/external_file"][:]
    return list(dict.fromkeys(name.decode() for name in stored))


def make_stand_in_movies(
    source: Path,
    names: Sequence[str],
    folder: Path,
    *,
    width: int = 64,
    height: int = 36,
    seconds: float = 8.0,
    frames_per_second: int = 15,
    seed: int = 0,
) -> Path:
    """Write one movie per name into ``folder`` (made where missing) and return the folder."""
    frames = _decoded(source, 2 * width, 2 * height)
    n_frames = round(seconds * frames_per_second)
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        excerpt = _excerpt(frames, n_frames, width, height, np.random.default_rng([seed, number]))
        _encode(folder / name, excerpt, frames_per_second)
    return folder


def _decoded(source: Path, width: int, height: int) -> npt.NDArray[np.uint8]:
    import av

    with av.open(str(source)) as container:
        return np.stack(
            [frame.to_ndarray(format="rgb24", width=width, height=height) for frame in container.decode(video=0)]
        )


def _excerpt(
    frames: npt.NDArray[np.uint8], n_frames: int, width: int, height: int, random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    time = np.arange(n_frames)
    pace = random.uniform(0.5, 2.0) * random.choice([-1, 1])
    which = np.rint(random.uniform(0, len(frames)) + pace * time).astype(int) % len(frames)
    path = np.linspace(random.uniform(size=2), random.uniform(size=2), n_frames)
    top, left = np.rint(path * (frames.shape[1] - height, frames.shape[2] - width)).astype(int).T
    mirrored = random.uniform() < 0.5
    gain, offset = random.uniform(0.6, 1.0), random.uniform(0, 60)
    clip = np.stack([frames[w, t : t + height, x : x + width] for w, t, x in zip(which, top, left, strict=True)])
    if mirrored:
        clip = clip[:, :, ::-1]
    return np.rint(clip * gain + offset).clip(0, 255).astype(np.uint8)


def _encode(path: Path, frames: npt.NDArray[np.uint8], frames_per_second: int) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(frames_per_second))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"qscale": "2", "g": "12"}
        for pixels in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path, help="NWB file that names the movies")
    parser.add_argument("source", type=Path, help="film to cut them from, such as flower.mp4")
    parser.add_argument("folder", type=Path, help="where they go")
    parser.add_argument("--frames-per-second", type=int, default=15)
    given = parser.parse_args()
    names = clip_names(given.recording)
    make_stand_in_movies(given.source, names, given.folder, frames_per_second=given.frames_per_second)
    print(f"{len(names)} stand-in movies in {given.folder}")


if __name__ == "__main__":
    main()
