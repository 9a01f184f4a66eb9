from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nwb_mivae.clips import ClipsConfiguration, ClipStore, Split, SplitConfiguration, make_split
from nwb_mivae.errors import EvaluationError
from nwb_mivae.evaluation import CONDITIONS, Evaluation, EvaluationConfiguration, evaluate
from nwb_mivae.evaluation.embedding import StimulusEmbedding, untrained_module
from nwb_mivae.inference.latents import BLOCKS
from nwb_mivae.model import MiVAEModule, ModuleShape
from tests.clip_stores import ArrayTemplate, aligned_session, make_store, smooth_movie, write_store
from tests.tiny_model import HEIGHT, WIDTH, tiny_configuration

QUICK = EvaluationConfiguration(control_draws=2, pair_shuffles=3, untrained_context_clips=8)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    path = tmp_path_factory.mktemp("stores") / "store"
    return make_store(
        path, sessions=3, cells=(8, 12, 10), seconds=32, height=HEIGHT, width=WIDTH, movie_frames=32, repeats=2
    )


@pytest.fixture(scope="module")
def split(store: ClipStore) -> Split:
    return make_split(store, SplitConfiguration(held_out=1))


def module_for(store: ClipStore, *, seed: int = 0, **changes: object) -> MiVAEModule:
    session = next(iter(store.sessions.values()))
    shape = ModuleShape(
        height=HEIGHT,
        width=WIDTH,
        n_auxiliary=session.auxiliary.shape[1],
        trace_kind="dff",
        frame_rate=30.0,
        clip_frames=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MiVAEModule(tiny_configuration(**changes), shape)


@pytest.fixture(scope="module")
def evaluation(store: ClipStore, split: Split) -> Evaluation:
    return evaluate(module_for(store), store, split, configuration=QUICK, seed=1)


def test_every_session_is_judged_under_every_condition(evaluation: Evaluation, store: ClipStore, split: Split) -> None:
    assert set(evaluation.sessions) == set(store.sessions)
    for key, session in evaluation.sessions.items():
        assert session["held_out"] == (key in split.held_out_sessions)
        assert session["n_cells"] == store.sessions[key].n_cells
        assert tuple(session["conditions"]) == CONDITIONS
        for figures in session["conditions"].values():
            assert figures["chance"] == pytest.approx(1 / figures["n_clips"])
            assert 0 <= figures["top1"] <= figures["top5"] <= 1


def test_repeats_of_a_clip_are_one_candidate(evaluation: Evaluation, store: ClipStore, split: Split) -> None:
    for key, session in evaluation.sessions.items():
        starts = split.clip_starts(store.sessions[key], "test", n_frames=8, stride=8)
        n_clips = session["conditions"]["with_context"]["n_clips"]
        assert n_clips == len(starts) // 2
        assert np.shape(next(iter(evaluation.similarity.values()))) == (n_clips, n_clips)


def test_the_result_is_plain_finite_json_and_survives_a_file(evaluation: Evaluation, tmp_path: Path) -> None:
    text = json.dumps(evaluation.as_dict(), allow_nan=False)
    evaluation.save(tmp_path / "evaluation.json")
    assert json.loads(text) == Evaluation.load(tmp_path / "evaluation.json").as_dict()


def test_the_summary_is_the_mean_over_the_sessions_of_a_group(evaluation: Evaluation) -> None:
    trained = [each["conditions"] for each in evaluation.sessions.values() if not each["held_out"]]
    for condition in CONDITIONS:
        means = evaluation.summary["trained"][condition]
        expected = np.mean([conditions[condition]["top1"] for conditions in trained])
        assert means["top1"] == pytest.approx(expected)
        assert means["ratio_to_chance"] == pytest.approx(expected / means["chance"])
        assert means["sessions"] == 2
    assert evaluation.summary["held_out"]["with_context"]["sessions"] == 1
    assert all(isinstance(sentence, str) for sentence in evaluation.summary["verdicts"])


def test_animals_that_saw_the_same_clips_are_compared(evaluation: Evaluation, split: Split) -> None:
    assert len(evaluation.across) == 3
    for pair in evaluation.across:
        assert pair["held_out"] == bool({pair["a"], pair["b"]} & set(split.held_out_sessions))
        assert pair["n_clips"] > 1
    assert evaluation.summary["across"]["held_out"]["pairs"] == 2


def test_active_units_are_counted_for_every_block(evaluation: Evaluation) -> None:
    assert set(evaluation.active_units) == set(BLOCKS)


def test_the_same_seed_gives_the_same_figures_in_any_batching_and_leaves_no_trace(
    store: ClipStore, split: Split, evaluation: Evaluation
) -> None:
    module = module_for(store).train()
    state = torch.random.get_rng_state()
    small = QUICK.model_copy(update={"clips_at_once": 3})
    again = evaluate(module, store, split, configuration=small, seed=1)
    assert module.training
    assert torch.equal(state, torch.random.get_rng_state())
    for key, session in again.sessions.items():
        for condition, figures in session["conditions"].items():
            before = evaluation.sessions[key]["conditions"][condition]
            assert figures["top1"] == pytest.approx(before["top1"], abs=0.15)
            assert figures["paired_r"] == pytest.approx(before["paired_r"], abs=1e-4)
            assert figures["centred_r"] == pytest.approx(before["centred_r"], abs=1e-3)


def test_a_design_that_reads_no_context_scores_the_same_with_and_without(store: ClipStore, split: Split) -> None:
    conditions = evaluate(module_for(store, population="coordinates"), store, split, configuration=QUICK).sessions[
        split.held_out_sessions[0]
    ]["conditions"]
    assert conditions["with_context"] == conditions["without_context"]
    assert conditions["permuted_neurons"] != conditions["with_context"]
    assert conditions["untrained_readout"]["top1"] is None


def test_regression_to_untrained_features_is_a_control_that_finds_clips_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neurons that carry the features of an untrained encoder: its latents are at chance, the regression is not."""
    fixed = module_for(make_store(tmp_path / "any", seconds=8, height=HEIGHT, width=WIDTH, movie_frames=32), seed=7)
    random = np.random.default_rng(0)
    templates = [ArrayTemplate(f"movie-{k}", smooth_movie(random, 32, HEIGHT, WIDTH)) for k in range(30)]
    session = aligned_session("one", templates, range(30), cells=20, seed=0)
    # In the clips that will be asked for: features depend on where in its clip a frame stands.
    frames = np.stack([template.frames for template in templates]).reshape(-1, 8, 1, HEIGHT, WIDTH) / np.float32(255)
    with torch.no_grad():
        features = fixed.eval().stimulus_features(torch.from_numpy(frames)).numpy().reshape(-1, 6)
    features = (features - features.mean(0)) / features.std(0)
    carried = features @ random.standard_normal((6, 20)) + 0.1 * random.standard_normal((960, 20))
    store = write_store(
        tmp_path / "store",
        [dataclasses.replace(session, neural=carried.astype(np.float32))],
        ClipsConfiguration(height=HEIGHT, width=WIDTH),
    )
    monkeypatch.setattr("nwb_mivae.evaluation.protocol.untrained_module", lambda *_: fixed)
    settings = EvaluationConfiguration(control_draws=1, pair_shuffles=3)
    found = evaluate(module_for(store), store, make_split(store), configuration=settings).summary["trained"]
    assert found["untrained_readout"]["top1"] > 5 * found["untrained_readout"]["chance"]
    assert found["untrained"]["top1"] < 3 * found["untrained"]["chance"]


def test_an_encoder_that_gives_every_clip_one_latent_scores_chance_and_no_more(store: ClipStore, split: Split) -> None:
    module = module_for(store)
    with torch.no_grad():
        for head in (module.neural_shared, module.stimulus_encoder.shared):
            head.weight.zero_()
    figures = evaluate(module, store, split, configuration=QUICK)
    for session in figures.sessions.values():
        with_context = session["conditions"]["with_context"]
        assert with_context["top1"] == pytest.approx(with_context["chance"])
        assert with_context["paired_r"] is None or abs(with_context["paired_r"]) <= 1
        assert with_context["centred_r"] is None
    assert figures.active_units["neural_shared"] == figures.active_units["stimulus_shared"] == 0
    assert "; at chance." in figures.summary["verdicts"][0]


def test_fewer_clips_are_taken_where_asked(store: ClipStore, split: Split) -> None:
    few = evaluate(
        module_for(store),
        store,
        split,
        configuration=QUICK.model_copy(update={"clips": 3, "distance": "centred_cosine"}),
    )
    assert few.n_clips <= 3
    assert few.settings["configuration"]["distance"] == "centred_cosine"


def test_without_held_out_animals_the_trained_ones_are_judged(store: ClipStore, split: Split) -> None:
    all_trained = dataclasses.replace(split, train_sessions=tuple(store.sessions), held_out_sessions=())
    told: list[tuple[str, int, int]] = []
    found = evaluate(
        module_for(store),
        store,
        all_trained,
        configuration=QUICK,
        progress=lambda description, done, total: told.append((description, done, total)),
    )
    assert found.summary["held_out"] is None
    assert found.summary["trained"]["with_context"]["sessions"] == 3
    assert found.summary["across"]["held_out"] is None
    assert "No session of an animal held out could be evaluated." in found.summary["verdicts"]
    assert list(found.similarity) == [next(iter(store.sessions))]
    assert told[-1][1] == told[-1][2] == 3


def test_sessions_without_test_clips_are_left_out_and_named(store: ClipStore, split: Split) -> None:
    only = split.held_out_sessions[0]
    hidden = store.sessions[only].content
    part = split.part_of_content.copy()
    part[hidden[part[hidden] == 2]] = 0
    # All animals saw the same movies, so nothing is left to test on anywhere.
    with pytest.raises(EvaluationError, match="fewer than two different test clips") as refused:
        evaluate(module_for(store), store, dataclasses.replace(split, part_of_content=part), configuration=QUICK)
    assert refused.value.remedy


def test_a_session_shorter_than_a_clip_is_left_out_and_the_others_are_judged(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    movies = [ArrayTemplate(f"movie-{n}", smooth_movie(generator, 32, HEIGHT, WIDTH)) for n in range(10)]
    sessions = [aligned_session(f"session-{n}", movies, range(10), cells=6, seed=n) for n in range(2)]
    # One frame in four of the second session is of unknown activity, so that no clip of eight frames is whole.
    sessions[1].valid[::4] = False
    store = write_store(tmp_path / "store", sessions, ClipsConfiguration(height=HEIGHT, width=WIDTH))
    split = make_split(store, SplitConfiguration(held_out=0))
    found = evaluate(module_for(store), store, split, configuration=QUICK)
    assert list(found.sessions) == ["session-0"]
    assert found.across == []
    assert found.summary["verdicts"][-1] == "Left out for having fewer than two different test clips: session-1."


def test_similarity_is_thinned_where_there_are_more_clips_than_one_can_look_at(
    store: ClipStore, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nwb_mivae.evaluation.protocol._SIMILARITY_CLIPS", 5)
    found = evaluate(module_for(store), store, split, configuration=QUICK)
    assert found.n_clips > 5
    assert np.shape(found.similarity[split.held_out_sessions[0]]) == (5, 5)


def test_a_single_neuron_cannot_be_permuted(tmp_path: Path) -> None:
    store = make_store(
        tmp_path / "store", sessions=1, cells=(1,), seconds=12, height=HEIGHT, width=WIDTH, movie_frames=32
    )
    split = make_split(store, SplitConfiguration(by="presentation", held_out=0))
    found = evaluate(module_for(store), store, split, configuration=QUICK)
    (session,) = found.sessions.values()
    assert session["conditions"]["permuted_neurons"]["top1"] is None
    assert found.summary["trained"]["permuted_neurons"]["ratio_to_chance"] is None
    assert not found.content_disjoint
    assert any("seen in training" in sentence for sentence in found.summary["verdicts"])
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_untrained_control_has_other_weights_and_the_same_shape(store: ClipStore) -> None:
    module = module_for(store)
    fresh, again, other = (untrained_module(module, seed) for seed in (3, 3, 4))
    assert fresh.configuration == module.configuration
    weights = [each.neural_shared.weight for each in (fresh, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_untrained_control_keeps_a_front_end_and_does_not_begin_with_the_closed_form(store: ClipStore) -> None:
    module = module_for(store, stimulus_encoder="front_end")
    module.begin_with_closed_form()
    fresh = untrained_module(module, 3)
    assert module.front_end is not None
    assert fresh.front_end is not None
    assert torch.equal(fresh.front_end.basis, module.front_end.basis)
    assert (module.neural_shared.bias == 0).all()
    assert (fresh.neural_shared.bias != 0).any()


def test_sessions_sharing_clips_pay_once_for_their_stimuli(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_for(store)
    encoded: list[int] = []
    encode = module.encode_stimulus

    def counted(stimulus: torch.Tensor) -> object:
        encoded.append(len(stimulus))
        return encode(stimulus)

    monkeypatch.setattr(module, "encode_stimulus", counted)
    embedding = StimulusEmbedding(module)
    content = np.arange(24).reshape(3, 8)
    stimulus = torch.rand(3, 8, 1, HEIGHT, WIDTH)
    with torch.no_grad():
        embedding.add(content, stimulus)
        embedding.add(content[[2, 0]], stimulus[[2, 0]])
        assert sum(encoded) == 3
        expected = encode(stimulus[[1]]).shared.mean.numpy()
    np.testing.assert_allclose(embedding.shared(content[[1]]).mean, expected, atol=1e-5)
