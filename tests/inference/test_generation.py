"""What one modality says of the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nwb_mivae.inference import generate_frames, generate_traces
from tests.tiny_model import FRAMES, HEIGHT, WIDTH, random_clips, tiny_module


def test_frames_come_from_activity_alone() -> None:
    module, clips = tiny_module(), random_clips(3, 5)
    frames = generate_frames(module, clips, None)
    assert frames.shape == (3, FRAMES, 1, HEIGHT, WIDTH)
    assert not frames.requires_grad
    assert frames.min() >= 0
    assert frames.max() <= 1
    other_stimulus = replace(clips, stimulus=1 - clips.stimulus)
    assert torch.equal(generate_frames(module, other_stimulus, None), frames)
    other_activity = replace(clips, neural=-clips.neural)
    assert not torch.equal(generate_frames(module, other_activity, None), frames)


@pytest.mark.parametrize("trace_kind", ["dff", "spikes"])
def test_traces_come_from_frames_and_the_animals_state_alone(trace_kind: str) -> None:
    module, clips = tiny_module(trace_kind=trace_kind), random_clips(3, 5)
    traces = generate_traces(module, clips, None)
    assert traces.shape == (3, FRAMES, 5)
    assert not traces.requires_grad
    assert torch.equal(generate_traces(module, replace(clips, neural=-clips.neural), None), traces)
    assert not torch.equal(generate_traces(module, replace(clips, stimulus=1 - clips.stimulus), None), traces)
    assert not torch.equal(generate_traces(module, replace(clips, auxiliary=clips.auxiliary + 1), None), traces)
    order = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(generate_traces(module, clips.of_cells(order), None), traces[:, :, order])
    if trace_kind == "spikes":
        assert (traces > 0).all()


def test_context_tells_neurons_apart_that_coordinates_do_not() -> None:
    module, clips = tiny_module(), random_clips(6, 5)
    clips = replace(clips, coordinates=torch.full((5, 3), torch.nan))
    assert generate_traces(module, clips, None).std(-1).max() < 1e-5
    context = module.make_context(clips.neural, module.stimulus_features(clips.stimulus)).detach()
    assert generate_traces(module, clips, context).std(-1).max() > 1e-3
    assert not torch.equal(generate_frames(module, clips, context), generate_frames(module, clips, None))
