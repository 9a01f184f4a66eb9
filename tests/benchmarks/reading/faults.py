"""What a user sees, how soon, and what is left on the disk when a server misbehaves; a table in Markdown.

    python -m tests.benchmarks.reading.faults [--only WORD]

runs `nwb-mivae download` and `nwb-mivae inspect dandi://...` against the stub archive of the tests, once for each kind
of fault. A fault begins with the first byte asked for or, where it says so, inside the file. The time-outs are the
real ones, so that all of it takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from nwb_mivae.cli.main import application
from tests.archive.stub_archive import StubArchive, StubAsset
from tests.nwb_files import add_movie, add_plane, add_table, add_traces, new_file, pixels_of, write

NAME = "sub-1/sub-1_ses-1_ophys.nwb"
TOKEN = "a-secret-token"

Fault = Callable[[StubArchive, StubAsset], None]


def _set(**behaviour: object) -> Fault:
    def fault(archive: StubArchive, asset: StubAsset) -> None:
        for name, value in behaviour.items():
            setattr(asset if hasattr(asset, name) else archive, name, value)

    return fault


def _in_the_middle(fault: Fault) -> Fault:
    """Break a download once, so that it asks again, and misbehave from what is asked for inside the file on."""

    def later(archive: StubArchive, asset: StubAsset) -> None:
        asset.breaks_after = [len(asset.content) // 2]

        def interfere(number: int) -> None:
            if number > 1 and not archive.downloads()[-1].get("Range", "").startswith("bytes=0-"):
                archive.interfere = lambda number: None
                fault(archive, asset)

        archive.interfere = interfere

    return later


def _replaced(archive: StubArchive, asset: StubAsset) -> None:
    asset.replace(bytes(asset.content)[::-1])


def _token_expired(archive: StubArchive, asset: StubAsset) -> None:
    archive.token, archive.signature = "another", "another"


FAULTS: dict[str, Fault] = {
    "none": _set(),
    "nobody listens": _set(),
    "the archive is silent": _set(),
    "500s from the archive": _set(answer=(500, b"down")),
    "500s from the storage": _set(download_status=500),
    "two 500s, then well again": _set(first_statuses=[500, 502]),
    "the storage is silent": _set(silent_for=60.0),
    "slow body (20 bytes a second)": _set(drips=0.05),
    "every body is cut off": _set(breaks_after=[1000] * 100),
    "every body is cut off, length not announced": _set(breaks_after=[1000] * 100, announces_length=False),
    "one broken line": _set(breaks_after=[40_000]),
    "wrong digest": _set(digests={"dandi:dandi-etag": "0" * 32 + "-1", "dandi:sha2-256": "0" * 64}),
    "ignored ranges": _set(ignores_ranges=True),
    "ignored ranges, after a broken line": _in_the_middle(_set(ignores_ranges=True)),
    "another range than asked for": _in_the_middle(_set(states_shifted_range=7)),
    "moved blob, new place known": _in_the_middle(_set(blob="elsewhere")),
    "moved blob, gone": _set(download_status=404),
    "replaced in the middle": _in_the_middle(_replaced),
    "a path with '..'": _set(path="../../outside.nwb"),
    "expired token": _set(token="another"),
    "expired token, in the middle": _in_the_middle(_token_expired),
    "expired signature, in the middle": _in_the_middle(_set(signature="another")),
}


@dataclass(frozen=True)
class Outcome:
    """What one command did."""

    code: int
    message: str
    seconds: float
    left: str

    def __str__(self) -> str:
        return f"{self.code} | {self.message} | {self.seconds:.1f} s | {self.left}"


def recording(path: Path) -> bytes:
    """A small session of half a megabyte that can be prepared."""
    nwbfile = new_file()
    table = add_plane(nwbfile, 40)
    add_traces(nwbfile, table, np.random.default_rng(0).normal(size=(1500, 40)))
    add_movie(nwbfile, "movie", pixels_of(100))
    frames = np.arange(1000)
    add_table(
        nwbfile,
        "movie_presentations",
        start_time=frames / 10,
        stop_time=(frames + 1) / 10,
        stimulus_name=["movie"] * len(frames),
        frame=frames % 100,
    )
    return write(nwbfile, path).read_bytes()


@contextmanager
def _archive(name: str, content: bytes) -> Iterator[str]:
    """A stub archive with this fault, as the preferred one; the text is its API's address."""
    with StubArchive() as archive, socket.socket() as unanswering:
        unanswering.bind(("127.0.0.1", 0))
        url = archive.url
        if name in ("nobody listens", "the archive is silent"):
            url = f"http://127.0.0.1:{unanswering.getsockname()[1]}/api"
            if name == "the archive is silent":
                unanswering.listen()
        asset = archive.add(NAME, content)
        if "token" in name:
            archive.token = TOKEN
            os.environ[archive.token_variable] = TOKEN
        FAULTS[name](archive, asset)
        os.environ["DANDI_INSTANCE"] = url
        yield url


def outcome(name: str, content: bytes, *, stream: bool) -> Outcome:
    """Run one command against an archive with the fault."""
    with tempfile.TemporaryDirectory() as place, _archive(name, content) as url:
        os.environ["NWB_MIVAE_CACHE"] = f"{place}/cache"
        command = ["inspect", "dandi://000999"] if stream else ["download", "000999", "--out", f"{place}/out"]
        start = time.perf_counter()
        result = CliRunner().invoke(application, [*command, "--quiet"])
        seconds = time.perf_counter() - start
        said = (result.stderr.strip() or "(done)").removeprefix("nwb-mivae: ")
        assert TOKEN not in result.output + said
        assert "secret" not in result.output + said
        said = said.replace(url, "URL").replace(place, "PLACE").replace("|", "/")
        return Outcome(result.exit_code, " ".join(said.split()), seconds, _left(Path(place), content))


def _left(place: Path, content: bytes) -> str:
    parts, files = 0, []
    for path in sorted(place.rglob("*")):
        if not path.is_file():
            continue
        stored = path.read_bytes()
        assert TOKEN.encode() not in stored
        if path.is_relative_to(place / "cache"):
            parts += 1
        elif ".dandidownload" in str(path):
            files += [f"resumable partial, {len(stored):,} bytes"] if path.name == "file" else []
        elif path.suffix == ".nwb":
            files.append("the whole file" if stored == content else "A WRONG FILE")
        else:
            files.append(path.name.removeprefix("nwb-mivae."))
    return ", ".join([*files, *([f"{parts} checked parts in the cache"] if parts else [])]) or "nothing"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only faults whose name contains this")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        content = recording(Path(folder) / "a.nwb")
        print(f"A file of {len(content):,} bytes.\n")
        print("| fault | how | exit code | message | after | left on disk |\n|---|---|---|---|---|---|")
        for name in FAULTS:
            if asked.only in name:
                for stream in (False, True):
                    result = outcome(name, content, stream=stream)
                    print(f"| {name} | {'stream' if stream else 'download'} | {result} |", flush=True)


if __name__ == "__main__":
    main()
