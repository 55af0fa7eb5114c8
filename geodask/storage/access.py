"""Buckets by their URLs, and the options that open them.

Options may hold credentials. They stay in the memory of processes: what is stored, logged or sent
as a task has a name for them, drawn at random, and a process that was told them knows it. What
fsspec finds by itself, in its configuration files and in the environment, needs no name where a
process has its own.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from ..errors import SpecError, StoreError

ARROW_S3 = {
    "key": "access_key",
    "secret": "secret_key",
    "token": "session_token",
    "anon": "anonymous",
}

OBSTORE_S3 = {
    "key": "access_key_id",
    "secret": "secret_access_key",
    "token": "session_token",
    "anon": "skip_signature",
}
PATIENCE: Any = {"max_retries": 10, "retry_timeout": timedelta(seconds=60)}
"""How long a bucket that answers nothing, or that it is too busy, is asked again."""
TIMEOUT = timedelta(minutes=2)
"""For one object: the largest are some 100 MiB."""
REFRESH = timedelta(minutes=5)
"""How often credentials are asked for that may end. Those who give them renew them earlier."""

_known: dict[str, dict[str, Any]] = {}
_lock = Lock()


def local_path(url: str) -> Path | None:
    """The absolute path that a path or ``file://`` URL names; None for URLs of other things."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return Path(url).expanduser().absolute()
    if scheme.lower() != "file":
        return None
    return Path(unquote(rest.removeprefix("localhost"))).expanduser().absolute()


def grant(url: str, options: Mapping[str, Any] | None) -> str:
    """The name of the options that open a URL; empty where none are given or configured.

    Raises SpecError where the URL itself holds a password or a signature.
    """
    import fsspec.config

    parts = urlsplit(url)
    if parts.password or (parts.scheme in ("http", "https") and parts.query):
        raise SpecError(
            "URLs hold no passwords or signatures, because results remember them",
            came=f"one did, of {parts.scheme}://{parts.hostname}",
            do="Pass storage_options=... as for fsspec, and the URL without them.",
        )
    found = {**fsspec.config.conf.get(parts.scheme, {}), **(options or {})}
    if not found:
        return ""
    with _lock:
        name = next((name for name, known in _known.items() if known == found), uuid4().hex)
        _known[name] = found
    return name


def knows(name: str) -> bool:
    """Whether this process knows options of that name; the empty name stands for none."""
    return not name or name in _known


def told(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What this process knows under some names, to tell another."""
    return {name: _options(name) for name in names}


def learn(options: dict[str, dict[str, Any]]) -> None:
    """Keeps what another process told."""
    with _lock:
        _known.update(options)


def file_system(url: str, name: str) -> Any:
    """The fsspec file system of a URL. Raises StoreError where what it needs is not installed."""
    import fsspec

    protocol = urlsplit(url).scheme
    try:
        return fsspec.filesystem(protocol, **_options(name))
    except (ImportError, ValueError) as error:
        raise StoreError(
            f"{protocol} must be a protocol that fsspec can open here",
            came=f"it said: {error}",
            do="Install what it asks for, such as geodask[s3] for s3.",
        ) from error


def arrow_s3(url: str, name: str) -> Any:
    """pyarrow's own client of S3: a third faster than one in Python, in an eighth of its memory.

    None for other protocols; and where it would not find what s3fs does: options of another kind,
    or neither an endpoint nor a region, since it follows no bucket to its region.
    """
    known = _options(name)
    endpoint = _endpoint(known)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if urlsplit(url).scheme != "s3" or not set(known) <= {*ARROW_S3, "endpoint_url"}:
        return None
    if endpoint is None and region is None:
        return None
    given = {ARROW_S3[key]: value for key, value in known.items() if key in ARROW_S3}
    if endpoint is not None:
        where = urlsplit(endpoint)
        given |= {"scheme": where.scheme, "endpoint_override": where.netloc + where.path}
    return _arrow_s3(region or "us-east-1", **given)


@lru_cache(maxsize=16)
def _arrow_s3(region: str, **given: Any) -> Any:
    from pyarrow.fs import S3FileSystem

    return S3FileSystem(region=region, **given)


def bucket(url: str, name: str) -> Any:
    """obstore's client of an S3 bucket, below the folder of a URL.

    It finds what opens the bucket as s3fs does: in the options, in the environment and in the files
    of the AWS tools, by botocore. Raises StoreError where obstore is not installed, and SpecError
    for options that it does not take.
    """
    try:
        from botocore.session import Session
        from obstore.store import S3Store
    except ImportError as error:
        raise StoreError(
            "Stores in buckets need obstore and botocore",
            came=f"it said: {error}",
            do="Install geodask[s3].",
        ) from error
    options = dict(_options(name))
    options |= options.pop("client_kwargs", None) or {}
    known = {key: value for key, value in options.items() if value is not None}
    taken = {*OBSTORE_S3, "endpoint_url", "region_name", "profile"}
    if not set(known) <= taken:
        raise SpecError(
            f"A store in a bucket is opened with {', '.join(sorted(taken))}",
            came=f"{', '.join(sorted(set(known) - taken))} came",
            do="Leave it out.",
        )
    root, _, prefix = url.removeprefix("s3://").partition("/")
    endpoint = _endpoint(known)
    session = Session(profile=known.get("profile"))
    region = known.get("region_name") or os.environ.get("AWS_REGION")
    region = region or session.get_config_variable("region")
    given = known.get("key") or known.get("anon")
    config: Any = {OBSTORE_S3[key]: value for key, value in known.items() if key in OBSTORE_S3}
    if endpoint is None:
        config["region"] = region or _region_of(root)
    else:
        config |= {"region": region or "us-east-1", "endpoint": endpoint}
    return S3Store(
        root,
        prefix=prefix or None,
        config=config,
        client_options={"allow_http": endpoint is not None, "timeout": TIMEOUT},
        retry_config=PATIENCE,
        credential_provider=None if given else _found_by(session),
    )


def _region_of(name: str) -> str:
    """The region of a bucket, as AWS tells it to everybody."""
    from pyarrow.fs import resolve_s3_region

    try:
        return resolve_s3_region(name)
    except OSError as error:
        raise StoreError(
            f"The region of the bucket {name} must be known",
            came=f"AWS did not tell it: {error}",
            do="Check the bucket's name, or set AWS_REGION.",
        ) from error


def _found_by(session: Any) -> Callable[[], Any]:
    """What asks botocore for credentials, whenever they are needed."""

    def credentials() -> Any:
        found = session.get_credentials()
        if found is None:
            raise PermissionError("no credentials were found: pass storage_options, or log in")
        frozen = found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + REFRESH,
        }

    return credentials


def _endpoint(known: Mapping[str, Any]) -> str | None:
    variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    found = map(os.environ.get, variables)
    return known.get("endpoint_url") or next(filter(None, found), None)


def zarr_store(url: str, name: str) -> Any:
    """The folder at a URL as a Zarr store to read from."""
    from zarr.storage import FsspecStore

    return FsspecStore.from_url(url, storage_options=_options(name), read_only=True)


def _options(name: str) -> dict[str, Any]:
    try:
        return _known[name] if name else {}
    except KeyError as error:
        raise StoreError(
            "What opens these files must be known to this process",
            came="it was given to another",
            do="Open them again with gd.points(..., storage_options=...), or run the plan again.",
        ) from error
