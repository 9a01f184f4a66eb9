"""Files into the draft of a dandiset: nothing is published or deleted, and after a failure it is known what is up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nwb_mivae.archive.asset import Asset
from nwb_mivae.archive.upload_metadata import merge_metadata
from nwb_mivae.archive.upload_parts import REPEATED, send_bytes
from nwb_mivae.archive.upload_plan import ETAG, LocalFile, PlannedFile, UploadPlan, asset_at, asset_of
from nwb_mivae.errors import ArchiveError, NwbMivaeError

if TYPE_CHECKING:
    from dandi.dandiapi import RemoteDandiset

    from nwb_mivae.archive.client import ArchiveClient

__all__ = ["InterruptedUploadError", "check_token", "create_dandiset", "upload_files"]


class InterruptedUploadError(ArchiveError):
    """An upload that stopped on its way.

    Attributes
    ----------
    uploaded, missing : tuple of str
        Paths that the draft has with the right bytes, and those that it does not have yet.
    changes : tuple of str
        What else was changed in the archive, in sentences.
    """

    uploaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        problem: NwbMivaeError,
        *,
        at: str,
        uploaded: Sequence[str],
        missing: Sequence[str],
        changes: Sequence[str],
        address: str,
    ) -> InterruptedUploadError:
        """The error that stopped it, with what was being sent, what is up and what is not."""
        said = [
            f"{problem.found}, at {at}",
            f"Up: {', '.join(uploaded) or 'nothing'}",
            f"Not up: {', '.join(missing) or 'nothing'}",
            *changes,
        ]
        error = cls(
            ". ".join(said),
            expected=problem.expected,
            remedy=f"{(problem.remedy or 'repeat the command').rstrip('.')}; "
            "the same command goes on with what is not up",
            file=address,
        )
        error.uploaded, error.missing, error.changes = tuple(uploaded), tuple(missing), tuple(changes)
        return error

    def after(self, change: str) -> InterruptedUploadError:
        """The same, where something was changed in the archive before the upload began."""
        error = type(self)(f"{self.found}. {change}", expected=self.expected, remedy=self.remedy, file=self.file)
        error.uploaded, error.missing, error.changes = self.uploaded, self.missing, (change, *self.changes)
        return error

    def as_dict(self) -> dict[str, Any]:
        return {
            **super().as_dict(),
            "uploaded": list(self.uploaded),
            "missing": list(self.missing),
            "changes": list(self.changes),
        }


def check_token(instance: str | None = None) -> None:
    """Refuse to go on without a token that an archive knows.

    Raises
    ------
    ArchiveError
        Naming the environment variable that is empty, or whose token the archive does not take.
    """
    from nwb_mivae.archive.client import ArchiveClient

    with ArchiveClient(instance, repeated=REPEATED) as client, _upload_errors(client.api_url):
        _sign_in(client)


def create_dandiset(title: str, metadata: Mapping[str, Any], *, instance: str | None = None) -> str:
    """Make a new dandiset, whose draft is empty.

    Returns
    -------
    str
        Its six digits.

    Raises
    ------
    ArchiveError
        If there is no valid token, or its owner has a dandiset of that title already: a command that is repeated after
        an interruption must not make another one.
    """
    from dandischema.consts import DANDI_SCHEMA_VERSION

    from nwb_mivae.archive.client import ArchiveClient

    with ArchiveClient(instance, repeated=REPEATED) as client, _upload_errors(client.api_url):
        _sign_in(client)
        for mine in client.get_dandisets(mine=True, draft=True, embargoed=True, empty=True):
            if mine.draft_version.name == title:
                raise ArchiveError(
                    f"a dandiset of yours that is called {title!r}: {mine.identifier}",
                    expected="a new title",
                    remedy=f"go on with --dandiset {mine.identifier}, or choose another title",
                    file=client.api_url,
                )
        schema = {"schemaKey": "Dandiset", "schemaVersion": DANDI_SCHEMA_VERSION}
        return str(client.create_dandiset(title, {**schema, **metadata}).identifier)


def upload_files(
    plan: UploadPlan,
    *,
    progress: Callable[[str, int, int], None] | None = None,
    finished: Callable[[str], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> list[Asset]:
    """Do what a plan says: complete the draft's description, then send file after file.

    The description comes first: that the draft may be changed, and that the archive takes what is said of it, shows
    before gigabytes are sent; and no file is ever in the draft without what it was made from.

    Each file becomes an asset only when all its bytes have arrived and were found to be right, so the draft never has
    half of one. After a failure nothing is taken back; a new plan finds what is up and leaves it alone. A file whose
    sending was interrupted is sent from its beginning, unless all its bytes had arrived.

    Parameters
    ----------
    plan : UploadPlan
        Of a dandiset that exists.
    progress : callable, optional
        ``progress(path, done, total)`` in bytes over all files that are sent.
    finished : callable, optional
        Told the path of each file as soon as the draft has it, and at once of those it had before.
    note : callable, optional
        Told in a sentence what else was changed, as soon as it was: the draft's description.

    Returns
    -------
    list of Asset
        What the draft has now, in the order of the plan's files.

    Raises
    ------
    ArchiveError
        If there is no valid token, or the archive does not speak the client's version of its schema; nothing changed.
    InterruptedUploadError
        If something fails after that.
    """
    from nwb_mivae.archive.client import ArchiveClient

    if plan.dandiset is None:
        raise ValueError("a plan for a dandiset that does not exist yet: create it, then plan again")
    assets = {planned.local.path: planned.asset for planned in plan.files if planned.action == "keep"}
    changes: list[str] = []
    with ArchiveClient(plan.instance, repeated=REPEATED) as client:
        with _upload_errors(plan.address):
            _sign_in(client)
            for path in assets:
                _tell(finished, path)
            client.check_schema_version()
            # What is asked there only prepares an asset, and can be asked twice.
            client.session.repeat_posts_to(f"{client.api_url}/uploads/")
            draft = client.get_dandiset(plan.dandiset, "draft", lazy=False)
        at = "the description of the draft"
        try:
            with _upload_errors(plan.address):
                if _complete_description(draft, plan.additions):
                    changes.append("The description of the draft was completed")
                    _tell(note, changes[-1])
                done = 0
                for planned in plan.to_send:
                    at = planned.local.path
                    assets[at] = _send(client, draft, planned, report=_report(progress, at, done, plan.bytes_to_send))
                    done += planned.local.size
                    _tell(finished, at)
        except NwbMivaeError as problem:
            paths = [planned.local.path for planned in plan.files]
            raise InterruptedUploadError.of(
                problem,
                at=at,
                uploaded=[path for path in paths if path in assets],
                missing=[path for path in paths if path not in assets],
                changes=changes,
                address=plan.address,
            ) from problem
    return [asset for path in (planned.local.path for planned in plan.files) if (asset := assets[path]) is not None]


def _tell(told: Callable[[str], None] | None, text: str) -> None:
    if told is not None:
        told(text)


def _report(
    progress: Callable[[str, int, int], None] | None, path: str, before: int, total: int
) -> Callable[[int], None]:
    def report(sent: int) -> None:
        if progress is not None:
            progress(path, before + sent, total)

    report(0)
    return report


def _sign_in(client: ArchiveClient) -> None:
    """Use the token for all that follows, if the archive knows it."""
    import requests

    client.refuse_plain_line()
    variable = client.api_key_env_var
    if not os.environ.get(variable):
        raise ArchiveError(
            f"no token for the archive: the environment variable {variable} is not set",
            expected="the API key that the archive's page shows to whoever is logged in",
            remedy=f"set {variable} for this command; it is asked for nowhere and stored nowhere",
            file=client.api_url,
        )
    client.dandi_authenticate()
    try:
        client.get("/users/me/")
    except requests.HTTPError as problem:
        if problem.response is None or problem.response.status_code not in (401, 403):
            raise
        raise ArchiveError(
            f"status {problem.response.status_code}: the archive does not take the token in {variable}",
            expected="the API key that the archive's page shows to whoever is logged in",
            remedy=f"copy it from there into {variable}",
            file=client.api_url,
        ) from None


def _complete_description(draft: RemoteDandiset, additions: Mapping[str, Any]) -> bool:
    """Say of the draft what is not said yet; whether there was anything."""
    # As it is now: somebody may have edited it since the plan was made.
    metadata, still_new = merge_metadata(draft.get_raw_metadata(), additions)
    if still_new:
        draft.set_raw_metadata(metadata)
    return bool(still_new)


def _send(
    client: ArchiveClient, draft: RemoteDandiset, planned: PlannedFile, *, report: Callable[[int], None]
) -> Asset:
    local = planned.local
    metadata = _asset_metadata(local)
    blob = send_bytes(client, local.file, local.digest, draft.identifier, report=report)
    asset = {"metadata": metadata, "blob_id": blob}
    assets = f"{draft.version_api_path}assets/"
    try:
        record = (
            client.post(assets, json=asset)
            if planned.asset is None
            else client.put(f"{assets}{planned.asset.asset_id}/", json=asset)
        )
        made = asset_of(client, draft, record)
    except Exception:
        # The archive may have done it although its answer was lost.
        known = _known(client, draft, local)
        if known is None:
            raise
        made = known
    report(local.size)
    return made


def _known(client: ArchiveClient, draft: RemoteDandiset, local: LocalFile) -> Asset | None:
    """The asset, if the draft has it and the archive can be asked."""
    import requests

    try:
        asset = asset_at(client, draft, local.path)
    except (NwbMivaeError, requests.RequestException):
        return None
    return asset if asset is not None and asset.digests.get(ETAG) == local.digest.as_str() else None


def _asset_metadata(local: LocalFile) -> dict[str, Any]:
    # Nothing of the file is to be kept in the user's home.
    os.environ.setdefault("DANDI_CACHE", "ignore")
    from dandi.dandiapi import set_asset_schema_key
    from dandi.files import LocalAsset, dandi_file
    from dandi.misctypes import Digest

    try:
        file = dandi_file(local.file)
        assert isinstance(file, LocalAsset)
        file.path = local.path
        described = file.get_metadata(digest=Digest.dandi_etag(local.digest.as_str()), ignore_errors=False)
        known = described.model_dump(mode="json", exclude_none=True)
    except Exception as problem:  # dandi and pynwb raise whatever a broken file makes them raise
        raise ArchiveError(
            f"a file that DANDI's metadata cannot be taken from ({type(problem).__name__}: {problem})",
            expected="a whole NWB file",
            remedy="check it with `nwb-mivae check`",
            file=local.file,
        ) from problem
    metadata, _ = merge_metadata(known, local.metadata)
    set_asset_schema_key(metadata)
    return metadata


@contextmanager
def _upload_errors(address: str) -> Iterator[None]:
    """Say what the archive does not allow, and turn everything else into what is said of reading too."""
    import requests
    from dandi.exceptions import SchemaVersionError

    from nwb_mivae.archive.client import archive_errors

    try:
        with archive_errors(address):
            try:
                yield
            except requests.HTTPError as problem:
                status = None if problem.response is None else problem.response.status_code
                if problem.response is None or status not in _REFUSALS:
                    raise
                said = " ".join(problem.response.text.split())[:300]
                raise ArchiveError(
                    f"status {status}: {_REFUSALS[status][0]} ({said})",
                    expected="a draft that one may change",
                    remedy=_REFUSALS[status][1],
                    file=address,
                ) from problem
    except SchemaVersionError as problem:
        raise ArchiveError(
            f"an archive of another time ({problem})",
            expected="a schema that the installed dandi client knows",
            remedy="update dandi and dandischema",
            file=address,
        ) from problem


_REFUSALS = {
    400: ("something that the archive does not accept", "report this, with the archive's own words"),
    401: ("a token that is not valid any more", "make a new one on the archive's page and set it in the environment"),
    403: ("a draft that the token's owner may not change", "ask one of the dandiset's owners to add you"),
    409: ("something else under that path by now", "repeat with --dry-run to see what is there"),
    423: ("a draft that is locked", "wait until the archive has done what it is doing"),
}
