"""Types of other extensions, and classes of other packages, that extend types of this one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ndx_mivae
import ndx_mivae.testing
import pytest
from pynwb.spec import NWBAttributeSpec, NWBGroupSpec, NWBNamespaceBuilder, export_spec

TYPES = sorted(set(ndx_mivae.__all__) - {"FORMS", "SPACES"})

pytestmark = pytest.mark.filterwarnings("ignore:The linked table for DynamicTableRegion")


@pytest.mark.parametrize("name", TYPES)
def test_a_class_may_have_a_constructor_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch):
    base = getattr(ndx_mivae, name)

    class Own(base):
        def __init__(self, reviewer: str = "nobody", **fields: object) -> None:
            super().__init__(**fields)
            self.reviewer = reviewer

    monkeypatch.setattr(ndx_mivae.testing.mock, name, Own)
    item = getattr(ndx_mivae.testing, f"mock_{name}")()
    assert type(item) is Own
    assert item.reviewer == "nobody"


def test_every_type_can_be_extended_by_another_extension(
    tmp_path: Path, in_another_process: Callable[[str], str]
) -> None:
    """In a process of its own, because what is loaded once stays."""
    namespace = NWBNamespaceBuilder(
        name="ndx-more", version="0.1.0", doc="More.", author=["Doe, Jane"], contact=["jane@example.org"]
    )
    namespace.include_namespace("core")
    for name in TYPES:
        namespace.include_type(name, namespace="ndx-mivae")
    reviewer = NWBAttributeSpec(name="reviewer", dtype="text", required=False, doc="Who looked at it.")
    types = [
        NWBGroupSpec(neurodata_type_def=f"Reviewed{name}", neurodata_type_inc=name, doc="More.", attributes=[reviewer])
        for name in TYPES
    ]
    export_spec(namespace, types, str(tmp_path))
    printed = in_another_process(
        f"""
        import json
        from datetime import datetime, timezone
        import ndx_mivae, ndx_mivae.testing, pynwb
        from ndx_mivae.testing import mock
        from pynwb import NWBHDF5IO, NWBFile
        pynwb.load_namespaces({str(tmp_path / "ndx-more.namespace.yaml")!r})
        nwbfile = NWBFile(session_description="s", identifier="i", session_start_time=datetime.now(timezone.utc))
        for name in {TYPES!r}:
            setattr(mock, name, pynwb.get_class("Reviewed" + name, "ndx-more"))
        for name in {TYPES!r}:
            if name not in ("MIVAEModel", "SubpopulationsTable", "TrainingSessionsTable"):  # made with what holds them
                getattr(ndx_mivae.testing, "mock_" + name)(nwbfile=nwbfile)
        for item in nwbfile.objects.values():
            if type(item).__name__.startswith("Reviewed"):
                item.reviewer = "Jane"
        with NWBHDF5IO({str(tmp_path / "more.nwb")!r}, "w") as writing:
            writing.write(nwbfile)
        assert pynwb.validate(path={str(tmp_path / "more.nwb")!r}) == []
        with NWBHDF5IO({str(tmp_path / "more.nwb")!r}, "r") as reading:
            objects = list(reading.read().objects.values())
            print(json.dumps({{type(item).__name__: getattr(item, "reviewer", None) for item in objects}}))
        """
    )
    read = json.loads(printed.splitlines()[-1])
    assert {name: read.get(f"Reviewed{name}") for name in TYPES} == dict.fromkeys(TYPES, "Jane")
