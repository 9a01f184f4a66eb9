"""Write ``VERSION.nwb`` beside this script: one object of every type, as the version of ndx-mivae that runs it writes.

Run once for every version, before its release; a fixture is never written again, because later versions are tested by
reading what earlier ones really wrote.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import ndx_mivae.testing
from pynwb import NWBHDF5IO, NWBFile, get_type_map
from pynwb.file import Subject

HERE = Path(__file__).resolve().parent
INSIDE_OTHERS = ("mock_MIVAEAnnotation", "mock_MIVAEModel", "mock_SubpopulationsTable", "mock_TrainingSessionsTable")


def session() -> NWBFile:
    """A session with all a published file must say, and nothing recorded."""
    nwbfile = NWBFile(
        session_description="A mouse saw movies.",
        identifier="session",
        session_start_time=datetime(2025, 1, 1, tzinfo=UTC),
        session_id="1",
        experimenter=["Doe, Jane"],
        institution="Institute",
        keywords=["vision"],
        experiment_description="Natural movies.",
    )
    nwbfile.subject = Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D", description="A mouse.")
    return nwbfile


def annotate(nwbfile: NWBFile) -> None:
    """Add one object of every type, linked as in an annotated file."""
    model = ndx_mivae.testing.mock_MIVAEAnnotation(nwbfile=nwbfile).model
    for name in ndx_mivae.testing.__all__:
        if name not in INSIDE_OTHERS:
            getattr(ndx_mivae.testing, name)(nwbfile=nwbfile, model=model)
    latents = nwbfile.processing["mivae"]["latents_neural_shared"]
    ndx_mivae.testing.mock_LatentSeries(nwbfile=nwbfile, name="latents_shared_clock", timestamps=latents, model=model)


def annotated_file() -> NWBFile:
    """A session with one object of every type."""
    nwbfile = session()
    annotate(nwbfile)
    return nwbfile


def main() -> None:
    """Write the fixture of the version at hand, unless there is one."""
    version = get_type_map().namespace_catalog.get_namespace("ndx-mivae").version
    path = HERE / f"{version}.nwb"
    if path.exists():
        sys.exit(f"{path.name} exists; what a version wrote is kept as it was")
    with NWBHDF5IO(str(path), "w") as writing:
        writing.write(annotated_file())


if __name__ == "__main__":
    main()
