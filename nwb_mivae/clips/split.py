"""Which animals and which stimulus content are held out, and where whole clips of each part start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.alignment import shown_in_sequence
from nwb_mivae.clips.configuration import SplitConfiguration
from nwb_mivae.clips.store import ClipStore, StoredSession
from nwb_mivae.errors import StoreError
from nwb_mivae.outputs import whole_file

__all__ = ["PARTS", "CellStatistics", "DistinctClips", "Part", "Split", "make_split"]

Part = Literal["train", "validation", "test"]
#: Names of the parts in the order of their numbers in ``part_of_content``; 3 is content of no part (blank).
PARTS: tuple[Part, Part, Part] = ("train", "validation", "test")
NO_PART = 3

#: Whole movies are the units of content where every session shows at least so many; else they are cut into blocks.
ENOUGH_UNITS = 10
_CHUNK_ROWS = 4096


class CellStatistics(NamedTuple):
    """What activity and auxiliary variables are standardised with: ``(value - mean) / scale``, all float32.

    ``mean`` and ``scale`` (N,) over the training part of the session: scale is the standard deviation (1 for cells that
    never change, at least a thousandth of the median cell's). Deconvolved activity and events keep their zero (mean
    0); spike counts stay counts (mean 0, scale 1). ``auxiliary_mean`` and ``auxiliary_scale`` are (U,).
    """

    mean: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    auxiliary_mean: npt.NDArray[np.float32]
    auxiliary_scale: npt.NDArray[np.float32]


class DistinctClips(NamedTuple):
    """The M clips of one part of a session that show different things.

    ``starts`` (M,) is the row of the first showing of each, ``content`` (M, T) what it shows (equal rows in two
    sessions: the same clip), ``showings`` the starts of all showings of each, the first among them.
    """

    starts: npt.NDArray[np.int64]
    content: npt.NDArray[np.int64]
    showings: tuple[npt.NDArray[np.int64], ...]


@dataclass(frozen=True)
class Split:
    """A division of one store by animal and by stimulus content.

    Attributes
    ----------
    store_digest : str
        The store it was made for.
    configuration : SplitConfiguration
        How it was made.
    train_sessions, held_out_sessions : tuple of str
        Session keys of animals that give gradients, and of those that give none. Every session, held out or not, has
        all three parts: the training part of a held-out animal is what its context may be taken from.
    part_of_content : ndarray of int8, (n_content,)
        0 train, 1 validation, 2 test, 3 never (uniform frames). For splits by presentation 0 or 3.
    unit_of_content : ndarray of int64, (n_content,)
        Content held out together; -1 for uniform frames.
    part_of_presentation : mapping of str to ndarray of int8
        For splits by presentation: part of every row of a session's presentation table. Else empty.
    content_disjoint : bool
        Whether no frame of a test clip is shown in training. A figure from a split where this is false says so.
    """

    store_digest: str
    configuration: SplitConfiguration
    train_sessions: tuple[str, ...]
    held_out_sessions: tuple[str, ...]
    part_of_content: npt.NDArray[np.int8]
    unit_of_content: npt.NDArray[np.int64]
    part_of_presentation: Mapping[str, npt.NDArray[np.int8]]
    cell_statistics: Mapping[str, CellStatistics]

    @property
    def content_disjoint(self) -> bool:
        return self.configuration.by == "content"

    def statistics(self, key: str) -> CellStatistics:
        """Mean and scale of a session's cells and auxiliary variables over its training part, by session key."""
        return self.cell_statistics[key]

    def part_of_rows(self, session: StoredSession) -> npt.NDArray[np.int8]:
        """Part of every frame of a session, (F,); 3 for uniform frames and frames of no part."""
        part = self.part_of_content[session.content]
        if self.configuration.by == "presentation":
            part = np.where(part == NO_PART, NO_PART, self.part_of_presentation[session.key][session.presentation])
        return part.astype(np.int8)

    def clip_starts(
        self, session: StoredSession, part: Part, *, n_frames: int, stride: int = 1
    ) -> npt.NDArray[np.int64]:
        """Rows of a session at which a whole clip of one part starts.

        A clip has known activity throughout, lies in one segment, and all its frames belong to the part; uniform
        frames may stand in any part's clips but make up less than half of one.

        Parameters
        ----------
        session : StoredSession
            A session of the store the split was made for.
        part : {"train", "validation", "test"}
            Which part.
        n_frames : int
            Frames of a clip, T.
        stride : int
            1 gives every start. Larger strides give starts at least so many rows apart, in register with the stimulus:
            counted from the beginning of each unit of content, so that repeats, and other animals' showings, of one
            movie are cut into the same clips wherever frames were not dropped.

        Returns
        -------
        ndarray of int64
            In order; empty where there is no such clip.

        Raises
        ------
        StoreError
            If no segment of the session is as long as the clip.
        """
        longest = int(np.max(np.unique(session.segment, return_counts=True)[1]))
        if n_frames > longest or n_frames < 1 or stride < 1:
            raise StoreError(
                f"clips of {n_frames} frames asked for, where the longest unbroken stretch has {longest}",
                expected=f"1 to {longest} frames",
                remedy="choose shorter clips (clip_frames)",
                file=session.folder,
            )
        starts = self._all_starts(session, part, n_frames)
        if stride == 1 or not len(starts):
            return starts
        in_register = starts[self._in_register(session, stride)[starts]]
        return _apart(in_register if len(in_register) else starts, stride)

    def distinct_clips(self, session: StoredSession, part: Part, *, n_frames: int) -> DistinctClips:
        """The different clips of one part, side by side without overlap, each with all its showings.

        Raises
        ------
        StoreError
            If the part has no clip of that length.
        """
        grid = self.clip_starts(session, part, n_frames=n_frames, stride=n_frames)
        if not len(grid):
            raise self.no_clips(session, part, n_frames)
        grid_content = session.content[grid[:, None] + np.arange(n_frames)]
        _, first = np.unique(_as_items(grid_content), return_index=True)
        first.sort()
        everywhere = self._all_starts(session, part, n_frames)
        items = _as_items(session.content[everywhere[:, None] + np.arange(n_frames)])
        order = np.argsort(items, kind="stable")
        distinct = _as_items(grid_content[first])
        begin = np.searchsorted(items[order], distinct, side="left")
        end = np.searchsorted(items[order], distinct, side="right")
        showings = tuple(np.sort(everywhere[order[a:b]]) for a, b in zip(begin, end, strict=True))
        return DistinctClips(grid[first], grid_content[first], showings)

    def no_clips(self, session: StoredSession, part: Part, n_frames: int) -> StoreError:
        """The error that says why a part has no clip of that length, and how long its clips could be."""
        rows = (self.part_of_rows(session) == PARTS.index(part)) & session.valid
        return StoreError(
            f"no {part} clip of {n_frames} frames in session {session.key}: that part has {int(rows.sum())} frames "
            f"with known activity, at most {_longest_stretch(rows, session.segment)} in a row",
            expected="at least one",
            remedy="choose shorter clips (clip_frames), longer units (split.block_frames) or a larger fraction; where "
            "one thing is shown over and over, set split.by to presentation",
            file=session.folder,
        )

    def as_dict(self) -> dict[str, Any]:
        """The split as plain values for JSON."""
        return {
            "store_digest": self.store_digest,
            "content_disjoint": self.content_disjoint,
            "configuration": self.configuration.model_dump(mode="json"),
            "train_sessions": list(self.train_sessions),
            "held_out_sessions": list(self.held_out_sessions),
            "part_of_content": self.part_of_content.tolist(),
            "unit_of_content": self.unit_of_content.tolist(),
            "part_of_presentation": {key: part.tolist() for key, part in self.part_of_presentation.items()},
            "statistics": {
                key: {name: values.tolist() for name, values in statistics._asdict().items()}
                for key, statistics in self.cell_statistics.items()
            },
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Write one JSON file, whole or not at all."""
        with whole_file(path) as beside:
            beside.write_text(json.dumps(self.as_dict(), allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Split:
        """Read what :meth:`save` wrote.

        Raises
        ------
        StoreError
            If the file is missing or holds no split.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(
                store_digest=str(values["store_digest"]),
                configuration=SplitConfiguration.from_mapping(values["configuration"], file=path),
                train_sessions=tuple(values["train_sessions"]),
                held_out_sessions=tuple(values["held_out_sessions"]),
                part_of_content=np.asarray(values["part_of_content"], dtype=np.int8),
                unit_of_content=np.asarray(values["unit_of_content"], dtype=np.int64),
                part_of_presentation={
                    key: np.asarray(part, dtype=np.int8) for key, part in values["part_of_presentation"].items()
                },
                cell_statistics={
                    key: CellStatistics(**{name: np.asarray(value, dtype=np.float32) for name, value in entry.items()})
                    for key, entry in values["statistics"].items()
                },
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
            raise StoreError(
                f"a file that holds no split ({problem})",
                expected="a JSON file written by Split.save",
                remedy="train again, or make the split again",
                file=path,
            ) from problem

    def check(self, store: ClipStore) -> None:
        """Refuse a store other than the one the split was made for.

        Raises
        ------
        StoreError
            If the digests differ.
        """
        if store.digest != self.store_digest:
            raise StoreError(
                f"a store with digest {store.digest[:12]}",
                expected=f"{self.store_digest[:12]}, the store the split was made for",
                remedy="use that store, or make a new split",
                file=store.path,
            )

    def _all_starts(self, session: StoredSession, part: Part, n_frames: int) -> npt.NDArray[np.int64]:
        of_row = self.part_of_rows(session)
        own = of_row == PARTS.index(part)
        allowed = session.valid & (own | self._blank_rows(session))
        if session.n_frames < n_frames:
            return np.empty(0, dtype=np.int64)
        whole = (
            (_windowed(allowed, n_frames) == n_frames)
            & (2 * _windowed(own, n_frames) > n_frames)
            & (session.segment[: session.n_frames - n_frames + 1] == session.segment[n_frames - 1 :])
        )
        return np.flatnonzero(whole).astype(np.int64)

    def _blank_rows(self, session: StoredSession) -> npt.NDArray[np.bool_]:
        blank: npt.NDArray[np.bool_] = self.part_of_content[session.content] == NO_PART
        return blank

    def _in_register(self, session: StoredSession, stride: int) -> npt.NDArray[np.bool_]:
        """Rows at which a whole number of strides has passed since the beginning of the unit of content."""
        rows = np.arange(session.n_frames)
        new = np.r_[True, np.diff(session.presentation) != 0]
        tick = rows - np.maximum.accumulate(np.where(new, rows, 0))
        ticks = max(1, round(session.n_frames / max(1, int(new.sum()))))
        n_units = int(self.unit_of_content.max(initial=-1)) + 1
        first = np.full(n_units + 1, len(self.unit_of_content), dtype=np.int64)
        np.minimum.at(first, self.unit_of_content, np.arange(len(self.unit_of_content)))
        position = session.content - first[self.unit_of_content[session.content]]
        in_register: npt.NDArray[np.bool_] = (
            (tick == 0) & (position % max(1, stride // ticks) == 0) & ~self._blank_rows(session)
        )
        return in_register


def make_split(
    store: ClipStore, configuration: SplitConfiguration | None = None, *, n_frames: int | None = None
) -> Split:
    """Hold out animals and stimulus content of a store.

    Units of content are whole movies where every session shows many of them, blocks of ``block_frames`` frames where
    it shows few, and single images; units that share a frame (equal pixels, uniform frames apart) are one. Test and
    validation units are drawn from content every animal saw as far as there is enough of it, so that what one animal
    saw can be looked for in another, and then from each session's own.

    Parameters
    ----------
    store : ClipStore
        What to divide.
    configuration : SplitConfiguration, optional
        What to hold out.
    n_frames : int, optional
        Frames of the clips that will be asked for: refuse now, not after training, if a session has no training or no
        test clip of that length.

    Raises
    ------
    StoreError
        If a subject to hold out is not there, no subject would be left to train on, or there are too few units or
        too short clips.
    """
    configuration = SplitConfiguration() if configuration is None else configuration
    random = np.random.default_rng([configuration.seed, 0x5B11])
    held_out = _draw_subjects(store, configuration, random)
    train = tuple(key for key, session in store.sessions.items() if session.subject not in held_out)
    part_of_content = np.where(store.blank_content, NO_PART, 0).astype(np.int8)
    part_of_presentation: dict[str, npt.NDArray[np.int8]] = {}
    unit_of_content = _units(store, configuration.block_frames)
    if configuration.by == "content":
        part_of_unit = _draw_units(store, unit_of_content, configuration, random)
        part_of_content = np.where(unit_of_content < 0, NO_PART, part_of_unit[unit_of_content]).astype(np.int8)
    else:
        for key, session in store.sessions.items():
            part_of_presentation[key] = _draw_presentations(session, configuration, random)
    split = Split(
        store_digest=store.digest,
        configuration=configuration,
        train_sessions=train,
        held_out_sessions=tuple(key for key in store.sessions if key not in train),
        part_of_content=part_of_content,
        unit_of_content=unit_of_content,
        part_of_presentation=part_of_presentation,
        cell_statistics={},
    )
    statistics = {
        key: _statistics(session, split.part_of_rows(session) == 0) for key, session in store.sessions.items()
    }
    split = replace(split, cell_statistics=statistics)
    if n_frames is not None:
        for session in store.sessions.values():
            for part in (PARTS[0], PARTS[2]):
                if not len(split.clip_starts(session, part, n_frames=n_frames)):
                    raise split.no_clips(session, part, n_frames)
    return split


def _draw_subjects(store: ClipStore, configuration: SplitConfiguration, random: np.random.Generator) -> set[str]:
    subjects = store.subjects
    wanted = configuration.held_out
    if wanted is None:
        wanted = 1 if len(subjects) >= 3 else 0
    if isinstance(wanted, int):
        drawn = [subjects[index] for index in random.permutation(len(subjects))[:wanted]]
        count = wanted
    else:
        unknown = sorted(set(wanted) - set(subjects))
        if unknown:
            raise StoreError(
                f"no subject {unknown[0]!r} in the store",
                expected=f"subjects among {', '.join(subjects)}",
                remedy="correct split.held_out",
                file=store.path,
                object_path="split.held_out",
            )
        drawn = list(wanted)
        count = len(set(wanted))
    if count >= len(subjects):
        raise StoreError(
            f"{count} of {len(subjects)} subjects held out",
            expected="at least one subject to train on",
            remedy="hold out fewer subjects or prepare more",
            file=store.path,
            object_path="split.held_out",
        )
    return set(drawn)


def _units(store: ClipStore, block_frames: int) -> npt.NDArray[np.int64]:
    """Unit of every content, (n_content,), numbered in order of first content; -1 for uniform frames."""
    whole = _merged_units(store, None)
    least = min(len(np.unique(_shown_units(session, whole))) for session in store.sessions.values())
    return whole if least >= ENOUGH_UNITS else _merged_units(store, block_frames)


def _merged_units(store: ClipStore, block_frames: int | None) -> npt.NDArray[np.int64]:
    contents: list[npt.NDArray[np.int64]] = []
    labels: list[npt.NDArray[np.int64]] = []
    n_labels = 0
    for session in store.sessions.values():
        for number in range(len(session.template_names)):
            rows = np.flatnonzero((session.template == number) & ~store.blank_content[session.content])
            if not len(rows):
                continue
            frame = session.frame[rows]
            if not shown_in_sequence(frame):
                block = frame
            elif block_frames is None:
                block = np.zeros_like(frame)
            else:
                block = frame // block_frames
            _, block = np.unique(block, return_inverse=True)
            contents.append(session.content[rows])
            labels.append(block + n_labels)
            n_labels += int(block.max()) + 1
    unit = np.full(store.n_content, -1, dtype=np.int64)
    if contents:
        pairs = np.unique(np.stack([np.concatenate(contents), np.concatenate(labels)], axis=1), axis=0)
        root = _united(pairs, store.n_content, n_labels)
        shown = np.unique(pairs[:, 0])
        _, first, inverse = np.unique(root[shown], return_index=True, return_inverse=True)
        unit[shown] = np.argsort(np.argsort(first))[inverse]
    return unit


def _united(pairs: npt.NDArray[np.int64], n_content: int, n_labels: int) -> npt.NDArray[np.int64]:
    """Connected component of every content, joined through the labels they share."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = n_content + n_labels
    links = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1] + n_content)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][:n_content], dtype=np.int64)


def _shown_units(session: StoredSession, unit_of_content: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    units = np.unique(unit_of_content[session.content[session.valid]])
    return units[units >= 0]


def _draw_units(
    store: ClipStore,
    unit_of_content: npt.NDArray[np.int64],
    configuration: SplitConfiguration,
    random: np.random.Generator,
) -> npt.NDArray[np.int8]:
    part = np.zeros(int(unit_of_content.max(initial=-1)) + 1, dtype=np.int8)
    fractions = {2: configuration.test_fraction, 1: configuration.validation_fraction}
    shown = {key: _shown_units(session, unit_of_content) for key, session in store.sessions.items()}
    fewest = min(shown, key=lambda key: len(shown[key]))
    needed = 2 + (configuration.validation_fraction > 0)
    if len(shown[fewest]) < needed:
        raise StoreError(
            f"too few different stimuli in session {fewest}: {len(shown[fewest])} to hold out one by one",
            expected=f"at least {needed}, to test on content that was never trained on",
            remedy="set split.by to presentation (held out are then single showings of the same content) "
            "or make split.block_frames smaller",
            file=store.path,
            object_path="split.by",
        )
    shared = np.flatnonzero(np.bincount(np.concatenate(list(shown.values())), minlength=len(part)) == len(shown))
    for number, fraction in fractions.items():
        if not fraction:
            continue
        quota = {key: max(1, round(fraction * len(units))) for key, units in shown.items()}
        free = random.permutation(shared[part[shared] == 0])
        # No more than the session that shows least can spare: it may show nothing that the others do not.
        part[free[: min(quota.values())]] = number
        for key, units in shown.items():
            lacking = quota[key] - int(np.sum(part[units] == number))
            if lacking > 0:
                left = random.permutation(units[part[units] == 0])
                everywhere = np.isin(left, shared)
                part[np.concatenate([left[~everywhere], left[everywhere]])[:lacking]] = number
    for key, units in shown.items():
        for number, name in enumerate(PARTS):
            if (number == 0 or fractions[number]) and not np.any(part[units] == number):
                raise StoreError(
                    f"no {name} content left in session {key} ({len(units)} units)",
                    expected="content for every part",
                    remedy="make test_fraction and validation_fraction smaller, or split.block_frames",
                    file=store.path,
                    object_path="split",
                )
    return part


def _draw_presentations(
    session: StoredSession, configuration: SplitConfiguration, random: np.random.Generator
) -> npt.NDArray[np.int8]:
    """Part of every row of the presentation table: stretches of time of at least ``block_frames``, cut between rows."""
    length = int(session.presentation.max()) + 1
    part = np.full(length, NO_PART, dtype=np.int8)
    new_segment = np.r_[True, np.diff(session.segment) != 0]
    rows = np.arange(session.n_frames)
    within = rows - np.maximum.accumulate(np.where(new_segment, rows, 0))
    group = np.cumsum(np.r_[False, (np.diff(within // configuration.block_frames) != 0) | new_segment[1:]])
    presentations, first = np.unique(session.presentation, return_index=True)
    groups, group_of = np.unique(group[first], return_inverse=True)
    parts = 1 + (configuration.validation_fraction > 0)
    if len(groups) < parts + 1:
        raise StoreError(
            f"{len(groups)} stretches of presentations in session {session.key}",
            expected=f"at least {parts + 1}",
            remedy="make split.block_frames smaller",
            file=session.folder,
            object_path="split.block_frames",
        )
    n_test = max(1, round(configuration.test_fraction * len(groups)))
    n_validation = max(1, round(configuration.validation_fraction * len(groups))) if parts == 2 else 0
    if n_test + n_validation >= len(groups):
        raise StoreError(
            f"nothing left to train on in session {session.key}",
            expected="fractions that leave a training part",
            remedy="make test_fraction and validation_fraction smaller",
            file=session.folder,
            object_path="split",
        )
    order = random.permutation(len(groups))
    of_group = np.zeros(len(groups), dtype=np.int8)
    of_group[order[:n_test]] = 2
    of_group[order[n_test : n_test + n_validation]] = 1
    part[presentations] = of_group[group_of]
    return part


def _statistics(session: StoredSession, training: npt.NDArray[np.bool_]) -> CellStatistics:
    rows = np.flatnonzero(training & session.valid)
    if not len(rows):
        raise StoreError(
            f"no frame of the training part with known activity in session {session.key}",
            expected="at least one",
            remedy="make test_fraction and validation_fraction smaller",
            file=session.folder,
        )
    mean, deviation = _mean_and_deviation(session.neural, rows)
    auxiliary_mean, auxiliary_deviation = _mean_and_deviation(session.auxiliary, rows)
    scale = _floored(deviation)
    if session.trace_kind == "spikes":
        mean, scale = np.zeros_like(mean), np.ones_like(scale)
    elif session.trace_kind in ("deconvolved", "events"):
        mean = np.zeros_like(mean)
    auxiliary_scale = np.where(auxiliary_deviation > 0, auxiliary_deviation, 1.0)
    return CellStatistics(*(values.astype(np.float32) for values in (mean, scale, auxiliary_mean, auxiliary_scale)))


def _mean_and_deviation(
    values: npt.NDArray[Any], rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Streamed over chunks of rows; the sums are taken about the first chunk's mean, which keeps them exact."""
    about = values[rows[:_CHUNK_ROWS]].astype(np.float64).mean(axis=0)
    total = np.zeros_like(about)
    squares = np.zeros_like(about)
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = values[rows[start : start + _CHUNK_ROWS]].astype(np.float64) - about
        total += chunk.sum(axis=0)
        squares += np.einsum("ij,ij->j", chunk, chunk)
    shift = total / len(rows)
    return about + shift, np.sqrt(np.clip(squares / len(rows) - shift**2, 0.0, None))


def _floored(deviation: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    active = deviation[deviation > 0]
    floor = 1e-3 * float(np.median(active)) if len(active) else 1.0
    return np.where(deviation > 0, np.maximum(deviation, floor), 1.0)


def _windowed(flags: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.int64]:
    """Number of true flags in every window of ``length``, by its first row."""
    total = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    return np.asarray(total[length:] - total[:-length], dtype=np.int64)


def _apart(starts: npt.NDArray[np.int64], distance: int) -> npt.NDArray[np.int64]:
    kept: list[int] = []
    for start in starts.tolist():
        if not kept or start >= kept[-1] + distance:
            kept.append(start)
    return np.asarray(kept, dtype=np.int64)


def _as_items(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    """Rows of a matrix as single items that compare and sort as a whole (in an order of no meaning)."""
    contiguous = np.ascontiguousarray(rows)
    return contiguous.view(np.dtype((np.void, contiguous.dtype.itemsize * contiguous.shape[1]))).reshape(-1)


def _longest_stretch(flags: npt.NDArray[np.bool_], segment: npt.NDArray[np.int32]) -> int:
    border = np.flatnonzero(np.r_[True, (np.diff(flags.astype(np.int8)) != 0) | (np.diff(segment) != 0), True])
    lengths = np.diff(border)[flags[border[:-1]]]
    return int(lengths.max(initial=0))
