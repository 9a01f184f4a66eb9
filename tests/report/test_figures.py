from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from nwb_mivae.report import figures

RANDOM = np.random.default_rng(0)


def drawn(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=40)
    return stream.getvalue()


def test_figures_keep_no_global_state():
    drawn(figures.similarity_matrix(np.eye(4), "a"))
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_loss_curves_have_one_panel_per_column_and_leave_gaps_out():
    figure = figures.loss_curves(
        {
            "step": [1, 2, 3],
            "total": [3.0, 2.0, 1.0],
            "kl": [0.1, np.nan, 0.2],
            "validation_total": [np.nan] * 2 + [1.0],
        }
    )
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["total", "kl", "validation total"]
    assert list(figure.axes[1].lines[0].get_xdata()) == [1, 3]
    assert drawn(figure)


def test_a_dollar_in_a_name_is_a_dollar():
    assert drawn(figures.similarity_matrix(np.eye(3), r"sub-$\frac{"))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_similarity_can_be_drawn(value: float):
    assert drawn(figures.similarity_matrix(np.full((3, 3), value), "a"))


def test_retrieval_bars_show_chance_and_say_what_was_not_measured():
    figure = figures.retrieval_bars(
        {"a": {"with_context": {"top1": 0.5}, "untrained": {"top1": None}}, "b": {"with_context": {"top1": 0.25}}}, 0.1
    )
    (panel,) = figure.axes
    texts = [text.get_text() for text in panel.texts]
    assert "50 %" in texts
    assert "not measured" in texts
    assert panel.lines[0].get_xdata()[0] == pytest.approx(10)
    assert drawn(figure)


def test_latents_beside_stimulus_marks_where_time_jumps():
    figure = figures.latents_beside_stimulus(
        RANDOM.normal(size=(20, 3)),
        RANDOM.normal(size=(20, 3)),
        np.zeros((2, 8, 12), np.uint8),
        np.array([4, 14]),
        np.array([10]),
        10.0,
        "a",
    )
    marked = [panel for panel in figure.axes if panel.lines]
    assert len(marked) == 2
    assert all(panel.lines[0].get_xdata()[0] == pytest.approx(1.0) for panel in marked)
    assert drawn(figure)


def test_every_figure_can_be_had_from_here():
    assert all(callable(getattr(figures, name)) for name in figures.__all__ if name != "CONDITION_COLOURS")


def test_drawing_a_figure_loads_neither_torch_nor_pynwb():
    program = "import sys\nfrom nwb_mivae.report import figures\nassert not {'torch', 'pynwb'} & {*sys.modules}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
