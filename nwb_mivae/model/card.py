"""The model card: a ``README.md`` beside the weights, with a header that model hubs read and text for people.

It is made from ``model.json``, of which it takes what is named here and nothing else: a card is there to be published,
and what a provenance says of somebody's disk is nobody's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from nwb_mivae.errors import ArchiveError, ModelError
from nwb_mivae.model.configuration import Population
from nwb_mivae.model.description import DESCRIPTION_FILE, ModelDescription
from nwb_mivae.outputs import whole_file

__all__ = ["CARD_FILE", "write_card"]

CARD_FILE = "README.md"

_BEGIN = b"<!-- nwb_mivae writes from here ... -->\n"
_END = b"<!-- ... to here; what stands outside is yours and stays -->\n"

_TRACE_KINDS = {
    "dff": "dF/F",
    "fluorescence": "fluorescence",
    "deconvolved": "deconvolved activity",
    "events": "events",
    "spikes": "spike counts per frame",
}
_POPULATIONS: dict[Population, str] = {
    "contextual": "contextual: reads cells by their coordinates and by how they answered the stimulus in the animal's "
    "own recording",
    "coordinates": "coordinates: reads cells by their coordinates alone",
    "pooled": "pooled: pools cells along their order in the file (the published design, kept as a baseline)",
}
_PACKAGES = ("torch", "numpy")
_GROUPS = {"held_out": "held out of training", "trained": "trained on"}
_CONDITIONS = {
    "with_context": "the model",
    "without_context": "without context of the animal",
    "untrained": "control: untrained model",
    "untrained_readout": "closed form, before training",
    "shuffled_pairs": "control: shuffled pairs",
    "permuted_neurons": "control: permuted neurons",
}


def write_card(folder: str | PathLike[str], *, evaluation: Mapping[str, Any] | None = None) -> Path:
    """Write the model card of a folder that :func:`~nwb_mivae.model.save_module` wrote, whole or not at all.

    ``save_module`` writes one without figures; this is called again when the model was evaluated. Of a card that is
    there only the part between its two marks is written again: a licence or a paragraph that somebody added stays. A
    card without the marks is somebody's own and is left as it is.

    Parameters
    ----------
    folder : path-like
        The model folder.
    evaluation : mapping, optional
        ``Evaluation.summary`` of these weights: ``held_out`` and ``trained`` (figures by condition, or None),
        ``across`` and ``verdicts``. Without it the card says that it has none.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    ModelError
        If the folder's ``model.json``, or the evaluation, is not one of this package.
    """
    folder = Path(folder)
    description = ModelDescription.read(folder)
    try:
        text = "\n".join(_sections(folder, description, evaluation))
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise ModelError(
            f"a provenance or an evaluation that no card can be made from ({type(problem).__name__}: {problem})",
            expected="what nwb_mivae writes",
            remedy="evaluate again, or copy the folder again",
            file=folder,
            object_path=DESCRIPTION_FILE,
        ) from problem
    path = folder / CARD_FILE
    written = _BEGIN + text.encode("utf-8", "replace") + _END
    if path.is_file():
        before, begin, rest = path.read_bytes().partition(_BEGIN)
        _, end, after = rest.partition(_END)
        if not (begin and end):
            return path
    else:
        before, after = _header(description), _LICENCE.encode()
    with whole_file(path) as beside:
        beside.write_bytes(before + written + after)
    return path


_LICENCE = """
## Licence

None is stated. Whoever publishes this model names one here, and as `license:` in the header above.
"""

_REFERENCE = """## Reference

The model follows miVAE (Zhu, Lei, Song, Ouyang, Yu, Huang; AAAI 2025;
[arXiv 2412.14536](https://arxiv.org/abs/2412.14536)).
"""


def _header(description: ModelDescription) -> bytes:
    recorded = "electrophysiology" if description.shape.trace_kind == "spikes" else "calcium-imaging"
    fields = {
        "library_name": "nwb-mivae",
        "pipeline_tag": "feature-extraction",
        "tags": ["neuroscience", "visual-cortex", recorded, "nwb", "variational-autoencoder", "mivae"],
    }
    return b"---\n" + yaml.safe_dump(fields, sort_keys=False).encode() + b"---\n\n"


def _sections(folder: Path, description: ModelDescription, evaluation: Mapping[str, Any] | None) -> Iterator[str]:
    shape, configuration = description.shape, description.configuration
    parameters = sum(parameter.numel() for parameter in description.skeleton(folder).parameters())
    latents = (
        f"{configuration.shared_latents} shared by activity and stimulus, "
        f"{configuration.neural_private_latents} of activity alone, "
        f"{configuration.stimulus_private_latents} of the stimulus alone"
    )
    frame_size = f"height={shape.height}, width={shape.width}"
    yield f"""# miVAE for visual cortex ({_TRACE_KINDS[shape.trace_kind]} at {shape.frame_rate:.4g} Hz)

A multi-modal identifiable variational autoencoder. It puts the activity of a population of cells in visual cortex, and
the pictures that were shown meanwhile, into one latent space that animals share. No parameter belongs to an animal: it
reads recordings of animals it never saw, with no training on them.

## Shape

| | |
|---|---|
| Frames | {shape.height} x {shape.width} pixels, grey |
| Frame rate | {shape.frame_rate:.6g} frames per second |
| Clip | {shape.clip_frames} frames |
| Activity | {_TRACE_KINDS[shape.trace_kind]} |
| Auxiliary variables | {shape.n_auxiliary} (such as running speed and pupil size) |
| Latents of each frame | {latents} |
| Population encoder | {_POPULATIONS[configuration.population]} |
| Parameters | {parameters:,} |

## Trained on
"""
    yield from _training_data(description.provenance)
    yield "\n## Evaluated\n"
    yield from _figures(evaluation)
    yield f"""
## What it is for, and its limits

For research on what populations of cells in visual cortex tell of what was seen: latents, their attribution to cells
and pixels, and comparisons between animals. Not for any decision about a person's or an animal's health.

- Recordings must have the frame rate, the kind of activity and the number of auxiliary variables named above; pictures
  are brought to its frame size. How it does on other species, areas, indicators or stimuli than those it was trained on
  is not known until it was evaluated there.
- Only the shared block as a whole can be given a meaning, up to an invertible map. A single latent has none of its own.
- What the latents tell is correlation between stimulus and activity, not cause. An attribution says what the model
  relied on, which need not be what the brain relies on.
- Figures of one evaluation hold for its animals and its stimuli, beside their chance and their controls.

## How to load

```python
from nwb_mivae import MiVAE, prepare
from nwb_mivae.clips import ClipsConfiguration
store = prepare(["recording.nwb"], "store", configuration=ClipsConfiguration({frame_size}))
latents = MiVAE.load("this-folder", store).latents(next(iter(store.sessions)))
```

`pip install nwb-mivae` gives what is imported. Loading executes nothing of this folder: `weights.safetensors` holds
numbers, `model.json` what they mean, and weights other than those described are refused.

## Versions
"""
    yield from _versions(description)
    yield ""
    yield _REFERENCE


def _training_data(provenance: Mapping[str, Any]) -> Iterator[str]:
    subjects = _texts(provenance.get("train_subjects", []))
    split = provenance.get("split", {})
    sessions, held_out = (split.get(name, []) for name in ("train_sessions", "held_out_sessions"))
    if not subjects:
        yield "Not recorded."
        return
    yield f"{_count(len(subjects), 'animal')} in {_count(len(sessions), 'session')}: {', '.join(map(_code, subjects))}."
    files = provenance.get("train_files", [])
    dandisets = sorted({dandiset for file in files if (dandiset := _dandiset(file["asset"])) is not None})
    if dandisets:
        yield f"\nFrom {', '.join(dandisets)}."
    unknown = sum(_dandiset(file["asset"]) is None for file in files)
    if unknown:
        yield f"\nNot known to be in the DANDI archive: {_count(unknown, 'file')}."
    if held_out:
        yield f"\nHeld out of training: {_count(len(held_out), 'session')} of other animals."


def _dandiset(asset: str) -> str | None:
    """The dandiset of a pinned address; the server of an archive without a name is not told."""
    from nwb_mivae.archive import parse_address

    try:
        address = parse_address(asset)
    except ArchiveError:
        return None
    version = address.version or "unknown"
    if address.instance in (None, "dandi"):
        return f"[DANDI:{address.dandiset}/{version}](https://dandiarchive.org/dandiset/{address.dandiset}/{version})"
    named = "" if "://" in str(address.instance) else f" {_code(str(address.instance))}"
    return f"dandiset {address.dandiset}, version {version}, of another archive{named}"


def _figures(evaluation: Mapping[str, Any] | None) -> Iterator[str]:
    if evaluation is None:
        # Which is not to say that nobody did: a model that was saved again comes without.
        yield "No figures are recorded."
        return
    yield """\
Top-1 and top-5: in which share of lookups the clip that was shown is found among the test clips, by the shared latents
of the cells; chance is what top-1 is without knowledge. Paired R correlates latents of activity and stimulus of the
same clip, unpaired R of different clips; centred R is paired R without each latent's mean over clips.

| Animals | Condition | Sessions | Top-1 | Chance | Top-5 | Paired R | Unpaired R | Centred R |
|---|---|---|---|---|---|---|---|---|"""
    for group, animals in _GROUPS.items():
        for condition, figures in (evaluation[group] or {}).items():
            shares = [_percent(figures[name]) for name in ("top1", "chance", "top5")]
            correlations = [_number(figures[name]) for name in ("paired_r", "unpaired_r", "centred_r")]
            name = _CONDITIONS.get(condition, _code(str(condition)))
            yield f"| {animals} | {name} | {int(figures['sessions'])} | {' | '.join(shares + correlations)} |"
    verdicts = _texts(evaluation["verdicts"])
    if verdicts:
        yield "\n" + "\n".join(f"- {_plain(verdict)}" for verdict in verdicts)


def _versions(description: ModelDescription) -> Iterator[str]:
    provenance = description.provenance
    packages = provenance.get("packages", {})
    versions = {"nwb_mivae": description.version, "Python": provenance.get("python")}
    versions |= {name: packages.get(name) for name in _PACKAGES}
    yield ", ".join(f"{name} {_plain(str(version))}" for name, version in versions.items() if version) + "."
    if "created" in provenance:
        yield f"Trained {_plain(str(provenance['created']))}."
    yield f"\nSHA-256 of `weights.safetensors`: {_code(description.weights_sha256)}"


def _texts(values: Sequence[Any]) -> list[str]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise TypeError("a list of texts expected")
    return list(values)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _code(text: str) -> str:
    """Somebody else's text on one line, as it is and without a meaning in Markdown."""
    return f"`{' '.join(text.replace('`', chr(39)).split())}`"


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
