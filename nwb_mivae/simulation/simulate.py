"""Simulate animals and write each as an NWB file with its truth beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from nwb_mivae.errors import OutputError
from nwb_mivae.simulation.animal import film_shared_movies, simulate_animal, subject_of
from nwb_mivae.simulation.configuration import SimulationConfiguration
from nwb_mivae.simulation.nwb_writer import session_id_of, write_nwb
from nwb_mivae.simulation.photographs import load_photographs
from nwb_mivae.simulation.schedule import plan_programme
from nwb_mivae.simulation.truth import write_truth

__all__ = ["SimulatedAnimal", "simulate"]


@dataclass(frozen=True)
class SimulatedAnimal:
    """Where one simulated animal lies."""

    #: The session, as a recording would have been published.
    nwb: Path
    #: Its truth, see :data:`nwb_mivae.simulation.TRUTH_KEYS`.
    truth: Path
    subject: str


def simulate(
    out: str | PathLike[str],
    configuration: SimulationConfiguration = SimulationConfiguration(),  # noqa: B008 (immutable)
    *,
    numbers: Sequence[int] | None = None,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[SimulatedAnimal]:
    """Write simulated animals below ``out``, named as the DANDI archive names assets.

    Each animal becomes ``OUT/sub-ID/sub-ID_ses-ID_behavior+image+ophys.nwb`` and
    ``OUT/sub-ID/sub-ID_ses-ID_truth.npz``; a file is there whole or not at all, and an animal's NWB file only once its
    truth is there. Equal configurations give equal arrays.

    Parameters
    ----------
    out : path-like
        Folder, made where missing.
    configuration : SimulationConfiguration
        What to simulate.
    numbers : sequence of int, optional
        Only these animals of the configuration, from 0: several processes can make one set between them.
    overwrite : bool
        Replace animals that are already there.
    progress : callable, optional
        Called as ``progress(description, done, total)``.

    Raises
    ------
    SimulationError
        If what was asked for is impossible, or scikit-image or scikit-learn, whose photographs are needed, is missing.
    OutputError
        If a file is already there and ``overwrite`` is false; nothing is written then.
    """
    programme = plan_programme(configuration)
    wanted = range(configuration.animals) if numbers is None else numbers
    animals = [_place(Path(out), configuration, number) for number in wanted]
    if not overwrite:
        for path in (path for animal in animals for path in (animal.nwb, animal.truth)):
            if path.exists():
                raise OutputError(
                    "a simulated animal that is already there",
                    expected="a folder without it",
                    remedy="choose another output folder, or ask to overwrite",
                    file=path,
                )
    photographs = load_photographs()
    shared = film_shared_movies(configuration, programme, photographs)
    for done, (number, place) in enumerate(zip(wanted, animals, strict=True)):
        if progress is not None:
            progress("simulating animals", done, len(animals))
        animal = simulate_animal(configuration, number, programme, shared, photographs)
        write_truth(place.truth, animal, configuration)
        write_nwb(place.nwb, animal, configuration)
    if progress is not None:
        progress("simulating animals", len(animals), len(animals))
    return animals


def _place(out: Path, configuration: SimulationConfiguration, number: int) -> SimulatedAnimal:
    subject = subject_of(configuration, number)
    stem = f"sub-{subject}_ses-{session_id_of(number)}"
    folder = out / f"sub-{subject}"
    return SimulatedAnimal(folder / f"{stem}_behavior+image+ophys.nwb", folder / f"{stem}_truth.npz", subject)
