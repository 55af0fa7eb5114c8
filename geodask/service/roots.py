"""Where inputs may lie: folders of this machine and prefixes in buckets, and nothing beside them.

Letters are judged before the disk is touched, so nobody learns what exists elsewhere; then the path
is followed through its links, and what it leads to is judged again.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from ..errors import SpecError
from .refusal import Refusal

NEVER_IN_BUCKETS = set("%?#@\\*[]")
"""Encodings, queries, credentials and patterns: the URL of a bucket is what it says."""


@dataclass(frozen=True)
class Roots:
    """The configured roots, in one spelling each."""

    folders: tuple[str, ...]
    """As they were given, and as their links lead."""
    buckets: tuple[str, ...]

    @classmethod
    def of(cls, urls: Iterable[str]) -> "Roots":
        """Raises SpecError for what is neither an absolute path nor a URL of a bucket."""
        folders, buckets = [], []
        for url in urls:
            try:
                path = _local_path(url)
                found = _bucket(url) if path is None else path
            except ValueError as error:
                raise SpecError(
                    "A root of the service is an absolute path or the URL of a bucket",
                    came=f"{url!r} came: {error}",
                    do='Pass such as "/data" or "s3://bucket/data".',
                ) from error
            (buckets if path is None else folders).append(found)
        return cls((*folders, *map(os.path.realpath, folders)), tuple(buckets))

    def resolve(self, url: str) -> str:
        """The path or URL that is to be opened for one that was sent; Refusal for all others."""
        try:
            path = _local_path(url)
            bucket = _bucket(url) if path is None else ""
        except ValueError as error:
            raise Refusal(400, f"An input is the URL of stored points, but {error}.") from error
        if path is None:
            if not _under(bucket, self.buckets):
                raise self._outside(url)
            return bucket
        if not _under(path, self.folders):
            raise self._outside(url)
        try:
            found = os.path.realpath(path, strict=True)
        except OSError as error:
            raise Refusal(404, f"Nothing is stored at {url}.") from error
        if not _under(found, self.folders):
            raise self._outside(url)
        return found

    def check_links(self, folder: str) -> None:
        """Refuses a folder in which a link leads out of the roots."""
        todo, seen = [folder], set[str]()
        while todo:
            here = os.path.realpath(todo.pop())
            if here in seen:
                continue
            seen.add(here)
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_symlink() and not _under(
                        os.path.realpath(entry.path), self.folders
                    ):
                        raise self._outside(folder)
                    if entry.is_dir():
                        todo.append(entry.path)

    def _outside(self, url: str) -> Refusal:
        return Refusal(403, f"Inputs must lie under the roots of this service, but {url} does not.")


def _under(found: str, roots: Iterable[str]) -> bool:
    return any(found == root or found.startswith(f"{root.rstrip('/')}/") for root in roots)


def _local_path(url: str) -> str | None:
    """The path that a URL means by its letters; None where it is one of other things.

    Raises ValueError where it is not absolute, badly encoded or not printable.
    """
    scheme, mark, path = url.partition("://")
    if not mark:
        path = url
    elif scheme.lower() != "file":
        return None
    else:
        if re.search(r"[?#]|%(?![0-9A-Fa-f]{2})", path):
            raise ValueError("it has a query, a fragment or a bad percent-encoding")
        path = unquote(path.removeprefix("localhost"), errors="strict")
    if not path.startswith("/") or not path.isprintable():
        raise ValueError("it is no absolute path of printable letters")
    return os.path.normpath(f"/{path.lstrip('/')}")


def _bucket(url: str) -> str:
    """The one spelling of a bucket's URL. Raises ValueError where something else is in it."""
    scheme, _, rest = url.partition("://")
    rest = rest.removesuffix("/")
    if NEVER_IN_BUCKETS & set(url) or "::" in url or not url.isprintable():
        raise ValueError("it holds a query, credentials, an encoding, a pattern or a chain")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise ValueError("it has no scheme")
    if {"", ".", ".."} & set(rest.split("/")):
        raise ValueError("it has an empty part, or . or .. among its parts")
    return f"{scheme.lower()}://{rest}"
