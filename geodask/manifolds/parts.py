"""What products and powers of spaces share: geometry is that of the parts, all at once."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..arrays.namespace import namespace, norm
from .base import Manifold
from .given import batch
from .side_by_side import SideBySide


class Part(NamedTuple):
    """Some coordinates of a composite point: ``copies`` points of one space."""

    space: Manifold
    copies: int
    weight: float
    """Squared distances count so many times."""


@dataclass(frozen=True)
class Parts(Manifold):
    """Points whose parts are points of other spaces: dist^2 is the weighted sum of theirs.

    Geodesics are those of the parts, all at once.
    """

    @property
    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """What a point is made of."""

    @abstractmethod
    def split(self, x: Any) -> list[Any]:
        """The parts of points, or of tangent vectors: (*batch, copies, *shape of the space)."""

    @abstractmethod
    def join(self, values: list[Any]) -> Any:
        """The points with these parts."""

    # --- values ---------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        return sum(part.copies * part.space.dim for part in self.parts)

    @property
    def origin(self) -> np.ndarray:
        """Those of the parts."""
        return self.join([np.stack([part.space.origin] * part.copies) for part in self.parts])

    @property
    def injectivity_radius(self) -> float:
        return min(part.space.injectivity_radius * math.sqrt(part.weight) for part in self.parts)

    def room(self, p: Any) -> Any:
        return self._least(lambda part, x: part.space.room(x) * math.sqrt(part.weight), p)

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The nearest of each part."""
        return self._each("project", x)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return self._each("to_tangent", p, v)

    @property
    def complaint_texts(self) -> dict[int, str]:
        """Those of the parts, with their number where there are several."""
        several, spaces = len(self.parts) > 1, self._spaces
        texts = [(i, spaces[i].complaint_texts[code]) for i, code in self._codes]
        return {n: f"in part {i} {t}" if several else t for n, (i, t) in enumerate(texts, 1)}

    @property
    def mended_by_project(self) -> frozenset[int]:
        """Those that the parts mend."""
        each = enumerate(self._codes, 1)
        return frozenset(n for n, (i, code) in each if code in self._spaces[i].mended_by_project)

    @property
    def remedies(self) -> dict[int, str]:
        """Those of the parts."""
        found = [(n, code, self._spaces[i].remedies) for n, (i, code) in enumerate(self._codes, 1)]
        return {n: texts[code] for n, code, texts in found if code in texts}

    @property
    def _spaces(self) -> list[Manifold]:
        return [part.space for part in self.parts]

    @property
    def _codes(self) -> list[tuple[int, int]]:
        """The part of each complaint, numbered from 1, and its code there, the gravest last: those
        that no `project` mends."""
        spaces = self._spaces
        every = [(i, code) for i, space in enumerate(spaces) for code in space.complaint_texts]
        return sorted(every, key=lambda x: (x[1] not in spaces[x[0]].mended_by_project, *x))

    def complaints(self, p: Any) -> Any:
        """The gravest of each row."""
        xp, found = namespace(p), []
        numbers = {each: n for n, each in enumerate(self._codes, 1)}
        for i, (space, x) in enumerate(zip(self._spaces, self.split(p), strict=True)):
            last = max(space.complaint_texts)
            table = xp.asarray([numbers.get((i, c), 0) for c in range(last + 1)], device=x.device)
            codes = xp.astype(space.complaints(x), xp.int64)
            own = xp.reshape(xp.take(table, xp.reshape(codes, (-1,)), axis=0), codes.shape)
            found.append(xp.max(own, axis=-1))
        return xp.max(xp.stack(found, axis=-1), axis=-1)

    def near_limit(self, x: Any) -> Any:
        xp = namespace(x)
        pairs = zip(self.parts, self.split(x), strict=True)
        near = [xp.any(part.space.near_limit(each), axis=-1) for part, each in pairs]
        return xp.any(xp.stack(near, axis=-1), axis=-1)

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Independent in each part."""
        seeds = np.random.SeedSequence(seed).generate_state(len(self.parts)).tolist()
        pairs = zip(self.parts, seeds, strict=True)
        rows = batch(shape)
        return self.join([part.space.random((*rows, part.copies), each) for part, each in pairs])

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        return sum(
            part.weight * namespace(x).sum(part.space.inner(x, y, z), axis=-1)
            for part, x, y, z in zip(self.parts, *map(self.split, (p, u, v)), strict=True)
        )

    def norm(self, p: Any, u: Any) -> Any:
        return norm(self._lengths("norm", p, u))

    def dist(self, p: Any, q: Any) -> Any:
        return norm(self._lengths("dist", p, q))

    def exp(self, p: Any, u: Any) -> Any:
        return self._each("exp", p, u)

    def log(self, p: Any, q: Any) -> Any:
        return self._each("log", p, q)

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        return self._each("transport", p, q, u)

    def geodesic(self, p: Any, q: Any, t: Any) -> Any:
        t = namespace(p).asarray(t, dtype=p.dtype)[..., None]
        return self.join(
            [
                part.space.geodesic(x, y, t)
                for part, x, y in zip(self.parts, self.split(p), self.split(q), strict=True)
            ]
        )

    def midpoint(self, p: Any, q: Any) -> Any:
        return self._each("midpoint", p, q)

    def _translated(self, p: Any, origin: Any, q: Any) -> Any:
        return self._each("_translated", p, origin, q)

    def _each(self, method: str, *of: Any) -> Any:
        found = zip(self.parts, *map(self.split, of), strict=True)
        return self.join([getattr(part.space, method)(*each) for part, *each in found])

    def _lengths(self, method: str, *of: Any) -> Any:
        """What a method says of all copies, in the unit of this space: (*batch, copies)."""
        found = [
            getattr(part.space, method)(*each) * math.sqrt(part.weight)
            for part, *each in zip(self.parts, *map(self.split, of), strict=True)
        ]
        return namespace(*found).concat(found, axis=-1)

    def _least(self, of: Callable[[Part, Any], Any], p: Any) -> Any:
        """The least of what is said of all copies: (*batch,)."""
        xp, pairs = namespace(p), zip(self.parts, self.split(p), strict=True)
        return xp.min(xp.concat([of(part, x) for part, x in pairs], axis=-1), axis=-1)

    # --- curvature ------------------------------------------------------------------------------

    @property
    def chart(self) -> SideBySide:
        return SideBySide(self)

    @property
    def has_curvature(self) -> bool:
        return all(part.space.has_curvature for part in self.parts)

    @property
    def has_connection(self) -> bool:
        return all(part.space.has_connection for part in self.parts)

    def curvature_tensor(self, p: Any, u: Any, v: Any, w: Any) -> Any:
        return self._each("curvature_tensor", p, u, v, w)

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        return self._each("connection", p, u, v)

    def extent(self, p: Any) -> Any:
        return self._least(lambda part, x: part.space.extent(x) * math.sqrt(part.weight), p)

    # --- tangent vectors in a frame -------------------------------------------------------------

    @property
    def frame_columns(self) -> int:
        return sum(part.copies * part.space.frame_columns for part in self.parts)

    def to_frame(self, p: Any, u: Any) -> Any:
        return self._framed("to_frame", p, u)

    def from_frame(self, p: Any, y: Any) -> Any:
        frames = zip(self.parts, self.split(p), self._components(y, "frame_columns"), strict=True)
        return self.join([part.space.from_frame(x, z / _unit(part)) for part, x, z in frames])

    def log_frame(self, p: Any, q: Any) -> Any:
        return self._framed("log_frame", p, q)

    def carry_frame(self, p: Any, q: Any, y: Any) -> Any:
        frames = self._components(y, "frame_columns")
        each = zip(self.parts, self.split(p), self.split(q), frames, strict=True)
        return _flat([part.space.carry_frame(x, z, y) for part, x, z, y in each])

    def to_basis(self, p: Any, y: Any) -> Any:
        frames = zip(self.parts, self.split(p), self._components(y, "frame_columns"), strict=True)
        return _flat([part.space.to_basis(x, z) for part, x, z in frames])

    def from_basis(self, p: Any, c: Any) -> Any:
        frames = zip(self.parts, self.split(p), self._components(c, "dim"), strict=True)
        return _flat([part.space.from_basis(x, z) for part, x, z in frames])

    def _framed(self, method: str, p: Any, q: Any) -> Any:
        """Components in the frames of the parts, in the unit of this space."""
        found = zip(self.parts, self.split(p), self.split(q), strict=True)
        return _flat([_unit(part) * getattr(part.space, method)(x, y) for part, x, y in found])

    def _components(self, y: Any, columns: str) -> list[Any]:
        """Those of each part: (..., copies, columns)."""
        found, start = [], 0
        for part in self.parts:
            shape = part.copies, getattr(part.space, columns)
            stop = start + math.prod(shape)
            found.append(namespace(y).reshape(y[..., start:stop], (*y.shape[:-1], *shape)))
            start = stop
        return found

    def tried(self, step: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """As each copy tries its own: how far its rows are apart says nothing of the others."""
        steps, gradients = (self._components(y, "frame_columns") for y in (step, gradient))
        found = []
        for part, *both in zip(self.parts, steps, gradients, strict=True):
            unit = _unit(part)
            copies = zip(*(y / unit for y in both), strict=True)
            found.append(unit * np.stack([part.space.tried(*each) for each in copies]))
        return _flat(found)

    def is_far(self, logs: np.ndarray) -> np.ndarray:
        """Where that of some copy is."""
        found = zip(self.parts, self._components(logs, "frame_columns"), strict=True)
        far = [part.space.is_far(y / _unit(part)) for part, y in found]
        return np.any(np.concatenate(far, axis=-1), axis=-1)

    def bending(self, dist: Any) -> Any:
        """The most of the parts: no part of a way is longer than the whole."""
        xp, most = namespace(dist), 0 * dist + 1
        for part in self.parts:
            if math.isinf(part.space.injectivity_radius):
                most = xp.maximum(most, part.space.bending(dist / _unit(part)))
        return most


def _flat(components: list[Any]) -> Any:
    """Components (..., copies, columns) of each part in one row."""
    xp = namespace(*components)
    rows = [xp.reshape(x, (*x.shape[:-2], x.shape[-2] * x.shape[-1])) for x in components]
    return xp.concat(rows, axis=-1)


def _unit(part: Part) -> float:
    return part.space.unit * math.sqrt(part.weight)
