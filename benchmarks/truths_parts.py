"""Flat spaces, products, and spaces seen in others, in mpmath and by nothing of geodask."""

from dataclasses import dataclass
from typing import Any

from mpmath import mp

from truths import Half, Round, Truth, Vector, size, total


class Flat(Truth):
    """R^n."""

    def length(self, p: Vector, u: Vector) -> Any:
        return size(u)

    def dist(self, p: Vector, q: Vector) -> Any:
        return size(self.log(p, q))

    def exp(self, p: Vector, u: Vector) -> Vector:
        return total(1, p, 1, u)

    def log(self, p: Vector, q: Vector) -> Vector:
        return total(1, q, -1, p)

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        return u


class Angles(Flat):
    """The flat torus, angles in radians."""

    def reach(self, p: Vector, u: Vector) -> Any:
        return mp.pi / max(abs(a) for a in u)

    def exp(self, p: Vector, u: Vector) -> Vector:
        return self.less_turns(super().exp(p, u))

    def log(self, p: Vector, q: Vector) -> Vector:
        return self.less_turns(super().log(p, q))

    def less_turns(self, x: Vector) -> Vector:
        return [a - 2 * mp.pi * mp.nint(a / (2 * mp.pi)) for a in x]


@dataclass(frozen=True)
class Part:
    """A space among others: where its coordinates lie in a row, and what dist^2 is times."""

    truth: Truth
    places: tuple[int, ...]
    weight: float = 1


@dataclass(frozen=True)
class Together(Truth):
    """Spaces side by side: squares of distances are added. Other coordinates of a row are fixed."""

    parts: tuple[Part, ...]

    @property
    def digits(self) -> int:
        return max(part.truth.digits for part in self.parts)

    def each(self, verb: str, *rows: Vector) -> list[tuple[Part, Any]]:
        return [
            (part, getattr(part.truth, verb)(*([row[i] for i in part.places] for row in rows)))
            for part in self.parts
        ]

    def lengths(self, verb: str, *rows: Vector) -> Any:
        """The root of the sum of squares."""
        return size([mp.sqrt(part.weight) * x for part, x in self.each(verb, *rows)])

    def put(self, into: Vector, verb: str, *rows: Vector) -> Vector:
        """A row with what a verb finds of each part."""
        found = list(into)
        for part, values in self.each(verb, *rows):
            for i, value in zip(part.places, values, strict=True):
                found[i] = value
        return found

    def drawn(self, p: Vector, v: Vector) -> Vector:
        return self.put([mp.zero] * len(v), "drawn", p, v)

    def reach(self, p: Vector, u: Vector) -> Any:
        return min(x for _, x in self.each("reach", p, u))

    def gap(self, found: Vector, true: Vector) -> Any:
        return self.lengths("gap", found, true)

    def length(self, p: Vector, u: Vector) -> Any:
        return self.lengths("length", p, u)

    def full(self, p: Vector, u: Vector) -> Any:
        return self.lengths("full", p, u)

    def dist(self, p: Vector, q: Vector) -> Any:
        return self.lengths("dist", p, q)

    def exp(self, p: Vector, u: Vector) -> Vector:
        return self.put(p, "exp", p, u)

    def log(self, p: Vector, q: Vector) -> Vector:
        return self.put([mp.zero] * len(p), "log", p, q)

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        return self.put([mp.zero] * len(p), "transport", p, q, u)


def beside(*parts: tuple[Truth, int]) -> Together:
    """Spaces whose rows of so many coordinates follow each other."""
    found, start = [], 0
    for truth, length in parts:
        found.append(Part(truth, tuple(range(start, start + length))))
        start += length
    return Together(tuple(found))


class Chances(Truth):
    """The probability simplex with the Fisher-Rao metric: roots are points of a sphere of radius 2.
    A row stands for what it is over its sum.
    """

    round = Round()

    def roots(self, p: Vector) -> Vector:
        whole = mp.fsum(p)
        return [mp.sqrt(a / whole) for a in p]

    def push(self, s: Vector, u: Vector) -> Vector:
        return self.round.across(s, [b / (2 * a) for a, b in zip(s, u, strict=True)])

    def pull(self, s: Vector, y: Vector) -> Vector:
        return [2 * a * b for a, b in zip(s, y, strict=True)]

    def drawn(self, p: Vector, v: Vector) -> Vector:
        s = self.roots(p)
        return self.pull(s, self.round.across(s, v))

    def length(self, p: Vector, u: Vector) -> Any:
        return 2 * size(self.push(self.roots(p), u))

    def full(self, p: Vector, u: Vector) -> Any:
        return size([b / a for a, b in zip(self.roots(p), u, strict=True)])

    def gap(self, found: Vector, true: Vector) -> Any:
        """Infinite where what was found has a negative coordinate."""
        return self.dist(found, true) if min(found) >= 0 else mp.inf

    def dist(self, p: Vector, q: Vector) -> Any:
        return 2 * self.round.dist(self.roots(p), self.roots(q))

    def exp(self, p: Vector, u: Vector) -> Vector:
        s = self.roots(p)
        return [a * a for a in self.round.exp(s, self.push(s, u))]

    def log(self, p: Vector, q: Vector) -> Vector:
        s = self.roots(p)
        return self.pull(s, self.round.log(s, self.roots(q)))

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        s, there = self.roots(p), self.roots(q)
        return self.pull(there, self.round.transport(s, there, self.push(s, u)))


class Normal(Truth):
    """Normal distributions of a line, mean and standard deviation, with the Fisher-Rao metric: a
    half-plane of curvature -1/2, the mean over the root of 2 beside the deviation.
    """

    half = Half()

    def into(self, p: Vector) -> Vector:
        return [p[0] / mp.sqrt(2), p[1]]

    def back(self, p: Vector) -> Vector:
        return [p[0] * mp.sqrt(2), p[1]]

    def drawn(self, p: Vector, v: Vector) -> Vector:
        return total(p[1], v)

    def length(self, p: Vector, u: Vector) -> Any:
        return mp.sqrt(2) * self.half.length(self.into(p), self.into(u))

    def gap(self, found: Vector, true: Vector) -> Any:
        """Infinite where what was found has no positive deviation."""
        return self.dist(found, true) if found[1] > 0 else mp.inf

    def dist(self, p: Vector, q: Vector) -> Any:
        return mp.sqrt(2) * self.half.dist(self.into(p), self.into(q))

    def exp(self, p: Vector, u: Vector) -> Vector:
        return self.back(self.half.exp(self.into(p), self.into(u)))

    def log(self, p: Vector, q: Vector) -> Vector:
        return self.back(self.half.log(self.into(p), self.into(q)))

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        return self.back(self.half.transport(*map(self.into, (p, q, u))))
