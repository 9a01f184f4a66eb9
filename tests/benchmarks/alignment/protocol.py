"""One design, one seed: trained, and judged against the truth, the ideal observer and its controls."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from nwb_mivae.clips import EpisodeConfiguration, load_clips
from nwb_mivae.evaluation import CONDITIONS, EvaluationConfiguration, evaluate, metrics
from nwb_mivae.evaluation.conditions import Posterior, condition_metrics, mean_metrics
from nwb_mivae.evaluation.embedding import Population as Reading
from nwb_mivae.evaluation.embedding import StimulusEmbedding, embed_session, untrained_module
from nwb_mivae.inference import session_context
from nwb_mivae.model import load_module, weights_digest
from nwb_mivae.outputs import read_json, whole_file, write_json
from nwb_mivae.provenance import provenance_record
from nwb_mivae.run import Run
from nwb_mivae.training import TrainingConfiguration, fit
from tests.benchmarks.alignment.animals import animals_alone
from tests.benchmarks.alignment.code import JUDGING, TRAINING, code_digest
from tests.benchmarks.alignment.decoding import decoding, judged_sessions
from tests.benchmarks.alignment.designs import configuration_of
from tests.benchmarks.alignment.encoding import clips_of, encoded
from tests.benchmarks.alignment.generation import (
    generated_by_model,
    generated_for_other_clips,
    generation_figures,
    true_generation,
)
from tests.benchmarks.alignment.identification import likeness
from tests.benchmarks.alignment.true_factors import true_factors

if TYPE_CHECKING:
    from nwb_mivae.clips import Split
    from nwb_mivae.evaluation import Evaluation
    from nwb_mivae.model import MiVAEModule
    from tests.benchmarks.alignment.scales import Material

__all__ = ["Settings", "clips_in", "judge", "likeness_of_runs", "retrieval_summary", "trained_module"]

_FIGURES = ("top1", "top5", "chance", "paired_r", "unpaired_r", "centred_r")
_SHARED = ("neural_shared", "stimulus_shared")


class Settings:
    """What a design and a seed are trained and judged with, in JSON-able form as well.

    ``steps`` overrides those of the scale; ``training_clips`` is the limit of the scaling curve.
    """

    def __init__(
        self,
        given: Material,
        design: str,
        seed: int,
        *,
        steps: int | None = None,
        animals: int | None = None,
        training_clips: int | None = None,
    ) -> None:
        scale = given.scale
        self.design = design
        self.seed = seed
        self.animals = scale.trained if animals is None else animals
        self.model = configuration_of(design)
        self.training = TrainingConfiguration(
            steps=scale.steps if steps is None else steps, seed=seed, validation_clips=0
        )
        default = EpisodeConfiguration(clip_frames=scale.clip_frames, training_clips=training_clips)
        # As many clips a step however many animals there are, so that only the data differ.
        together = default.sessions_per_step * default.clips_per_session
        per_session = together // min(default.sessions_per_step, self.animals)
        self.episodes = default.model_copy(update={"clips_per_session": per_session})
        self.evaluation = EvaluationConfiguration(clips=scale.test_clips, control_draws=scale.control_draws)
        self.scale = scale

    def as_dict(self) -> dict[str, Any]:
        """Everything a result depends on but the data."""
        return {
            "design": self.design,
            "seed": self.seed,
            "animals": self.animals,
            "scale": json.loads(json.dumps(self.scale.as_dict())),
            **{
                name: getattr(self, name).model_dump(mode="json")
                for name in ("model", "training", "episodes", "evaluation")
            },
        }


def judge(given: Material, settings: Settings, folder: Path, *, note: Callable[[str], None] = print) -> dict[str, Any]:
    """Train into ``folder/runs``, judge, and return everything as JSON-able values.

    A model that is there, of the same settings and data, is not trained again.
    """
    split = given.trained_on(settings.animals)
    seconds: dict[str, float] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        note(f"{given.scale.name}, {settings.design}, seed {settings.seed}: {name}")
        begin = time.perf_counter()
        yield
        seconds[name] = round(time.perf_counter() - begin, 1)

    with step("animals alone"):
        factors = true_factors(given, folder / "cache")
        alone = animals_alone(given, factors, folder / "cache")
        observer = alone["ideal_observer"]
    with step("training"):
        module, run, trained_in = trained_module(given, split, settings, folder)
    # Of the training itself, which may have been an earlier one.
    seconds["training"] = trained_in
    with torch.no_grad():
        with step("retrieval"):
            evaluation = evaluate(
                module,
                given.store,
                split,
                configuration=settings.evaluation,
                seed=settings.seed,
                weights_sha256=weights_digest(run.model),
            )
        with step("minutes of context"):
            minutes = _by_minutes(module, given, split, settings)
        with step("true factors"):
            decoded = decoding(module, given, split, factors, seed=settings.seed)
        with step("generation"):
            generated = _generation(module, given, split, settings.seed)
        _keep_latents(module, given, split, settings.seed, latents_path(folder, settings))
    return {
        "configuration": settings.as_dict(),
        "code": code_digest(JUDGING),
        "data": {"digest": given.digest, "content_disjoint": bool(split.content_disjoint)},
        "weights_sha256": evaluation.weights_sha256,
        "retrieval": retrieval_summary(evaluation, observer),
        "ideal_observer": observer,
        "sessions": dict(evaluation.sessions),
        "across_pairs": len(evaluation.across),
        "active_units": dict(evaluation.active_units),
        "context_minutes": minutes,
        "stimulus_factors": {"share": factors.share.round(4).tolist(), "total": float(factors.share.sum())},
        "held_out": list(split.held_out_sessions),
        "decoding": {key: {**each, "activity": alone["from_activity"][key]} for key, each in decoded.items()},
        "generation": {key: {**each, **alone["generation_baselines"][key]} for key, each in generated.items()},
        "seconds": seconds,
        "provenance": provenance_record(device=str(_device())),
    }


def trained_module(given: Material, split: Split, settings: Settings, folder: Path) -> tuple[MiVAEModule, Run, float]:
    """The trained module, on the device that there is, its run, and how many seconds training took."""
    name = f"{given.scale.name}-{settings.design}-{settings.animals}-{settings.episodes.training_clips}-{settings.seed}"
    run = Run.at(folder / "runs" / name)
    belongs_to = {
        "configuration": settings.as_dict(),
        "store": given.store.digest,
        "code": code_digest(TRAINING),
    }
    record = run.directory / "benchmark.json"
    known = read_json(record) if record.exists() else {}
    same = known.get("belongs_to") == belongs_to
    if same and known["seconds"] is not None:
        return load_module(run.model).to(_device()).eval(), run, float(known["seconds"])
    run.directory.mkdir(parents=True, exist_ok=True)
    write_json(record, {"belongs_to": belongs_to, "seconds": None})
    begin = time.perf_counter()
    module = fit(
        given.store,
        split,
        run,
        model=settings.model,
        training=settings.training,
        episodes=settings.episodes,
        # Training that was stopped goes on; seconds are then those of its last part.
        resume=same and run.checkpoint.exists(),
    )
    seconds = round(time.perf_counter() - begin, 1)
    write_json(record, {"belongs_to": belongs_to, "seconds": seconds})
    return module.to(_device()).eval(), run, seconds


def retrieval_summary(evaluation: Evaluation, observer: Mapping[str, Any]) -> dict[str, Any]:
    """Means over held-out and over trained sessions of every condition, and the same as a fraction of the ideal."""
    found: dict[str, Any] = {}
    for group, held_out in (("held_out", True), ("trained", False)):
        keys = [key for key, each in evaluation.sessions.items() if each["held_out"] == held_out]
        best = {name: float(np.mean([observer[key][name] for key in keys])) for name in ("top1", "top5")}
        alone = {name: float(np.mean([observer[key]["clip_alone"][name] for key in keys])) for name in ("top1", "top5")}
        found[group] = {"sessions": len(keys), "ideal_observer": best, "observer_of_clip_alone": alone}
        for condition in CONDITIONS:
            means = mean_metrics([evaluation.sessions[key]["conditions"][condition] for key in keys])
            top1 = means["top1"]
            found[group][condition] = {name: means[name] for name in _FIGURES} | {
                "of_ideal": None if top1 is None else top1 / best["top1"]
            }
    across = evaluation.summary["across"]
    return {**found, "across": {name: across[name] for name in ("held_out", "trained")}}


def clips_in(given: Material, minutes: float) -> int:
    """How many clips last so long, at least one."""
    return max(1, round(minutes * 60.0 * given.store.frame_rate / given.scale.clip_frames))


def _by_minutes(module: MiVAEModule, given: Material, split: Split, settings: Settings) -> dict[str, Any]:
    """Retrieval in held-out animals with the first minutes of their training part as context, and with none.

    Empty where the design reads no context. Minutes are those of training clips; what was shown in between and belongs
    to other parts is not counted. Under ``closed_form_top1`` stands what the closed form finds by itself with as much:
    the read-out's features, or without context those of the cortical map, looked up by centred cosine.
    """
    if not module.uses_context:
        return {}
    scale = given.scale
    found: dict[str, Any] = {}
    for minutes in (0.0, *scale.context_minutes):
        wanted = clips_in(given, minutes) if minutes else 0
        of_sessions, closed_form, least = [], [], np.inf
        for key in split.held_out_sessions:
            context = session_context(module, given.store, split, key, clips=wanted, from_start=True)
            least = min(least, 0 if context is None else context.n_frames / given.store.frame_rate / 60.0)
            stimuli = StimulusEmbedding(module)
            embedding = embed_session(
                given.store,
                split,
                key,
                clips_of(given, split, key, "test", scale.test_clips).starts,
                {"context": Reading(module, context)},
                [stimuli],
                clips_at_once=settings.evaluation.clips_at_once,
            )
            first, target = metrics.distinct_clips(embedding.content)
            candidates = stimuli.shared(embedding.content[first])
            of_sessions.append(
                condition_metrics(embedding.shared["context"], candidates, target, settings.evaluation.distance)
            )
            predicted = embedding.predicted.get("context") or _by_place(module, given, split, key)
            features = stimuli.features(embedding.content[first])
            closed_form.append(condition_metrics(predicted, features, target, "centred_cosine"))
        found[f"{minutes:g}"] = {
            **mean_metrics(of_sessions),
            "closed_form_top1": mean_metrics(closed_form)["top1"],
            "minutes_there_were": float(least),
        }
    return found


def _by_place(module: MiVAEModule, given: Material, split: Split, session: str) -> Posterior:
    """Features of the test clips as the cortical map predicts them: zeros where it was not fitted."""
    starts = clips_of(given, split, session, "test", given.scale.test_clips).starts
    batch = load_clips(given.store, split, session, starts, n_frames=given.scale.clip_frames).to(_device())
    assert module.cortical_map is not None
    mean = module.cortical_map(batch.neural, batch.coordinates).float().cpu().numpy()
    return Posterior(mean, np.zeros_like(mean))


def _generation(module: MiVAEModule, given: Material, split: Split, seed: int) -> dict[str, Any]:
    """Figures of generation, ``[session][condition]``; the last three are controls of ``with_context``."""
    random = np.random.default_rng([seed, 78])
    fresh = untrained_module(module, int(random.integers(2**31)))
    found: dict[str, Any] = {}
    for key in judged_sessions(given, split):
        test = clips_of(given, split, key, "test", given.scale.test_clips)
        truth = true_generation(given, split, test)
        context, its_own = (session_context(each, given.store, split, key) for each in (module, fresh))
        order = metrics.derangement(given.store.sessions[key].n_cells, random)
        made = {
            "with_context": generated_by_model(module, given, split, test, context),
            "without_context": generated_by_model(module, given, split, test, None),
            "untrained": generated_by_model(fresh, given, split, test, its_own),
            "permuted_neurons": generated_by_model(module, given, split, test, context, order=order),
        }
        made["shuffled_pairs"] = generated_for_other_clips(made["with_context"], len(test.starts), random)
        found[key] = {name: generation_figures(each, truth) for name, each in made.items()}
    return found


def latents_path(folder: Path, settings: Settings) -> Path:
    """Where the latents that runs are compared by are kept."""
    return folder / "latents" / f"{settings.scale.name}-{settings.design}-{settings.seed}.npz"


def _keep_latents(module: MiVAEModule, given: Material, split: Split, seed: int, path: Path) -> None:
    """Shared latents of held-out animals, by which runs with other seeds are compared, and those of random heads.

    Two networks that see the same clips are alike without having learned anything; that much is no agreement.
    """
    random = np.random.default_rng([seed, 79])
    networks = {"": module, "untrained.": untrained_module(module, int(random.integers(2**31)))}
    arrays: dict[str, Any] = {}
    for key in split.held_out_sessions:
        for prefix, network in networks.items():
            context = session_context(network, given.store, split, key)
            for part, count in (("train", given.scale.decoding_clips), ("test", given.scale.test_clips)):
                clips = clips_of(given, split, key, cast(Any, part), count)
                blocks = encoded(network, given, split, clips, context)
                arrays[f"{key}.{part}.groups"] = clips.groups
                arrays |= {f"{prefix}{key}.{part}.{name}": blocks[name].astype(np.float32) for name in _SHARED}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as beside, open(beside, "wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def likeness_of_runs(paths: Sequence[Path], sessions: Sequence[str]) -> dict[str, Any]:
    """For every pair of runs, how alike their shared latents of the same clips are: mean over sessions, by block.

    Under ``untrained`` stands the same for random heads.
    """
    pairs = []
    for number, one_path in enumerate(paths):
        for other_path in paths[number + 1 :]:
            with np.load(one_path) as one, np.load(other_path) as other:
                trained, untrained = (_likeness(one, other, sessions, prefix) for prefix in ("", "untrained."))
            pairs.append({"runs": [one_path.stem, other_path.stem], **trained, "untrained": untrained})
    return {"pairs": pairs}


def _likeness(
    one: Mapping[str, Any], other: Mapping[str, Any], sessions: Sequence[str], prefix: str
) -> dict[str, dict[str, float]]:
    of_block = {}
    for block in _SHARED:
        each = [
            likeness(
                (one[f"{prefix}{key}.train.{block}"], one[f"{prefix}{key}.test.{block}"]),
                (other[f"{prefix}{key}.train.{block}"], other[f"{prefix}{key}.test.{block}"]),
                one[f"{key}.train.groups"],
            )
            for key in sessions
        ]
        of_block[block] = {name: float(np.mean([every[name] for every in each])) for name in each[0]}
    return of_block


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
