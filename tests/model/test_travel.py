"""A model folder goes where somebody takes it, and is loaded there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from nwb_mivae import MiVAE
from nwb_mivae.model import save_module, weights_digest, write_card
from tests.tiny_model import tiny_module


@pytest.mark.parametrize("way", ["zip", "gztar", "copied", "moved", "through a link"])
def test_a_model_is_loaded_wherever_its_folder_was_taken(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there, with a blank" / "modèle"
    there.parent.mkdir()
    save_module(tiny_module(seed=4), here, provenance={"train_subjects": ["mouse"]})
    digest = weights_digest(here)
    if way in ("zip", "gztar"):
        packed = shutil.make_archive(str(tmp_path / "packed"), way, here)
        shutil.unpack_archive(packed, there, way, filter="data" if way == "gztar" else None)
    elif way == "copied":
        shutil.copytree(here, there)
    elif way == "moved":
        shutil.move(here, there)
    else:
        there.symlink_to(here, target_is_directory=True)
    if way != "through a link":
        shutil.rmtree(here, ignore_errors=True)
    # What others lay beside it does not matter, nor from where it is named.
    (there / "LICENSE").write_text("CC0")
    monkeypatch.chdir(there.parent)
    model = MiVAE.load("modèle")
    assert weights_digest(there) == digest
    for name, value in tiny_module(seed=4).state_dict().items():
        assert torch.equal(model.module.state_dict()[name], value)
    write_card(there)
    model.save(tmp_path / "again")
    assert weights_digest(tmp_path / "again") == digest
    assert (tmp_path / "again" / "README.md").read_text() == (there / "README.md").read_text()
