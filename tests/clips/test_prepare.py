from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from nwb_mivae.alignment import AlignmentConfiguration
from nwb_mivae.clips import ClipsConfiguration, ClipStore, prepare
from nwb_mivae.errors import ConfigurationError, OutputError, SessionError, StoreError
from nwb_mivae.sessions import Session, SessionsConfiguration
from tests.alignment.sessions import make_session, movie, presentation_table, sampled

SMALL = ClipsConfiguration(height=6, width=8)


def session_of(path: Path | str, number: int = 0, **more) -> Session:
    start = 1.0 + np.arange(120) / 30
    timestamps = np.arange(0, 7, 1 / 20)
    values = np.random.default_rng(number).standard_normal((len(timestamps), 4))
    return make_session(
        presentation_table(start, start + 1 / 30, np.arange(120)),
        more.pop("traces", sampled(timestamps, values)),
        [movie(120, seed=more.pop("movie", 0))],
        key=f"session-{number}",
        subject=f"mouse-{number}",
        path=str(path),
        **more,
    )


@pytest.fixture
def reading(monkeypatch) -> list[str]:
    """Replace the reader by one that takes the text of a file for the number of its session; names of what it read."""
    names: list[str] = []

    def read_session(source, *, stimulus_folder=None, configuration=None):
        (path,) = source
        names.append(Path(path).name)
        text = Path(path).read_text()
        if not text.isdigit():
            raise SessionError("words", expected="a number", remedy="write a number", file=path)
        session = session_of(path, int(text))
        if Path(path).name.startswith("external"):
            session.templates["movie"].origin = "external"
        return session

    monkeypatch.setattr(importlib.import_module("nwb_mivae.sessions"), "read_session", read_session)
    return names


@pytest.fixture
def files(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{number}.nwb" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_text(str(number))
    return paths


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_open_sessions_are_prepared_and_left_open(tmp_path):
    closed = []
    sessions = [session_of(tmp_path / f"{number}.nwb", number) for number in range(2)]
    for session in sessions:
        session.on_close = lambda: closed.append(1)
    store = prepare(sessions, tmp_path / "store", configuration=SMALL)
    assert list(store.sessions) == ["session-0", "session-1"]
    assert store.stimulus.shape == (120, 6, 8)
    assert not closed
    source = store.sessions["session-0"].source
    assert source["path"] == str(tmp_path / "0.nwb")
    assert source["sha256"] is None
    assert source["object_id"] == "object-session-0"
    assert source["trace_path"] == "processing/ophys/DfOverF/traces"
    assert store.manifest["configuration"]["clips"]["height"] == 6
    assert store.manifest["provenance"]["packages"]


def test_the_same_call_again_reads_and_writes_nothing(tmp_path, files, reading):
    first = prepare(files, tmp_path / "store", configuration=SMALL)
    before = contents(tmp_path / "store")
    reading.clear()
    second = prepare(files, tmp_path / "store", configuration=SMALL)
    assert reading == []
    assert contents(tmp_path / "store") == before
    assert second.digest == first.digest
    assert len(first.sessions["session-1"].source["sha256"]) == 64


def test_only_what_changed_is_prepared_again(tmp_path, files, reading):
    first = prepare(files, tmp_path / "store", configuration=SMALL)
    files[1].write_text("7")
    reading.clear()
    second = prepare(files, tmp_path / "store", configuration=SMALL)
    assert reading == ["1.nwb"]
    assert list(second.sessions) == ["session-0", "session-2", "session-7"]
    assert not (tmp_path / "store/sessions/session-1").exists()
    assert second.digest != first.digest
    assert not (tmp_path / "store/staged").exists()
    ClipStore.open(tmp_path / "store", verify=True)


def test_the_store_does_not_depend_on_its_history(tmp_path, files, reading):
    prepare(files[1:], tmp_path / "grown", configuration=SMALL)
    grown = prepare(files, tmp_path / "grown", configuration=SMALL)
    fresh = prepare(files[::-1], tmp_path / "fresh", configuration=SMALL)
    assert reading == ["1.nwb", "2.nwb", "0.nwb", "2.nwb", "1.nwb", "0.nwb"]
    assert grown.digest == fresh.digest
    fewer = prepare(files[:1], tmp_path / "grown", configuration=SMALL)
    assert list(fewer.sessions) == ["session-0"]
    assert len(reading) == 6


def test_other_settings_prepare_again(tmp_path, files, reading):
    prepare(files, tmp_path / "store", configuration=SMALL)
    reading.clear()
    store = prepare(files, tmp_path / "store", configuration=SMALL, alignment=AlignmentConfiguration(lag=0.1))
    assert len(reading) == 3
    assert store.manifest["configuration"]["alignment"]["lag"] == 0.1
    larger = prepare(files, tmp_path / "store", configuration=ClipsConfiguration(height=9, width=16))
    assert larger.stimulus.shape == (120, 9, 16)


def test_conventions_of_ones_own_count_by_what_they_say(tmp_path, files, reading):
    one = tmp_path / "one.yaml"
    one.write_text("running_names: [belt]\n")
    before = prepare(
        files, tmp_path / "store", configuration=SMALL, sessions=SessionsConfiguration(conventions=str(one))
    )
    reading.clear()
    moved = one.rename(tmp_path / "moved.yaml")
    settings = SessionsConfiguration(conventions=str(moved))
    after = prepare(files, tmp_path / "store", configuration=SMALL, sessions=settings)
    assert reading == []
    assert after.digest == before.digest
    assert after.manifest["configuration"]["sessions"]["conventions"] == str(moved)
    moved.write_text("running_names: [wheel]\n")
    prepare(files, tmp_path / "store", configuration=SMALL, sessions=settings)
    assert len(reading) == 3


def test_conventions_that_cannot_be_read_leave_no_store(tmp_path, files, reading):
    settings = SessionsConfiguration(conventions=str(tmp_path / "absent.yaml"))
    with pytest.raises(ConfigurationError):
        prepare(files, tmp_path / "store", configuration=SMALL, sessions=settings)
    assert not (tmp_path / "store").exists()


def test_an_open_session_is_prepared_as_it_is_now(tmp_path, files):
    for sign in (1.0, -1.0):
        timestamps = np.arange(0, 7, 1 / 20)
        session = session_of(files[0], traces=sampled(timestamps, np.full((len(timestamps), 4), sign)))
        store = prepare([session], tmp_path / "store", configuration=SMALL)
        (stored,) = store.sessions.values()
        assert stored.neural[stored.valid] == pytest.approx(sign)


def test_an_interrupted_call_is_taken_up_where_it_stopped(tmp_path, files, reading, monkeypatch):
    module = importlib.import_module("nwb_mivae.clips.writing")
    save = module.np.save
    written = []

    def interrupted(path, array, **more):
        written.append(path)
        if "session-1" in str(path) and Path(str(path)).name == "segment.npy":
            raise KeyboardInterrupt
        save(path, array, **more)

    monkeypatch.setattr(module.np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(files, tmp_path / "store", configuration=SMALL)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "store/sessions").iterdir()] == ["session-0"]
    with pytest.raises(StoreError, match="no manifest"):
        ClipStore.open(tmp_path / "store")


def test_after_an_interruption_complete_sessions_are_kept(tmp_path, files, reading, monkeypatch):
    module = importlib.import_module("nwb_mivae.clips.prepare")
    align = module.align
    with monkeypatch.context() as patch:

        def interrupted(session, configuration, **more):
            if session.key == "session-1":
                raise KeyboardInterrupt
            return align(session, configuration, **more)

        patch.setattr(module, "align", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(files, tmp_path / "store", configuration=SMALL)
    # A process that was killed leaves its half-written folder as well.
    leftover = tmp_path / "store/sessions/.session-1.0123abcd.partial"
    leftover.mkdir()
    (leftover / "neural.npy").write_bytes(b"half")
    (tmp_path / "store/.stimulus.0123abcd.partial.npy").write_bytes(b"half")
    reading.clear()
    store = prepare(files, tmp_path / "store", configuration=SMALL)
    assert reading == ["1.nwb", "2.nwb"]
    assert not leftover.exists()
    assert store.digest == prepare(files, tmp_path / "fresh", configuration=SMALL).digest


@pytest.mark.parametrize(
    ("name", "read_again"),
    [
        ("sessions/session-1/neural.npy", ["1.nwb"]),
        ("sessions/session-1/session.json", ["1.nwb"]),
        ("sessions/session-1/frame_digest.npy", ["1.nwb"]),
        ("sessions/session-1/stimulus_row.npy", []),
        ("stimulus.npy", ["0.nwb", "1.nwb", "2.nwb"]),
        ("manifest.json", []),
    ],
)
@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_preparing_again_repairs_a_damaged_store(tmp_path, files, reading, name, read_again, how):
    whole = prepare(files, tmp_path / "store", configuration=SMALL)
    path = tmp_path / "store" / name
    data = path.read_bytes()
    if how == "flip":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 0xFF]))
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.unlink()
    reading.clear()
    store = prepare(files, tmp_path / "store", configuration=SMALL)
    # Frames shared by all animals are staged again by the first session; the others then find them.
    assert set(reading) <= set(read_again) if name == "stimulus.npy" else reading == read_again
    assert store.digest == whole.digest
    ClipStore.open(tmp_path / "store", verify=True)


def test_one_failure_does_not_stop_the_others(tmp_path, files, reading):
    files[1].write_text("not a number")
    missing = tmp_path / "missing.nwb"
    store = prepare([*files, missing], tmp_path / "store", configuration=SMALL)
    assert list(store.sessions) == ["session-0", "session-2"]
    failures = store.manifest["failures"]
    assert [failure["file"] for failure in failures] == [str(files[1]), str(missing)]
    assert failures[0]["found"] == "words"
    assert failures[0]["error"] == "SessionError"
    # The failure is gone from the manifest once it is gone from the sources; nothing is prepared again for that.
    reading.clear()
    again = prepare([files[0], files[2]], tmp_path / "store", configuration=SMALL)
    assert again.manifest["failures"] == []
    assert reading == []
    assert again.digest == store.digest


def test_failures_of_alignment_are_failures_of_their_session(tmp_path):
    silent = session_of("silent.nwb", 1, traces=sampled(np.arange(200) + 1000.0, np.ones((200, 2))))
    store = prepare([session_of("fine.nwb", 0), silent], tmp_path / "store", configuration=SMALL)
    assert store.manifest["failures"][0]["error"] == "AlignmentError"
    assert store.manifest["failures"][0]["file"] == "silent.nwb"


def test_if_none_succeeds_the_first_reason_is_given(tmp_path, files, reading):
    for path in files:
        path.write_text("no")
    with pytest.raises(StoreError, match="words") as caught:
        prepare(files, tmp_path / "store", configuration=SMALL)
    assert caught.value.remedy == "write a number"
    assert caught.value.file == str(files[0])
    assert all(str(path) in caught.value.found for path in files[1:])
    assert not (tmp_path / "store").exists()
    with pytest.raises(StoreError, match="no session"):
        prepare([], tmp_path / "store", configuration=SMALL)


def test_the_same_source_twice_is_one_session_and_one_failure(tmp_path, files, reading):
    for _ in range(2):
        store = prepare([files[0], files[0]], tmp_path / "store", configuration=SMALL)
        assert list(store.sessions) == ["session-0"]
        assert "same bytes" in store.manifest["failures"][0]["found"]


def test_a_copy_under_another_name_is_not_another_session(tmp_path, files, reading):
    copy = tmp_path / "copy.nwb"
    copy.write_bytes(files[0].read_bytes())
    store = prepare([files[0], copy, files[1]], tmp_path / "store", configuration=SMALL)
    assert list(store.sessions) == ["session-0", "session-1"]
    assert store.manifest["failures"][0]["file"] == str(copy)
    assert str(files[0]) in store.manifest["failures"][0]["found"]


def test_a_recording_that_moved_is_found_where_it_is_now(tmp_path, files, reading):
    before = prepare(files, tmp_path / "store", configuration=SMALL)
    reading.clear()
    (tmp_path / "elsewhere").mkdir()
    moved = [path.rename(tmp_path / "elsewhere" / path.name) for path in files]
    after = prepare(moved, tmp_path / "store", configuration=SMALL)
    assert [session.source["path"] for session in after.sessions.values()] == [str(path) for path in moved]
    assert reading == []
    assert after.digest == before.digest
    assert prepare(moved, tmp_path / "store", configuration=SMALL).manifest == after.manifest


def test_a_recording_of_another_name_is_read_again(tmp_path, files, reading):
    prepare(files, tmp_path / "store", configuration=SMALL)
    reading.clear()
    prepare([files[0].rename(tmp_path / "other.nwb"), *files[1:]], tmp_path / "store", configuration=SMALL)
    assert reading == ["other.nwb"]


def test_changed_movies_are_read_again(tmp_path, files, reading):
    movies = tmp_path / "movies"
    movies.mkdir()
    (movies / "a.mp4").write_bytes(b"one")
    prepare(files, tmp_path / "store", configuration=SMALL, stimulus_folder=movies)
    reading.clear()
    prepare(files, tmp_path / "store", configuration=SMALL, stimulus_folder=movies)
    assert reading == []
    (movies / "a.mp4").write_bytes(b"another")
    prepare(files, tmp_path / "store", configuration=SMALL, stimulus_folder=movies)
    assert len(reading) == 3


def test_movies_that_no_folder_names_are_never_trusted_to_be_the_same(tmp_path, files, reading):
    external = tmp_path / "external.nwb"
    external.write_text("5")
    prepare([external, files[0]], tmp_path / "store", configuration=SMALL)
    prepare([external, files[0]], tmp_path / "store", configuration=SMALL)
    assert reading == ["external.nwb", "0.nwb", "external.nwb"]


def test_movies_outside_the_stimulus_folder_are_not_trusted_either(tmp_path, files, monkeypatch):
    """A movie may lie beside the NWB file although a stimulus folder is given, or be put there later."""
    sessions = importlib.import_module("nwb_mivae.sessions")
    (tmp_path / "movies").mkdir()
    read = []

    def prepared_again(change) -> bool:
        def read_session(source, **more):
            read.append(source)
            session = session_of(source[0])
            change(session)
            return session

        monkeypatch.setattr(sessions, "read_session", read_session)
        read.clear()
        for _ in range(2):
            prepare(files[:1], tmp_path / "store", configuration=SMALL, stimulus_folder=tmp_path / "movies")
        return len(read) == 2

    def lies(folder: Path):
        def change(session: Session) -> None:
            template = session.templates["movie"]
            template.origin, template.path = "external", folder / "movie.mp4"

        return change

    def lacks(name: str):
        def change(session: Session) -> None:
            session.missing_templates = {name: "no file"}
            session.presentations = session.presentations.assign(
                template=["movie"] * 100 + [name] * (len(session.presentations) - 100)
            )

        return change

    assert prepared_again(lies(tmp_path))
    files[0].write_text("another file")
    assert not prepared_again(lies(tmp_path / "movies"))
    files[0].write_text("a third one")
    assert prepared_again(lacks("movie.mp4"))
    files[0].write_text("a fourth one")
    assert not prepared_again(lacks("natural_movie_one"))


def test_progress_is_told(tmp_path, files, reading):
    told = []
    prepare(files, tmp_path / "store", configuration=SMALL, progress=lambda *what: told.append(what))
    assert told == [
        ("preparing 0.nwb", 0, 3),
        ("preparing 1.nwb", 1, 3),
        ("preparing 2.nwb", 2, 3),
        ("writing the manifest", 3, 3),
    ]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        prepare([session_of("a.nwb")], tmp_path / "file/store", configuration=SMALL)


def test_sources_are_never_changed(tmp_path, files, reading):
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    prepare(files, tmp_path / "store", configuration=SMALL)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before
