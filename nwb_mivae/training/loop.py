"""The training loop: draw episodes, descend, log, validate, save; on a CPU, a GPU or several, through Fabric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from nwb_mivae.clips import ClipStore, EpisodeConfiguration, EpisodeSampler, Split, evenly, load_clips
from nwb_mivae.clips.batch import Episode
from nwb_mivae.clips.store import StoredSession
from nwb_mivae.errors import TrainingError
from nwb_mivae.model import LossTerms, MiVAEModule, ModelConfiguration, ModuleShape, save_module
from nwb_mivae.outputs import write_json
from nwb_mivae.provenance import provenance_record
from nwb_mivae.run import Run
from nwb_mivae.sessions.grouping import source_name
from nwb_mivae.training.checkpoint import Checkpoint, fingerprint_of, load_checkpoint, restore, save_checkpoint
from nwb_mivae.training.closed_form import fit_closed_form
from nwb_mivae.training.configuration import TrainingConfiguration
from nwb_mivae.training.log import TrainingLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_fabric import Fabric

    Progress = Callable[[str, int, int], None]

__all__ = ["fit", "make_module"]

#: Names of the streams that one seed is split into.
_WEIGHTS, _SAMPLES = 0, 1

#: Settings that change what is written, and where it is computed, but not what is learned. The number of devices is
#: not among them: each device draws its own episodes.
_WITHOUT_EFFECT = {"log_every", "validate_every", "validation_clips", "checkpoint_every", "accelerator"}


def make_module(
    store: ClipStore,
    split: Split,
    model: ModelConfiguration,
    episodes: EpisodeConfiguration,
    *,
    seed: int,
    closed_form: bool = True,
    progress: Progress | None = None,
) -> MiVAEModule:
    """Build the module that ``fit`` starts from: random weights, and what follows from the data in closed form.

    Raises
    ------
    TrainingError
        If the training sessions hold traces of different kinds, or different auxiliary variables.
    """
    sessions = [store.sessions[key] for key in (*split.train_sessions, *split.held_out_sessions)]
    kinds = sorted({session.trace_kind for session in sessions})
    if len(kinds) != 1:
        raise TrainingError(
            f"traces of {len(kinds)} kinds ({', '.join(kinds) or 'none'})",
            expected="one kind of trace in all sessions, since the likelihood depends on it",
            remedy="prepare stores of one kind each, or choose traces with the setting sessions.trace",
            file=store.path,
        )
    auxiliary = {tuple(session.auxiliary_names) for session in sessions}
    if len(auxiliary) != 1:
        described = " / ".join(", ".join(names) or "none" for names in sorted(auxiliary))
        raise TrainingError(
            f"sessions with different auxiliary variables ({described})",
            expected="the same variables in every session",
            remedy="prepare the store again with all sessions at once",
            file=store.path,
        )
    shape = ModuleShape(
        height=store.height,
        width=store.width,
        n_auxiliary=len(next(iter(auxiliary))),
        trace_kind=kinds[0],
        frame_rate=store.frame_rate,
        clip_frames=episodes.clip_frames,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_stream(seed, _WEIGHTS))
        module = MiVAEModule(model, shape)
    if closed_form:
        fit_closed_form(module, store, split, episodes, progress=progress)
    return module


def fit(
    store: ClipStore,
    split: Split,
    run: Run,
    *,
    model: ModelConfiguration | None = None,
    training: TrainingConfiguration | None = None,
    episodes: EpisodeConfiguration | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> MiVAEModule:
    """Train miVAE on the training sessions of a split.

    Parameters
    ----------
    store : ClipStore
        Prepared sessions.
    split : Split
        Which sessions and which stimulus content are for training; held-out sessions are never drawn.
    run : Run
        Directory that receives the model, the last checkpoint, the log and the provenance.
    model, training, episodes : configuration, optional
        Settings; the defaults where left out.
    resume : bool
        Go on from the run's checkpoint, to the same weights as if training had never stopped.
    progress : callable, optional
        Called as ``progress(description, steps_done, steps)``.

    Returns
    -------
    MiVAEModule
        The trained module, on the CPU and in evaluation mode; the same as :func:`~nwb_mivae.model.load_module` gives.

    Raises
    ------
    TrainingError
        If the sessions do not fit together, the loss stops being a number, or there is nothing to resume.
    KeyboardInterrupt
        Passed on, after a checkpoint of the last whole step was written.
    """
    from lightning_fabric import Fabric

    model = model or ModelConfiguration()
    training = training or TrainingConfiguration()
    episodes = episodes or EpisodeConfiguration()
    settings = {
        "store": store.digest,
        "split": split.as_dict(),
        "model": model.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "episodes": episodes.model_dump(mode="json"),
    }
    belongs_to = fingerprint_of({**settings, "training": training.model_dump(mode="json", exclude=_WITHOUT_EFFECT)})
    checkpoint = _checkpoint_to_resume(run, belongs_to) if resume else None
    first = 0 if checkpoint is None else checkpoint.step
    # A checkpoint holds the closed form that training began with.
    module = make_module(
        store, split, model, episodes, seed=training.seed, closed_form=checkpoint is None, progress=progress
    )

    fabric = Fabric(
        accelerator=training.accelerator,
        devices=training.devices,
        precision=training.precision,
        # A process whose episodes have no context uses no ridge penalty, and the others must not wait for it.
        strategy="auto" if training.devices == 1 else "ddp_find_unused_parameters_true",
    )
    fabric.launch()
    optimiser = torch.optim.AdamW(_parameter_groups(module, training.weight_decay), lr=training.learning_rate)
    module.to(fabric.device)
    if checkpoint is not None:
        restore(checkpoint, module, optimiser)
    objective, fabric_optimiser = fabric.setup(_Objective(module), optimiser)
    sampler = EpisodeSampler(store, split, episodes, seed=training.seed)
    validation = _validation_episodes(store, split, episodes, training)
    generator = torch.Generator(device=fabric.device)

    columns = ["total", "learning_rate", "gradient_norm", *type(model.loss).model_fields]
    figures = ["matched", "matching_scale", "active_units", *(["readout_penalty"] if module.uses_context else [])]
    columns += [*figures, "validation_total", "validation_matched"]
    # Of several processes one writes; the others would truncate its log.
    own_log = TrainingLog(run.training_log, columns, first_step=first + 1) if fabric.is_global_zero else nullcontext()
    with own_log as log:
        done, settled = first, True
        try:
            for step in range(first, training.steps):
                draw = step * fabric.world_size + fabric.global_rank
                drawn = [episode.to(fabric.device) for episode in sampler.draw(draw)]
                generator.manual_seed(_stream(training.seed, _SAMPLES, draw))
                rate = _learning_rate(training, step)
                for group in fabric_optimiser.param_groups:
                    group["lr"] = rate
                loss: LossTerms = objective(_Step(drawn, generator))
                _refuse_if_not_finite(loss, step, run)
                fabric_optimiser.zero_grad()
                fabric.backward(loss.total)
                norm = fabric.clip_gradients(
                    objective, fabric_optimiser, max_norm=training.gradient_clip, error_if_nonfinite=False
                )
                _refuse_if_not_finite(loss, step, run, norm)
                settled = False
                fabric_optimiser.step()
                done, settled = step + 1, True
                if log is not None:
                    row: dict[str, float] = {}
                    if done % training.log_every == 0 or done == training.steps or done == 1:
                        row = {
                            "total": float(loss.total.detach()),
                            "learning_rate": rate,
                            "gradient_norm": float(norm or 0.0),
                        }
                        row |= {name: float(value.detach()) for name, value in (loss.terms | loss.figures).items()}
                    if validation and (done % training.validate_every == 0 or done == training.steps):
                        row |= _validate(module, validation, fabric)
                    if row:
                        log.add(done, row)
                    if done % training.checkpoint_every == 0 and done < training.steps:
                        save_checkpoint(run.checkpoint, module, optimiser, step=done, belongs_to=belongs_to)
                    if progress is not None:
                        progress("training", done, training.steps)
        except KeyboardInterrupt:
            # An update that was broken off left weights that belong to no step; the last checkpoint stands then.
            if settled and log is not None:
                save_checkpoint(run.checkpoint, module, optimiser, step=done, belongs_to=belongs_to)
            raise
    module = module.cpu().eval()
    if fabric.is_global_zero:
        save_checkpoint(run.checkpoint, module, optimiser, step=training.steps, belongs_to=belongs_to)
        subjects = sorted({store.sessions[key].subject for key in split.train_sessions})
        record = provenance_record(
            device=str(fabric.device),
            train_subjects=subjects,
            train_files=[file for key in split.train_sessions for file in _files_of(store.sessions[key])],
            **settings,
        )
        save_module(module, run.model, provenance=_for_others(record))
        split.save(run.split)
        write_json(run.provenance, record)
    # Whoever goes on from here, in any process, finds the run complete.
    fabric.barrier()
    return module


class _Step:
    """Episodes and generator of one step. Not a dataclass: Fabric would take it apart to convert precisions."""

    def __init__(self, episodes: Sequence[Episode], generator: torch.Generator) -> None:
        self.episodes = episodes
        self.generator = generator


class _Objective(nn.Module):
    """The module's loss as a forward pass, which is what Fabric wraps; only the total is descended on."""

    def __init__(self, module: MiVAEModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, step: _Step) -> LossTerms:
        loss: LossTerms = self.module.loss(step.episodes, step.generator)
        return loss._replace(terms={name: value.detach() for name, value in loss.terms.items()})


def _files_of(stored: StoredSession) -> list[dict[str, str]]:
    """The files a session was read from, so that the model can be traced to its data wherever it is taken.

    Only their names: where they lay on somebody's disk is nobody's business.
    """
    known = ("identifier", "object_id", "sha256", "asset")
    return [
        {
            "subject_id": str(stored.subject),
            "file_name": source_name(str(file["path"] or "")),
            **{name: str(file[name] or "") for name in known},
        }
        for file in stored.source["files"]
    ]


def _for_others(record: dict[str, Any]) -> dict[str, Any]:
    """What of a run's provenance goes where its model goes: no command line, no machine, no list of every frame."""
    split = {name: record["split"][name] for name in ("configuration", "train_sessions", "held_out_sessions")}
    return {name: value for name, value in record.items() if name not in ("command", "platform")} | {"split": split}


def _stream(seed: int, *stream: int) -> int:
    """A 63-bit seed for one use of one seed."""
    return int(np.random.SeedSequence([seed, *stream]).generate_state(1, np.uint64)[0] >> 1)


def _parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices and kernels, not biases, norms and the learned scales."""
    decayed = [parameter for parameter in module.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in module.parameters() if parameter.ndim < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _learning_rate(training: TrainingConfiguration, step: int) -> float:
    """Linear warm-up, then a cosine to zero at the last step."""
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    share = (step - training.warmup_steps) / max(1, training.steps - training.warmup_steps)
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _checkpoint_to_resume(run: Run, belongs_to: str) -> Checkpoint:
    checkpoint = load_checkpoint(run.checkpoint)
    if checkpoint.belongs_to != belongs_to:
        raise TrainingError(
            "a checkpoint of other data or other settings",
            expected="the store, split and settings that the run was started with",
            remedy="resume with the run's own configuration.yaml, or train into a new run",
            file=run.checkpoint,
        )
    return checkpoint


def _validation_episodes(
    store: ClipStore, split: Split, episodes: EpisodeConfiguration, training: TrainingConfiguration
) -> list[Episode]:
    """The same clips every time: evenly taken validation clips of each training session, with training context."""
    found = []
    frames = episodes.clip_frames
    for key in split.train_sessions:
        targets = evenly(
            split.clip_starts(store.sessions[key], "validation", n_frames=frames, stride=frames),
            training.validation_clips,
        )
        if len(targets) < 2:
            continue
        context = evenly(
            split.clip_starts(store.sessions[key], "train", n_frames=frames, stride=frames), episodes.context_clips
        )
        found.append(
            Episode(
                load_clips(store, split, key, targets, n_frames=frames),
                load_clips(store, split, key, context, n_frames=frames) if len(context) else None,
            )
        )
    return found


@torch.no_grad()
def _validate(module: MiVAEModule, episodes: list[Episode], fabric: Fabric) -> dict[str, float]:
    module.eval()
    total, matched = 0.0, 0.0
    for episode in episodes:
        loss = module.loss([episode.to(fabric.device)])
        total += float(loss.total)
        matched += float(loss.figures["matched"])
    module.train()
    return {"validation_total": total / len(episodes), "validation_matched": matched / len(episodes)}


def _refuse_if_not_finite(loss: LossTerms, step: int, run: Run, gradient_norm: Tensor | None = None) -> None:
    """Stop before a number that is none reaches the weights; the last checkpoint is still good then."""
    if not torch.isfinite(loss.total.detach()):
        wrong = [name for name, value in loss.terms.items() if not torch.isfinite(value.detach())]
        found = f"a loss that is not a number at step {step + 1} (in {', '.join(wrong) or 'the weighted sum'})"
    elif gradient_norm is not None and not torch.isfinite(gradient_norm):
        found = f"a gradient that is not a number at step {step + 1}"
    else:
        return
    raise TrainingError(
        found,
        expected="finite terms",
        remedy="lower training.learning_rate, or look for extreme values in the traces with `nwb-mivae inspect`",
        file=run.directory,
    )
