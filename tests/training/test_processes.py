"""Training in two processes, as ``torchrun`` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nwb_mivae.clips import ClipStore
from nwb_mivae.model import load_module
from nwb_mivae.run import Run
from nwb_mivae.training import read_training_log

_PROGRAM = """
import hashlib, os, sys
from pathlib import Path
from nwb_mivae.clips import ClipStore
from nwb_mivae.run import Run
from nwb_mivae.training import fit
from tests.tiny_model import tiny_configuration
from tests.tiny_run import tiny_episodes, tiny_split, tiny_training

store = ClipStore.open(sys.argv[1])
module = fit(store, tiny_split(store), Run.at(sys.argv[2]), model=tiny_configuration(loss={"stimulus_private": 0}),
             training=tiny_training(devices=2), episodes=tiny_episodes(sessions_per_step=1, context_dropout=0.5))
digest = hashlib.sha256()
for value in module.state_dict().values():
    digest.update(value.numpy().tobytes())
(Path(sys.argv[2]) / f"digest-{os.environ['RANK']}").write_text(digest.hexdigest())
"""


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_and_one_log(store: ClipStore, tmp_path: Path) -> None:
    """Each draws its own episodes, some of them without context, so that a parameter is used in one of them only."""
    (tmp_path / "program.py").write_text(_PROGRAM)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [*launch, tmp_path / "program.py", store.path, tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = ((tmp_path / "run" / f"digest-{rank}").read_text() for rank in (0, 1))
    assert one == other
    run = Run.at(tmp_path / "run")
    assert [row["step"] for row in read_training_log(run.training_log)] == [1, 2, 3, 4, 5, 6]
    assert load_module(run.model).shape.clip_frames == 8
