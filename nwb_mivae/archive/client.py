"""The dandi client, made to answer or fail within seconds, without asking questions and without reporting home."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

# The client would otherwise ask a third party for newer versions of itself.
os.environ.setdefault("DANDI_NO_ET", "1")

import requests
from dandi.consts import DandiInstance, known_instances
from dandi.dandiapi import DandiAPIClient
from dandi.exceptions import NotFoundError

from nwb_mivae.archive.prompt import BUSY_STATUSES, PromptSession
from nwb_mivae.errors import ArchiveError

__all__ = ["ArchiveClient", "archive_errors", "resolve_instance", "with_token_if_asked"]

# Without a handler of its own, every failed request would print a traceback beside our one clear sentence.
logging.getLogger("dandi").addHandler(logging.NullHandler())

T = TypeVar("T")


class _ApiSession(PromptSession):
    """What the dandi client asks through: a server that stays busy ends the matter, for the client would ask on."""

    def request(self, method: str, url: str | bytes, *args: Any, **settings: Any) -> requests.Response:
        response = super().request(method, url, *args, **settings)
        token = str(self.headers.get("Authorization", "")).removeprefix("token ").encode()
        if token and not response.ok:
            # The client quotes and logs what is wrong; a server may repeat in it what it was sent.
            response._content = response.content.replace(token, b"[token]")
        if response.status_code in BUSY_STATUSES:
            raise ArchiveError(
                f"status {response.status_code}, repeatedly",
                expected="an archive that is ready to answer",
                remedy=f"wait a few minutes and repeat: {self.repeated}",
                file=(url.decode() if isinstance(url, bytes) else url).split("?", 1)[0],
            )
        return response


class ArchiveClient(DandiAPIClient):
    """A client of one archive that knows its token only from the environment and never asks for it.

    Parameters
    ----------
    instance : str, optional
        A name the dandi client knows, or the URL of an API; by default ``DANDI_INSTANCE`` or ``"dandi"``.
    repeated : str, optional
        What is said of a command that is repeated after a failure, where it is not that of downloads.
    """

    def __init__(self, instance: str | None = None, *, repeated: str | None = None) -> None:
        super().__init__(dandi_instance=resolve_instance(instance))
        session = _ApiSession()
        session.repeated = repeated or session.repeated
        session.headers.update(self.session.headers)
        self.session: requests.Session = session

    @property
    def api_key_env_var(self) -> str:
        """Where the token is: ``DANDI_API_KEY`` for the public archive, ``DANDI_LAB_ORG_API_KEY`` for https://lab.org.

        Every archive has a variable of its own, so that none is shown the token of another. The client's own name for
        one that is known by its URL cannot be set in a shell.
        """
        if "://" not in self.dandi_instance.name:
            return str(super().api_key_env_var)
        return f"DANDI_{re.sub('[^A-Z0-9]+', '_', urlsplit(self.dandi_instance.name).netloc.upper())}_API_KEY"

    def dandi_authenticate(self) -> None:
        """Use the token of the environment; the client's own method would wait at a prompt."""
        self.refuse_plain_line()
        variable = self.api_key_env_var
        token = os.environ.get(variable)
        if not token:
            raise ArchiveError(
                "data that the archive shows to its owners only",
                expected=f"a token in the environment variable {variable}",
                remedy="set it for this command, or use a public dandiset",
                file=self.api_url,
            )
        self.session.headers["Authorization"] = f"token {token}"

    def refuse_plain_line(self) -> None:
        """Refuse to say a token where everybody on the way can read it; inside this machine nobody is on the way.

        Raises
        ------
        ArchiveError
            If the archive is known by an address without encryption.
        """
        parts = urlsplit(self.api_url)
        if parts.scheme != "https" and not _is_this_machine(parts.hostname or ""):
            raise ArchiveError(
                f"an archive without encryption ({parts.scheme}://{parts.netloc}), which is sent no token",
                expected="an address that begins with https://",
                remedy="name the archive by its https address; where it has none, use what it shows to everybody",
                file=self.api_url,
            )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def resolve_instance(instance: str | None = None) -> DandiInstance:
    """The archive by name or API URL, without asking the network.

    Raises
    ------
    ArchiveError
        If the name is unknown or the URL is not a plain http(s) address.
    """
    instance = instance or os.environ.get("DANDI_INSTANCE") or "dandi"
    if instance in known_instances:
        return known_instances[instance]
    parts = urlsplit(instance)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ArchiveError(
            f"an archive that is not known ({instance if '@' not in instance else 'a URL with credentials'!r})",
            expected=f"one of {', '.join(known_instances)}, or the URL of an API without credentials in it",
            remedy="correct the name of the archive",
        )
    api = instance.rstrip("/")
    for known in known_instances.values():
        if api in {url.rstrip("/") for url in known.urls()}:
            return known
    if not api.endswith("/api"):
        api += "/api"
    return DandiInstance(name=api, gui=None, api=api)


@contextmanager
def archive_errors(address: str) -> Iterator[None]:
    """Turn whatever the dandi client raises inside the block into one :class:`ArchiveError` about ``address``."""
    try:
        yield
    except ArchiveError:
        raise
    except NotFoundError as problem:
        raise _nothing_there(address) from problem
    except requests.HTTPError as problem:
        if problem.response is not None and problem.response.status_code == 404:
            raise _nothing_there(address) from problem
        status = "an error" if problem.response is None else f"status {problem.response.status_code}"
        raise ArchiveError(
            f"{status} instead of an answer",
            expected="a dandiset one may read",
            remedy="check the address and, for data under embargo, the token in the environment",
            file=address,
        ) from problem
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError, AssertionError) as problem:
        raise ArchiveError(
            f"an answer that is not the DANDI API's ({type(problem).__name__})",
            expected="the answers of a DANDI archive",
            remedy="check the archive's address",
            file=address,
        ) from problem


def _nothing_there(address: str) -> ArchiveError:
    return ArchiveError(
        "nothing under this address",
        expected="a dandiset, version and asset that exist",
        remedy="check the six digits and the version on the dandiset's page",
        file=address,
    )


def with_token_if_asked(client: ArchiveClient, call: Callable[[], T]) -> T:
    """Do ``call`` without a token, and once more with it where the archive asks for one."""
    try:
        return call()
    except requests.HTTPError as problem:
        if problem.response is None or problem.response.status_code not in (401, 403):
            raise
    client.dandi_authenticate()
    try:
        return call()
    except requests.HTTPError as problem:
        if problem.response is None or problem.response.status_code not in (401, 403):
            raise
        raise ArchiveError(
            f"status {problem.response.status_code} in spite of the token in {client.api_key_env_var}",
            expected="a token that is valid and whose owner may see the data",
            remedy="make a new one on the archive's page and set it in the environment",
            file=client.api_url,
        ) from problem
