"""What the archive's metadata say is in an asset, before anything of it is fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from nwb_mivae.archive.asset import MODALITIES, Asset, modalities_in, subject_in

__all__ = ["AssetContents", "assets_contents", "contents_of"]

_REQUESTS_AT_ONCE = 5

#: What DANDI's metadata call what was measured (neurodata types), and how (approaches), by the modality it belongs to.
_SIGNS = {
    "behavior": {
        "BehavioralEpochs", "BehavioralEvents", "BehavioralTimeSeries", "CompassDirection", "EyeTracking", "Position",
        "PupilTracking", "SpatialSeries", "behavioral approach",
    },
    "ecephys": {
        "ElectricalSeries", "ElectrodeGroup", "LFP", "SpikeEventSeries", "Units", "electrophysiological approach",
    },
    "icephys": {"CurrentClampSeries", "IntracellularElectrode", "PatchClampSeries", "VoltageClampSeries"},
    "image": {"GrayscaleImage", "ImageMaskSeries", "ImageSeries", "IndexSeries", "OpticalSeries", "RGBImage"},
    "ogen": {"OptogeneticSeries", "OptogeneticStimulusSite", "optogenetic approach"},
    "ophys": {
        "DfOverF", "Fluorescence", "ImageSegmentation", "ImagingPlane", "OnePhotonSeries", "OpticalChannel",
        "PlaneSegmentation", "RoiResponseSeries", "TwoPhotonSeries", "microscopy approach; cell population imaging",
    },
}  # fmt: skip


@dataclass(frozen=True)
class AssetContents:
    """What the archive says is in an asset; what it does not say is empty.

    Attributes
    ----------
    subject, species, sex, age : str
        Of the animal.
    session, start : str
        Name and beginning of the recording session.
    variables : tuple of str
        What was measured: neurodata types such as ``"RoiResponseSeries"``.
    approaches, techniques : tuple of str
        How it was measured.
    modalities : tuple of str
        Some of :data:`~nwb_mivae.archive.MODALITIES`, from the name and from what was measured.
    """

    subject: str = ""
    species: str = ""
    sex: str = ""
    age: str = ""
    session: str = ""
    start: str = ""
    variables: tuple[str, ...] = ()
    approaches: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()

    def has(self, modalities: Iterable[str]) -> bool:
        """Whether all of these were recorded, as far as is known."""
        return set(modalities) <= set(self.modalities)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def assets_contents(
    assets: Sequence[Asset], *, progress: Callable[[str, int, int], None] | None = None
) -> list[AssetContents]:
    """Ask the archive what is in assets: one request each, and nothing of the files.

    Parameters
    ----------
    assets : sequence of Asset
        From :func:`~nwb_mivae.archive.find_assets` or a lock file.
    progress : callable, optional
        ``progress(description, done, total)``.

    Raises
    ------
    ArchiveError
        If the archive cannot be reached, or has no such asset.
    """
    from nwb_mivae.archive.client import ArchiveClient, archive_errors, with_token_if_asked

    found: list[AssetContents] = []
    with ExitStack() as stack, ThreadPoolExecutor(_REQUESTS_AT_ONCE) as threads:
        clients = {name: stack.enter_context(ArchiveClient(name)) for name in {asset.instance for asset in assets}}

        def ask(asset: Asset) -> AssetContents:
            client = clients[asset.instance]
            path = f"/dandisets/{asset.dandiset}/versions/{asset.version}/assets/{asset.asset_id}/"
            with archive_errors(asset.pinned_address):
                return contents_of(asset.path, with_token_if_asked(client, lambda: client.get(path)))

        for done, contents in enumerate(threads.map(ask, assets)):
            if progress is not None:
                progress("asking the archive", done, len(assets))
            found.append(contents)
    return found


def contents_of(path: str, metadata: Mapping[str, Any]) -> AssetContents:
    """Read the metadata of one asset, which may lack or misspell anything."""
    animal = _first(metadata.get("wasAttributedTo"), "Participant")
    session = _first(metadata.get("wasGeneratedBy"), "Session")
    variables = _texts(metadata.get("variableMeasured"), "value")
    approaches = _texts(metadata.get("approach"), "name")
    measured = {*variables, *approaches}
    modalities = {name for name in MODALITIES if measured & _SIGNS[name]} | set(modalities_in(path))
    return AssetContents(
        subject=_text(animal.get("identifier")) or subject_in(path),
        species=_text(animal.get("species"), "name"),
        sex=_text(animal.get("sex"), "name"),
        age=_text(animal.get("age"), "value"),
        session=_text(session.get("name")) or _text(session.get("identifier")),
        start=_text(session.get("startDate")),
        variables=variables,
        approaches=approaches,
        techniques=_texts(metadata.get("measurementTechnique"), "name"),
        modalities=tuple(sorted(modalities)),
    )


def _first(values: Any, kind: str) -> Mapping[str, Any]:
    """The first record of a kind."""
    records = values if isinstance(values, list) else []
    found = [value for value in records if isinstance(value, dict) and value.get("schemaKey") == kind]
    return found[0] if found else {}


def _text(value: Any, key: str | None = None) -> str:
    if key is not None:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _texts(values: Any, key: str) -> tuple[str, ...]:
    found = (_text(value, key) for value in (values if isinstance(values, list) else []))
    return tuple(sorted({text for text in found if text}))
