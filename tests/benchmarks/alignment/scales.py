"""How large the benchmark is, and its material: simulated animals, the store made of them, and who is held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.clips import ClipsConfiguration, ClipStore, Split, SplitConfiguration, make_split, prepare
from nwb_mivae.simulation import SimulationConfiguration, simulate

__all__ = ["SCALES", "Material", "Scale", "material"]

#: Of the data. Seeds of the benchmark are those of training; the animals are always the same.
DATA_SEED = 0


@dataclass(frozen=True)
class Scale:
    """Sizes of everything; ``steps`` and what follows may be changed without making other data.

    Attributes
    ----------
    animals, trained, held_out : int
        How many are simulated, how many of the first are trained on, and how many of the last are held out.
    minutes, height, width, cells, movie_seconds
        See :class:`~nwb_mivae.simulation.SimulationConfiguration`.
    clip_frames, test_clips : int
        Frames of a clip, and at most so many test clips of each session, evenly over the recording.
    steps : int
        Of training.
    context_minutes : tuple of float
        Lengths of context that are compared.
    decoding_clips : int
        Clips of each session and part that read-outs of true factors, of pixels and of activity are fitted on.
    decoded_trained : int
        How many of the trained animals are examined like the held-out ones, beside the trained animals' retrieval.
    control_draws : int
        How often random controls of the retrieval are drawn.
    scaling_animals : tuple of int
        Numbers of training animals of the scaling curve.
    scaling_clips : int
        Clips that one animal gives at most on the scaling curve, and all together where the total is fixed.
    """

    name: str
    animals: int
    trained: int
    held_out: int
    minutes: float
    height: int
    width: int
    cells: tuple[int, int]
    movie_seconds: float
    clip_frames: int
    test_clips: int
    steps: int
    context_minutes: tuple[float, ...]
    decoding_clips: int
    decoded_trained: int
    control_draws: int
    scaling_animals: tuple[int, ...]
    scaling_clips: int

    @property
    def simulation(self) -> SimulationConfiguration:
        """What is simulated."""
        return SimulationConfiguration(
            animals=self.animals,
            minutes=self.minutes,
            cells=self.cells,
            height=self.height,
            width=self.width,
            movie_seconds=self.movie_seconds,
            seed=DATA_SEED,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for results."""
        return asdict(self)


SCALES: Mapping[str, Scale] = {
    "tiny": Scale(
        name="tiny",
        animals=3,
        trained=2,
        held_out=1,
        minutes=1.5,
        height=18,
        width=32,
        cells=(30, 40),
        movie_seconds=2.0,
        clip_frames=8,
        test_clips=30,
        steps=4,
        context_minutes=(0.2, 0.5),
        decoding_clips=60,
        decoded_trained=1,
        control_draws=1,
        scaling_animals=(1, 2),
        scaling_clips=40,
    ),
    "small": Scale(
        name="small",
        animals=10,
        trained=8,
        held_out=2,
        minutes=14.0,
        height=18,
        width=32,
        cells=(250, 400),
        movie_seconds=10.0,
        clip_frames=16,
        test_clips=100,
        steps=500,
        context_minutes=(1.0, 2.0, 5.0, 10.0),
        decoding_clips=400,
        decoded_trained=2,
        control_draws=2,
        scaling_animals=(1, 2, 4, 8),
        scaling_clips=800,
    ),
    "full": Scale(
        name="full",
        animals=18,
        trained=8,
        held_out=2,
        minutes=30.0,
        height=36,
        width=64,
        cells=(1000, 2000),
        movie_seconds=10.0,
        clip_frames=16,
        test_clips=100,
        steps=4000,
        context_minutes=(1.0, 2.0, 5.0, 10.0),
        decoding_clips=800,
        decoded_trained=2,
        control_draws=2,
        scaling_animals=(1, 2, 4, 8, 16),
        scaling_clips=1600,
    ),
}


@dataclass(frozen=True)
class Material:
    """What every design is judged on.

    Attributes
    ----------
    scale : Scale
    store : ClipStore
    every_animal : Split
        All animals but the held-out ones are for training.
    truth_paths : mapping of str to Path
        By session key.
    """

    scale: Scale
    store: ClipStore
    every_animal: Split
    truth_paths: Mapping[str, Path]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every array of the store: equal for equal data.

        That of the store is of the files it was made from as well, and every NWB file has a date and identifiers.
        """
        entries = self.store.manifest["sessions"]
        what = {
            "stimulus": self.store.manifest["stimulus"]["sha256"],
            "sessions": {
                key: {name: file["sha256"] for name, file in sorted(entries[key]["files"].items())} for key in entries
            },
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    @cached_property
    def split(self) -> Split:
        """The split of the headline: the first ``scale.trained`` animals are for training."""
        return self.trained_on(self.scale.trained)

    def trained_on(self, animals: int) -> Split:
        """The same content and the same animals held out, but only the first so many to train on."""
        return replace(self.every_animal, train_sessions=self.every_animal.train_sessions[:animals])

    def truth(self, session: str) -> dict[str, npt.NDArray[Any]]:
        """The arrays of :data:`~nwb_mivae.simulation.TRUTH_KEYS` of one session, but for those nobody here needs."""
        with np.load(self.truth_paths[session], allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if name not in ("pixel_mask", "rates")}


def material(scale: Scale, folder: Path, *, processes: int = 1) -> Material:
    """Simulate and prepare into ``folder``, or take what an earlier call with the same settings left there.

    ``folder/animals`` receives the recordings with their truth, ``folder/store`` the clip store. Animals are simulated
    by so many processes side by side.

    Raises
    ------
    ValueError
        If the folder holds other animals than those of the scale: they are not replaced.
    """
    recordings, place = folder / "animals", folder / "store"
    clips = ClipsConfiguration(height=scale.height, width=scale.width)
    _refuse_other_animals(scale, recordings)
    if not (place / "manifest.json").exists():
        prepare(_simulated(scale, recordings, processes), place, configuration=clips)
    store = ClipStore.open(place)
    if len(store.sessions) != scale.animals or store.manifest["configuration"]["clips"] != clips.model_dump(
        mode="json"
    ):
        raise ValueError(f"{place} holds another store than that of scale {scale.name!r}; choose another folder")
    subjects = [session.subject for session in store.sessions.values()]
    split = make_split(store, SplitConfiguration(held_out=subjects[-scale.held_out :]), n_frames=scale.clip_frames)
    return Material(
        scale=scale,
        store=store,
        every_animal=split,
        truth_paths={key: _truth_of(recordings, session.subject) for key, session in store.sessions.items()},
    )


def _simulated(scale: Scale, recordings: Path, processes: int) -> list[Path]:
    if processes == 1:
        return [animal.nwb for animal in simulate(recordings, scale.simulation, overwrite=True)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(_simulated_alone, scale, recordings), range(scale.animals)))


def _simulated_alone(scale: Scale, recordings: Path, number: int) -> Path:
    (animal,) = simulate(recordings, scale.simulation, numbers=[number], overwrite=True)
    return animal.nwb


def _truth_of(recordings: Path, subject: str) -> Path:
    (found,) = (recordings / f"sub-{subject}").glob("*_truth.npz")
    return found


def _refuse_other_animals(scale: Scale, recordings: Path) -> None:
    for path in sorted(recordings.glob("sub-*/*_truth.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["configuration"]) != scale.simulation.to_yaml():
                raise ValueError(
                    f"{path} is of other animals than those of scale {scale.name!r}; choose another folder"
                )
