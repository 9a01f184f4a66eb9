"""Weights on disk: bit for bit, and refused where they are not what they say."""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import resource
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from nwb_mivae.errors import ModelError, OutputError
from nwb_mivae.model import load_module, module_digest, save_module, weights_digest
from nwb_mivae.model.configuration import Population
from tests.tiny_model import random_episode, tiny_module

_SHAPE = {"height": 12, "width": 16, "n_auxiliary": 2, "trace_kind": "dff", "frame_rate": 30.0, "clip_frames": 8}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_module(tiny_module(), tmp_path / "model", provenance={"why": "a test"})
    return tmp_path / "model"


def _change_description(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))


@pytest.mark.parametrize("population", ["contextual", "coordinates", "pooled"])
def test_what_is_loaded_is_what_was_saved_bit_for_bit(tmp_path: Path, population: Population) -> None:
    module = tiny_module(population=population, trace_kind="spikes", seed=3)
    save_module(module, tmp_path / "model")
    loaded = load_module(tmp_path / "model")
    assert loaded.configuration == module.configuration
    assert loaded.shape == module.shape
    assert not loaded.training
    state = loaded.state_dict()
    assert list(state) == list(module.state_dict())
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    episode = random_episode(counts=True)
    with torch.no_grad():
        assert torch.equal(loaded.loss([episode]).total, module.loss([episode]).total)


def test_the_folder_holds_tensors_and_json_and_no_pickle(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"weights.safetensors", "model.json", "README.md"}
    description = json.loads((folder / "model.json").read_text())
    assert description["provenance"] == {"why": "a test"}
    assert description["weights_sha256"] == weights_digest(folder)
    for path in folder.iterdir():
        with pytest.raises((ValueError, IndexError)):
            list(pickletools.genops(path.read_bytes()))


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="other than a model"):
        save_module(tiny_module(), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    save_module(tiny_module(), tmp_path / "empty")


def test_saving_again_replaces_the_folder_as_a_whole(folder: Path) -> None:
    (folder / "stale").write_text("left over")
    before = weights_digest(folder)
    save_module(tiny_module(seed=1), folder)
    assert weights_digest(folder) != before
    assert {path.name for path in folder.iterdir()} == {"weights.safetensors", "model.json", "README.md"}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_missing_or_incomplete_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained model") as refusal:
        load_module(tmp_path / "nowhere")
    assert refusal.value.file == str(tmp_path / "nowhere")
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="no trained model"):
        load_module(folder)


def test_a_description_that_is_not_json_is_refused(folder: Path) -> None:
    (folder / "model.json").write_text("{")
    with pytest.raises(ModelError):
        load_module(folder)


def test_one_changed_bit_is_refused(folder: Path) -> None:
    path = folder / "weights.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match="not the ones described"):
        load_module(folder)


def test_weights_of_another_model_are_refused_even_with_the_right_digest(folder: Path, tmp_path: Path) -> None:
    save_module(tiny_module(hidden_size=24), tmp_path / "other")
    other = (tmp_path / "other" / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(other)
    _change_description(folder, weights_sha256=weights_digest(folder))
    with pytest.raises(ModelError, match="do not fit"):
        load_module(folder)
    (folder / "weights.safetensors").write_bytes(other[: len(other) // 2])
    _change_description(folder, weights_sha256=weights_digest(folder))
    with pytest.raises(ModelError, match="do not fit"):
        load_module(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 1},
        {"format": 3},
        {"format": None},
        {"shape": None},
        {"shape": {"height": 12}},
        {"shape": [1, 2]},
        {"configuration": None},
        {"configuration": {"unheard_of": 1}},
        {"configuration": 3},
        {"configuration": {"shared_latents": [1, 2]}},
        {"configuration": {"shared_latents": "many"}},
        {"configuration": {"hidden_size": 10**30}},
        {"configuration": {"hidden_size": 10**12}},
        {"configuration": {"fingerprint_lags": [1e308]}},
        {"shape": _SHAPE | {"height": "12"}},
        {"shape": _SHAPE | {"height": True}},
        {"shape": _SHAPE | {"height": -12}},
        {"shape": _SHAPE | {"width": 10**18}},
        {"shape": _SHAPE | {"frame_rate": float("nan")}},
        {"shape": _SHAPE | {"frame_rate": 0}},
        {"shape": _SHAPE | {"trace_kind": ["dff"]}},
        {"provenance": {"train_subjects": 5}},
        {"provenance": {"train_subjects": [["mouse"]]}},
        {"provenance": {"train_files": "a.nwb"}},
        {"shape": _SHAPE | {"trace_kind": "voltage"}},
        {"shape": _SHAPE | {"more": 1}},
        {"weights_sha256": 7},
        {"nwb_mivae": None},
        {"provenance": ["a", "list"]},
    ],
)
def test_descriptions_of_other_versions_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    _change_description(folder, **changes)
    with pytest.raises(ModelError) as refusal:
        load_module(folder)
    assert refusal.value.file == str(folder)
    assert refusal.value.object_path == "model.json"
    assert refusal.value.remedy


def _stand_in(folder: Path, weights: bytes) -> None:
    """Put other bytes in the weights' place, under the right digest: only what is inside can be refused."""
    (folder / "weights.safetensors").write_bytes(weights)
    _change_description(folder, weights_sha256=weights_digest(folder))


class _Executed:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.abort, ())


@pytest.mark.parametrize("damage", ["pickle", "torch", "empty", "truncated", "longer", "header", "no tensors"])
def test_what_is_no_file_of_the_described_tensors_is_refused(folder: Path, damage: str) -> None:
    whole = (folder / "weights.safetensors").read_bytes()
    if damage == "torch":
        torch.save({"a": torch.zeros(3)}, folder / "weights.safetensors")
    stands_in = {
        "pickle": pickle.dumps(_Executed()),
        "torch": (folder / "weights.safetensors").read_bytes(),
        "empty": b"",
        "truncated": whole[:-100],
        "longer": whole + b"more",
        # A header that claims to be almost as long as memory can be addressed.
        "header": (2**63 - 1).to_bytes(8, "little") + whole[8:],
        "no tensors": (2).to_bytes(8, "little") + b"{}",
    }
    _stand_in(folder, stands_in[damage])
    with pytest.raises(ModelError, match="do not fit") as refusal:
        load_module(folder)
    assert refusal.value.file == str(folder / "weights.safetensors")
    assert refusal.value.remedy


def test_tensors_of_the_right_size_and_another_name_shape_or_type_are_refused(folder: Path) -> None:
    from safetensors.torch import load_file, save

    tensors = load_file(folder / "weights.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    rest = {other: tensor for other, tensor in tensors.items() if other != name}
    for wrong in (
        rest | {name.replace("weight", "waight"): tensors[name]},
        rest | {name: tensors[name].T.contiguous()},
        rest | {name: tensors[name].view(torch.int32)},
    ):
        _stand_in(folder, save(wrong))
        with pytest.raises(ModelError, match="do not fit"):
            load_module(folder)
    _stand_in(folder, save(tensors))
    load_module(folder)


def test_weights_of_another_model_of_the_same_shape_are_refused(folder: Path, tmp_path: Path) -> None:
    save_module(tiny_module(seed=7), tmp_path / "other")
    (tmp_path / "other" / "weights.safetensors").replace(folder / "weights.safetensors")
    with pytest.raises(ModelError, match="not the ones described"):
        load_module(folder)


def test_a_model_that_claims_to_be_huge_takes_no_memory(folder: Path) -> None:
    configuration = json.loads((folder / "model.json").read_text())["configuration"]
    _change_description(folder, configuration=configuration | {"hidden_size": 200_000, "descriptor_size": 200_000})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match="do not fit"):
        load_module(folder)
    # Half a terabyte of weights by its own account; KiB on Linux.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": 2, "shape": NaN}', "\x00", "", '"\\ud800"', "9" * 5000])
def test_odd_texts_in_place_of_the_description_are_refused(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    with pytest.raises(ModelError) as refusal:
        load_module(folder)
    assert refusal.value.object_path == "model.json"


def test_a_description_of_gigabytes_is_refused_unread(folder: Path) -> None:
    with (folder / "model.json").open("r+b") as stream:
        stream.truncate(3 * 2**30)
    with pytest.raises(ModelError, match="a description of 3221225472 bytes"):
        load_module(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_links_pipes_and_folders_in_place_of_files_are_refused(
    folder: Path, tmp_path: Path, name: str, kind: str
) -> None:
    path = folder / name
    path.rename(tmp_path / name)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / (name if kind == "link" else "nothing"))
    with pytest.raises(ModelError, match="a link to elsewhere" if "link" in kind else "no file") as refusal:
        load_module(folder)
    assert refusal.value.file == str(path)
    if name == "weights.safetensors":
        with pytest.raises(ModelError):
            weights_digest(folder)


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_files_may_be_read_by_whom_the_umask_says(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        save_module(tiny_module(), tmp_path / "model")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "model").iterdir()}
    assert modes == dict.fromkeys(("weights.safetensors", "model.json", "README.md"), 0o666 & ~mask)


def test_a_module_has_the_digest_it_would_be_saved_with(folder: Path) -> None:
    module = load_module(folder)
    assert module_digest(module) == weights_digest(folder)
    with torch.no_grad():
        next(module.parameters()).add_(1.0)
    assert module_digest(module) != weights_digest(folder)
