from __future__ import annotations

from pathlib import Path

from nwb_mivae.pipeline.searching import search_nwb


def test_files_and_zarr_folders_are_found_and_nothing_hidden_or_twice(tmp_path: Path) -> None:
    for name in ("b.nwb", "a/c.nwb", "a/.hidden.nwb", ".git/annex/d.nwb", "a/z.nwb.zarr/inside.nwb", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    # Followed, this would lead around for ever.
    (tmp_path / "a" / "around").symlink_to(tmp_path)
    assert search_nwb(tmp_path) == [tmp_path / name for name in ("a/c.nwb", "a/z.nwb.zarr", "b.nwb")]
    assert search_nwb(tmp_path / "absent") == []
