"""The user's object: one name for a model, the data it is used on, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nwb_mivae.errors import ModelError
from nwb_mivae.outputs import read_json
from nwb_mivae.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    import torch

    from nwb_mivae.annotation import ModelRecord
    from nwb_mivae.annotation.backends import BackendName
    from nwb_mivae.annotation.results import Form
    from nwb_mivae.attribution import AttributionConfiguration, SessionAttribution
    from nwb_mivae.attribution.configuration import BlockName, MethodName, SourceName
    from nwb_mivae.clips import ClipStore, EpisodeConfiguration, Split, SplitConfiguration
    from nwb_mivae.evaluation import Evaluation, EvaluationConfiguration
    from nwb_mivae.inference import SessionFingerprints, SessionLatents
    from nwb_mivae.model import Context, MiVAEModule, ModelConfiguration
    from nwb_mivae.training import TrainingConfiguration

    Progress = Callable[[str, int, int], None]

__all__ = ["MiVAE"]


class MiVAE:
    """miVAE for people who have sessions: train it, ask it for latents, attribution, frames and traces, save it.

    Parameters
    ----------
    configuration : ModelConfiguration, optional
        Sizes and design of the model; the defaults suit most recordings.

    Examples
    --------
    >>> from nwb_mivae import MiVAE, prepare  # doctest: +SKIP
    >>> store = prepare(["sub-1.nwb", "sub-2.nwb", "sub-3.nwb"], "store")  # doctest: +SKIP
    >>> model = MiVAE().fit(store, "run")  # doctest: +SKIP
    >>> latents = model.latents("sub-3")  # an animal held out of training  # doctest: +SKIP
    """

    def __init__(self, configuration: ModelConfiguration | None = None) -> None:
        self.configuration = configuration
        self._module: MiVAEModule | None = None
        self._store: ClipStore | None = None
        self._split: Split | None = None
        self._provenance: Mapping[str, Any] = {}
        self._record: ModelRecord | None = None
        self._contexts: dict[str, Context | None] = {}

    def __repr__(self) -> str:
        if self._module is None:
            return "MiVAE (not trained)"
        parameters = sum(parameter.numel() for parameter in self._module.parameters())
        sessions = "no sessions" if self._store is None else f"{len(self._store.sessions)} sessions"
        return f"MiVAE ({self._module.configuration.population}, {parameters:,} parameters, {sessions})"

    @property
    def module(self) -> MiVAEModule:
        """The network itself; where ``model.module.to(device)`` puts it, everything is computed."""
        if self._module is None:
            raise ModelError("a model that was not trained", expected="a trained one", remedy="call fit, or MiVAE.load")
        return self._module

    @property
    def store(self) -> ClipStore:
        """The prepared sessions the model is used on."""
        if self._store is None:
            raise ModelError(
                "a model without sessions",
                expected="a clip store",
                remedy="call model.use(store), or MiVAE.load(run, store)",
            )
        return self._store

    @property
    def split(self) -> Split:
        """Which sessions and which stimulus content are held out."""
        if self._split is None:
            raise ModelError(
                "a model without a split of its sessions", expected="a split", remedy="call model.use(store)"
            )
        return self._split

    def fit(
        self,
        store: ClipStore,
        run: str | PathLike[str],
        *,
        split: SplitConfiguration | None = None,
        training: TrainingConfiguration | None = None,
        episodes: EpisodeConfiguration | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> MiVAE:
        """Train on a store's sessions, holding out animals and stimulus content as ``split`` says.

        Parameters
        ----------
        store : ClipStore
            From :func:`nwb_mivae.prepare`.
        run : path-like
            Directory that receives the model, the log and the provenance.
        split, training, episodes : configuration, optional
            The defaults hold out one animal of three or more, and a fifth of the content.
        resume : bool
            Go on from the run's checkpoint.
        progress : callable, optional
            ``progress(description, done, total)``.
        """
        from nwb_mivae.clips import EpisodeConfiguration, make_split
        from nwb_mivae.training import fit

        episodes = episodes or EpisodeConfiguration()
        made = make_split(store, split, n_frames=episodes.clip_frames)
        directory = Run.at(run)
        module = fit(
            store,
            made,
            directory,
            model=self.configuration,
            training=training,
            episodes=episodes,
            resume=resume,
            progress=progress,
        )
        self._take(module, directory.model)
        self._attach(store, made)
        return self

    def use(self, store: ClipStore, split: Split | None = None) -> MiVAE:
        """Use the trained model on other sessions, of animals it may never have seen; nothing is trained.

        Without a split, a fifth of the content is kept for testing, the rest is what contexts are made of, and every
        animal counts as held out, unless the model was trained on a subject of that name. The model does not know
        which frames it was trained on: where these sessions show some of them, test clips are new to the contexts but
        not to the weights, and figures are about new animals, not about new stimuli.

        Raises
        ------
        ModelError
            If frame size, frame rate, kind of trace or auxiliary variables are not those the model was trained on.
        StoreError
            If the split was made for another store.
        """
        self._refuse_other_data(store)
        if split is None:
            split = self._split_of_others(store)
        split.check(store)
        self._attach(store, split)
        return self

    def _split_of_others(self, store: ClipStore) -> Split:
        from nwb_mivae.clips import SplitConfiguration, make_split

        known = self._provenance.get("train_subjects", [])
        held_out = [subject for subject in store.subjects if subject not in known]
        by_key = {key: session.subject in held_out for key, session in store.sessions.items()}
        # Nothing is trained, so that all animals may be held out, which a split for training refuses.
        drawn = make_split(store, SplitConfiguration(held_out=0))
        return replace(
            drawn,
            configuration=SplitConfiguration(held_out=held_out),
            train_sessions=tuple(key for key, held in by_key.items() if not held),
            held_out_sessions=tuple(key for key, held in by_key.items() if held),
        )

    def _refuse_other_data(self, store: ClipStore) -> None:
        from nwb_mivae.clips.writing import FRAME_RATE_TOLERANCE

        shape = self.module.shape
        sessions = store.sessions.values()
        kinds = sorted({session.trace_kind for session in sessions})
        auxiliary = sorted({len(session.auxiliary_names) for session in sessions})
        if (store.height, store.width) != (shape.height, shape.width):
            found = f"frames of {store.height} x {store.width} pixels"
            expected = f"{shape.height} x {shape.width}"
        elif abs(store.frame_rate / shape.frame_rate - 1) > FRAME_RATE_TOLERANCE:
            found, expected = f"{store.frame_rate:.4g} frames per second", f"{shape.frame_rate:.4g}"
        elif kinds != [shape.trace_kind]:
            found, expected = f"traces of kind {', '.join(kinds)}", shape.trace_kind
        elif auxiliary != [shape.n_auxiliary]:
            found = f"{', '.join(map(str, auxiliary))} auxiliary variables"
            expected = str(shape.n_auxiliary)
        else:
            return
        raise ModelError(
            found,
            expected=f"{expected}, as the model was trained on",
            remedy="prepare the sessions with the configuration of the model's own store",
            file=store.path,
        )

    def _take(self, module: MiVAEModule, folder: Path) -> None:
        from nwb_mivae.annotation import ModelRecord
        from nwb_mivae.model.weights import DESCRIPTION_FILE

        self._module = module
        self._record = ModelRecord.of_folder(folder)
        self.configuration = module.configuration
        self._provenance = read_json(folder / DESCRIPTION_FILE).get("provenance") or {}

    def _attach(self, store: ClipStore, split: Split) -> None:
        self._store, self._split = store, split
        self._contexts = {}

    def context(self, session: str) -> Context | None:
        """What the session's own training part says about its neurons; computed once per session."""
        if session not in self._contexts:
            from nwb_mivae.inference import session_context

            self._contexts[session] = session_context(self.module, self.store, self.split, self._known(session))
        context = self._contexts[session]
        return None if context is None else context.to(self._device)

    def latents(self, session: str, *, progress: Progress | None = None) -> SessionLatents:
        """Latents of one session, of an animal trained on or not: means and variances on the session's clock."""
        from nwb_mivae.inference import session_latents

        return session_latents(
            self.module,
            self.store,
            self.split,
            session,
            self.context(session),
            weights_sha256=self._weights,
            progress=progress,
        )

    def fingerprints(self, session: str) -> SessionFingerprints | None:
        """What the model knows of each cell of a session; none where its design uses no context."""
        from nwb_mivae.inference import session_fingerprints

        return session_fingerprints(
            self.module,
            self.store,
            self.split,
            self._known(session),
            context=self.context(session),
            weights_sha256=self._weights,
        )

    def generate(
        self, session: str, starts: npt.NDArray[np.int64], what: Literal["frames", "traces"]
    ) -> npt.NDArray[np.float32]:
        """What one modality says of the other for clips of a session.

        Parameters
        ----------
        session : str
            Key of the session.
        starts : ndarray of int64, (B,)
            Rows of the stored session at which clips start, for example ``model.split.clip_starts(session, 2, ...)``.
        what : {"frames", "traces"}
            ``frames``: luminance (B, T, H, W) in (0, 1) from activity; ``traces``: standardised activity (B, T, N)
            from frames.

        Raises
        ------
        ModelError
            If there is no such session, or ``what`` is neither.
        """
        if what not in ("frames", "traces"):
            raise ModelError(
                f"{what!r} to generate", expected="frames or traces", remedy="name one of these two modalities"
            )
        from nwb_mivae.clips import load_clips
        from nwb_mivae.inference import generate_frames, generate_traces

        context = self.context(session)
        batch = load_clips(self.store, self.split, session, starts, n_frames=self.module.shape.clip_frames)
        batch = batch.to(self._device)
        if what == "frames":
            frames: npt.NDArray[np.float32] = generate_frames(self.module, batch, context)[:, :, 0].cpu().numpy()
            return frames
        traces: npt.NDArray[np.float32] = generate_traces(self.module, batch, context).cpu().numpy()
        return traces

    def evaluate(
        self,
        configuration: EvaluationConfiguration | None = None,
        *,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Metrics on held-out content, for trained and held-out animals, each with its controls."""
        from nwb_mivae.evaluation import EvaluationConfiguration, evaluate

        return evaluate(
            self.module,
            self.store,
            self.split,
            configuration=configuration or EvaluationConfiguration(),
            seed=seed,
            weights_sha256=self._weights,
            progress=progress,
        )

    def attribute(
        self,
        session: str,
        configuration: AttributionConfiguration | None = None,
        *,
        of: BlockName | None = None,
        to: SourceName | Sequence[SourceName] | None = None,
        method: MethodName | Sequence[MethodName] | None = None,
        latents: Sequence[int] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> SessionAttribution:
        """Trace a session's latents back to its neurons and to stimulus pixels; see :func:`nwb_mivae.attribute`."""
        from nwb_mivae.attribution import attribute

        return attribute(
            self,
            self._known(session),
            of=of,
            to=to,
            method=method,
            latents=latents,
            configuration=configuration,
            seed=seed,
            progress=progress,
        )

    def annotate(
        self,
        session: str,
        source: str | PathLike[str] | None = None,
        out: str | PathLike[str] | None = None,
        *,
        latents: SessionLatents | None = None,
        attribution: SessionAttribution | None = None,
        evaluation: Evaluation | None = None,
        form: Form | None = None,
        backend: BackendName = "hdf5",
        name: str | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Write a session's results into NWB; see :func:`nwb_mivae.annotate` for the forms.

        Parameters
        ----------
        session : str
            Key of the session.
        source : path-like, optional
            The file or address it was prepared from. By default the one the store names; a session of several files is
            annotated file by file, each named here.
        out : path-like, optional
            The file to write, or an existing folder for it.
        latents : SessionLatents, optional
            From :meth:`latents`; computed where left out.
        attribution : SessionAttribution, optional
            From :meth:`attribute`. Its subpopulations are found and written with it, where it has neurons.
        evaluation : Evaluation, optional
            From :meth:`evaluate`.
        form, backend, name, overwrite
            As for :func:`nwb_mivae.annotate`.
        progress : callable, optional
            ``progress(description, done, total)``.

        Returns
        -------
        Path
            The annotated file.

        Raises
        ------
        ModelError
            If there is no such session, or it was prepared from several files and none is named.
        AnnotationError
            If the results do not fit the source; see :func:`nwb_mivae.annotate`.
        """
        from nwb_mivae.annotation import annotate
        from nwb_mivae.attribution import find_subpopulations, onset_courses, why_no_subpopulations

        stored = self.store.sessions[self._known(session)]
        assert self._record is not None  # whoever has sessions to use has a model, and that came from a folder
        if source is None:
            files = [str(file["path"]) for file in stored.source["files"]]
            if len(files) > 1:
                raise ModelError(
                    f"a session that was prepared from {len(files)} files",
                    expected="the one to annotate",
                    remedy=f"name one as source: {', '.join(files)}",
                    file=self.store.path,
                    object_path=session,
                )
            (source,) = files
        subpopulations = None
        if attribution is not None and not why_no_subpopulations(attribution):
            known = attribution.settings.get("configuration", {})
            around_onsets = onset_courses(
                self,
                session,
                of=attribution.block,
                latents=known.get("latents"),
                context=known.get("context", True),
                progress=progress,
            )
            subpopulations = find_subpopulations(
                attribution, stored, around_onsets=around_onsets, seed=attribution.settings.get("seed", 0)
            )
        return annotate(
            source,
            out,
            latents=latents or self.latents(session, progress=progress),
            stored=stored,
            model=self._record,
            attribution=attribution,
            fingerprints=self.fingerprints(session),
            subpopulations=subpopulations,
            evaluation=evaluation,
            form=form,
            backend=backend,
            name=name,
            overwrite=overwrite,
        )

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the model as safetensors and JSON, with where it came from, into a folder of its own.

        Raises
        ------
        OutputError
            If the folder holds something other than a model, for example a whole run.
        """
        from nwb_mivae.model import save_module

        save_module(self.module, folder, provenance=dict(self._provenance))

    @classmethod
    def load(cls, folder: str | PathLike[str], store: ClipStore | None = None) -> MiVAE:
        """Load a model folder, or a run; nothing in it is executed.

        With ``store``, the model is used on it: that of a run with the run's own split, hence on the run's own store.
        For another store call :meth:`use`.
        """
        from nwb_mivae.clips import Split
        from nwb_mivae.model import load_module

        run = Run.at(folder)
        model = cls()
        model_folder = run.model if run.model.is_dir() else Path(folder)
        model._take(load_module(model_folder), model_folder)
        if store is not None:
            model.use(store, Split.load(run.split) if run.split.is_file() else None)
        return model

    @property
    def _weights(self) -> str:
        """Digest of the weights as they are now; whoever changes them after loading cannot annotate with them."""
        from nwb_mivae.model import module_digest

        return module_digest(self.module)

    @property
    def _device(self) -> torch.device:
        return next(self.module.parameters()).device

    def _known(self, session: str) -> str:
        if session not in self.store.sessions:
            raise ModelError(
                f"no session {session!r}",
                expected=f"one of {', '.join(sorted(self.store.sessions))}",
                remedy="name one of these",
                file=self.store.path,
            )
        return session
