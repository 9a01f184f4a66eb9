"""The benchmark of default settings: what is there is not made again, and the page shows what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nwb_mivae.outputs import read_json, write_json
from tests.benchmarks.defaults import __main__ as benchmark
from tests.benchmarks.defaults.kinds import KINDS
from tests.benchmarks.defaults.measure import settings_of
from tests.benchmarks.defaults.page import page


def _made(name: str, encoder: str, seed: int, top1: float = 0.5) -> dict[str, Any]:
    """A result as ``figures`` gives it, with numbers of no meaning."""
    conditions = ("with_context", "untrained_readout", "without_context", "untrained", "shuffled_pairs")
    retrieval = {condition: {"top1": top1, "chance": 0.02} for condition in (*conditions, "permuted_neurons")}
    return {
        "configuration": settings_of(KINDS[name], encoder, seed),
        "data": {"digest": f"digest of {name}", "context_frames": 4608, "content_disjoint": True},
        "loss": {"first": 3.0, "last": 1.0},
        "readout": {"training": "primal", "inference": "dual", "penalty_first": 2.0, "penalty_last": 2.5},
        "finite": True,
        "retrieval": {"held_out": retrieval, "trained": retrieval},
        "by_cosine": {when: {"held_out": top1, "trained": top1} for when in ("trained", "at_first")},
        "clips": 60,
        "active_units": {"neural_shared": 32},
        "cost": {"seconds_per_step": 0.2, "training_mebibytes": 600.0, "evaluation_mebibytes": 700.0},
        "provenance": {"platform": "a machine", "python": "3.11", "packages": {"torch": "2"}},
    }


def test_what_is_there_is_not_made_again_unless_its_settings_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def in_place(_: Any, name: str, encoder: str, seed: int, data: Path) -> dict[str, Any]:
        calls.append((name, seed, data.name))
        return _made(name, encoder, seed)

    monkeypatch.setattr(benchmark, "in_child", in_place)
    arguments = ["--kinds", "few_cells", "spikes", "--seeds", "0", "1", "--out", str(tmp_path / "out")]
    benchmark.main(arguments)
    assert calls == [(name, seed, name) for name in ("few_cells", "spikes") for seed in (0, 1)]
    benchmark.main(arguments)
    assert len(calls) == 4
    path = tmp_path / "out" / "spikes-front_end-1.json"
    known = read_json(path)
    write_json(path, known | {"configuration": known["configuration"] | {"code": "older"}})
    benchmark.main([*arguments, "--page", str(tmp_path / "page.md")])
    assert calls[4:] == [("spikes", 1, "spikes")]
    assert "20 cells" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_the_page_has_a_row_for_every_kind_with_controls_and_spread() -> None:
    results = [_made("spikes", "front_end", seed, 0.5 + 0.2 * seed) for seed in (0, 1)]
    results.append(_made("few_cells", "convolutional", 0))
    text = page(results)
    assert "0.60 ± 0.14" in text
    assert text.index("## Stimulus encoder `front_end`") < text.index("## Stimulus encoder `convolutional`")
    assert "control: shuffled pairs" in text
    assert "digest of sp" in text
    assert "**Not measured yet**: `ordinary`, `many_cells`" in text
    assert "primal / dual" in text
    # One seed beside two: the row says how many by having no spread.
    assert "| 20 cells | 0.50 |" in text


def test_the_page_says_where_something_was_not_finite_or_of_other_code() -> None:
    result = _made("spikes", "front_end", 0) | {"finite": False}
    other = _made("few_cells", "front_end", 0)
    other["configuration"]["code"] = "older code digest"
    text = page([result, other])
    assert "**no**" in text
    assert "Not all figures are of the same code" in text


def test_a_folder_of_other_recordings_is_refused(tmp_path: Path) -> None:
    from tests.benchmarks.defaults.recordings import material

    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "manifest.json").write_text("{}", encoding="utf-8")
    (tmp_path / "kind.txt").write_text("another kind", encoding="utf-8")
    with pytest.raises(ValueError, match="other settings"):
        material(KINDS["spikes"], tmp_path, n_frames=16)
