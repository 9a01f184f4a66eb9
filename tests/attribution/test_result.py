from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nwb_mivae.attribution import METHODS, MethodAttribution, SessionAttribution
from nwb_mivae.errors import AttributionError

F, N, K, H, W = 6, 4, 2, 3, 5


def attribution() -> SessionAttribution:
    generator = np.random.default_rng(0)

    def maps(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape).astype(np.float32)

    return SessionAttribution(
        session="a",
        methods={
            name: MethodAttribution(
                neurons=maps(F, N), neurons_per_latent=maps(K, N), pixels=maps(F, H, W), pixels_per_latent=maps(K, H, W)
            )
            for name in METHODS
        },
        time=np.arange(F) / 30.0,
        stop_time=np.arange(1, F + 1) / 30.0,
        row=np.arange(F),
        presentation=np.arange(F) + 2,
        clip=np.repeat([0, 1], 3),
        settings={"probes": None, "clips_used": 2},
    )


def test_what_is_saved_is_read_back_equal(tmp_path: Path) -> None:
    saved = attribution()
    saved.save(tmp_path / "a.npz")
    read = SessionAttribution.load(tmp_path / "a.npz")
    assert read.session == "a"
    assert read.settings == saved.settings
    assert list(read.methods) == list(METHODS)
    for name in ("time", "stop_time", "row", "presentation", "clip"):
        np.testing.assert_array_equal(getattr(read, name), getattr(saved, name))
    for name in METHODS:
        for part in ("neurons", "neurons_per_latent", "pixels", "pixels_per_latent"):
            found = getattr(read.methods[name], part)
            np.testing.assert_array_equal(found, getattr(saved.methods[name], part))
            assert found.dtype == np.float32


def test_the_weights_digest_is_kept_and_empty_in_files_that_do_not_say(tmp_path: Path) -> None:
    replace(attribution(), weights_sha256="ab" * 32).save(tmp_path / "new.npz")
    assert SessionAttribution.load(tmp_path / "new.npz").weights_sha256 == "ab" * 32
    with np.load(tmp_path / "new.npz") as arrays:
        header = json.loads(str(arrays["header"]))
        del header["weights_sha256"]
        np.savez(tmp_path / "old.npz", **{**arrays, "header": np.array(json.dumps(header))})
    assert SessionAttribution.load(tmp_path / "old.npz").weights_sha256 == ""


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and then nothing")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    np.savez(tmp_path / "pickle.npz", header=np.array([{"session": "a"}], dtype=object))
    for name in ("missing", "text", "broken", "other", "pickle"):
        with pytest.raises(AttributionError) as refused:
            SessionAttribution.load(tmp_path / f"{name}.npz")
        assert refused.value.file == str(tmp_path / f"{name}.npz")
        assert refused.value.remedy


def test_averages_are_means_of_contributions_with_a_sign_and_root_mean_squares_of_all_else() -> None:
    whole = attribution()
    whole = replace(
        whole,
        presentation=np.array([4, 4, -1, 9, 9, 9]),
        methods={**whole.methods, "fisher": replace(whole.methods["fisher"], signed=False)},
    )
    evidence, score, fisher = (
        whole.methods[name].pixels.astype(np.float64) for name in ("gradient_x_input", "score", "fisher")
    )
    by_clip = whole.per_clip("gradient_x_input", "pixels")
    np.testing.assert_array_equal(by_clip.labels, [0, 1])
    np.testing.assert_allclose(by_clip.values, evidence.reshape(2, 3, H, W).mean(1))
    # The score has a sign, but its mean over frames is that of what pulls both ways.
    np.testing.assert_allclose(
        whole.per_clip("score", "pixels").values, np.sqrt((score.reshape(2, 3, H, W) ** 2).mean(1))
    )
    by_presentation = whole.per_presentation("fisher", "pixels")
    np.testing.assert_array_equal(by_presentation.labels, [4, 9])
    np.testing.assert_allclose(by_presentation.values[1], np.sqrt((fisher[3:] ** 2).mean(0)))
    occlusion = whole.methods["occlusion"].neurons
    np.testing.assert_allclose(whole.per_session("occlusion"), occlusion.mean(0, dtype=np.float64), rtol=1e-6)
    with pytest.raises(AttributionError, match="no attribution by saliency to neurons"):
        whole.per_session("saliency")


def test_maps_of_every_latent_and_what_was_not_asked_for_come_back_as_they_were(tmp_path: Path) -> None:
    empty = np.zeros((F, 0), np.float32), np.zeros((K, 0), np.float32)
    pixels = np.ones((F, H, W), np.float32), np.ones((K, H, W), np.float32)
    maps = MethodAttribution(*empty, *pixels, pixels_by_latent=np.ones((K, F, H, W), np.float32), signed=False)
    replace(attribution(), methods={"fisher": maps}).save(tmp_path / "a.npz")
    found = SessionAttribution.load(tmp_path / "a.npz").methods["fisher"]
    assert found.neurons.shape == (F, 0)
    assert found.neurons_by_latent is None
    assert found.pixels_by_latent is not None
    assert found.pixels_by_latent.shape == (K, F, H, W)
    assert not found.signed
