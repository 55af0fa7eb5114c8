"""Descent to the Fréchet mean: one evaluated point after the other, each from one pass.

The mean minimises f(p), half the mean of dist(p, x)^2, whose gradient is minus the mean g of the
logs at p. A trial step is that of L-BFGS in the frames of the manifold (Huang, Gallivan and Absil,
A Broyden class of quasi-Newton methods for Riemannian optimization, 2015), which begins with the
mean eigenvalue of the Hessian, (1 + (dim - 1) b) / dim for the mean bending b. It is kept where f
has not grown. Where it has, the step t g from the point before follows, for which f decreases:

- The Hessian of dist^2 / 2 is at most 1 on a sphere and in flat space, so t = 1 takes at least
  |g|^2 / 2 from f.
- In curvature -1 it is at most the mean b of r coth r, which grows by at most the length of a step
  along it. With t (b + t |g|) = 1 the step takes at least t |g|^2 / 2 from f.

There f is strongly convex with modulus 1, so the mean lies no farther than |g|: no trial does. Of
parts of a point, each has its own steps.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from ..arrays.namespace import lane_sum
from ..manifolds.base import Manifold
from .moments import Moments

PAIRS = 5
"""Steps that the quasi-Newton method remembers."""
LEAST_BENDING = 0.25
"""On a sphere the mean eigenvalue may vanish; a trial step is at most four times the safe one."""
LEAST_TURN = 1e-3
"""A remembered step whose gradient changed by less of its length tells of rounding."""
ROUNDING = 2.0**-40
"""What f may grow by, as a share of it and of its root, before it is taken to have grown; and a
gradient, as a share of 1 and the standard deviation, that is not trusted to fall any more."""
LAST_DIGITS = 2.0**-50
"""Some roundings of a point, as a share of it."""
PATIENCE = 4
"""Passes without a smaller gradient, once it is that small, until the descent gives up."""


@dataclass(frozen=True)
class State:
    """Where a descent is. Every part is float64, so that it is stored as one row of numbers."""

    trial: np.ndarray
    """(*point_shape,) what the next pass measures."""
    point: np.ndarray
    """(*point_shape,) the last point that was kept."""
    gradient: np.ndarray
    """(columns,) the mean of the logs there."""
    steps: np.ndarray
    """(PAIRS * columns,) how the last points were reached, in the frame at the point."""
    turns: np.ndarray
    """(PAIRS * columns,) by how much each turned the gradient."""
    square: float = math.inf
    """The mean of dist^2 at the point, in curvature 1, 0 or -1."""
    bending: float = 1.0
    undefined: float = 0.0
    beyond: float = 0.0
    passes: float = 0.0
    safe: float = 0.0
    """1 where f is known to decrease at the trial."""
    lowest: float = math.inf
    """The smallest gradient so far."""
    stalled: float = 0.0
    """How many passes ago that was."""

    @property
    def norm(self) -> float:
        """The length of the gradient, in curvature 1, 0 or -1."""
        return math.sqrt(_dot(self.gradient, self.gradient))

    def pack(self) -> np.ndarray:
        """All of it as one row."""
        return np.concatenate([np.ravel(getattr(self, part.name)) for part in fields(self)])

    @staticmethod
    def size(manifold: Manifold) -> int:
        """The length of that row."""
        return len(begin(manifold, np.zeros(manifold.point_shape)).pack())

    @staticmethod
    def unpack(manifold: Manifold, row: np.ndarray) -> "State":
        """The state from its row."""
        values, at = {}, 0
        for name, default in vars(begin(manifold, np.zeros(manifold.point_shape))).items():
            width = np.size(default)
            part = row[at : at + width].reshape(np.shape(default))
            values[name] = part.copy() if isinstance(default, np.ndarray) else float(part)
            at += width
        return State(**values)


def begin(manifold: Manifold, p: np.ndarray) -> State:
    """The state before the first pass, which measures a canonical point."""
    memory = np.zeros(PAIRS * manifold.frame_columns)
    return State(p, p, np.zeros(manifold.frame_columns), memory, memory)


def converged(state: State, tol: float) -> bool:
    """Whether the gradient is at most ``tol`` of the standard deviation, or this of some roundings
    of the point: then all rows are the same."""
    deviation = math.sqrt(state.square)
    same = deviation <= LAST_DIGITS * float(np.linalg.norm(state.point))
    return state.passes > 0 and (same or state.norm <= tol * deviation)


def finished(state: State, tol: float) -> bool:
    """Whether it has converged, or cannot get any nearer in float64."""
    stuck = state.passes > 0 and (state.trial == state.point).all()
    return converged(state, tol) or stuck or state.stalled >= PATIENCE


def advance(manifold: Manifold, state: State, found: Moments) -> State:
    """The next state, from what a pass has found at the trial."""
    size = math.sqrt(_dot(found.gradient, found.gradient))
    small = size <= ROUNDING * (1 + math.sqrt(found.square))
    higher = small and size >= state.lowest
    state = replace(
        state,
        passes=state.passes + 1,
        lowest=min(size, state.lowest),
        stalled=state.stalled + 1 if higher else 0.0,
    )
    if not _keeps(state, found):
        step = _safe(state) * state.gradient
        return replace(
            state,
            trial=manifold.exp_frame(state.point, step),
            safe=1.0,
            steps=0 * state.steps,
            turns=0 * state.turns,
        )
    steps, turns = _remembered(manifold, state, found)
    state = replace(
        state,
        point=state.trial,
        gradient=found.gradient,
        square=found.square,
        bending=found.bending,
        undefined=found.undefined,
        beyond=found.beyond,
        safe=0.0,
        steps=steps.reshape(-1),
        turns=turns.reshape(-1),
    )
    step = _quasi_newton(manifold, state, steps, turns)
    step = manifold.tried(step, state.gradient)
    return replace(state, trial=manifold.exp_frame(state.point, step))


def _keeps(state: State, found: Moments) -> bool:
    """Whether the trial is no worse than the point before it."""
    if state.passes == 1 or state.safe or state.undefined:
        return True
    rounding = ROUNDING * (found.square + math.sqrt(found.square))
    return found.undefined == 0 and found.square <= state.square + rounding


def _safe(state: State) -> float:
    """The share of the gradient that surely decreases f."""
    most = max(state.bending, 1.0)
    growth = state.norm if most > 1 else 0.0
    return 2 / (most + math.sqrt(most * most + 4 * growth))


def _remembered(manifold: Manifold, state: State, found: Moments) -> tuple[np.ndarray, np.ndarray]:
    """The remembered steps and turns in the frame at the trial, the one to it last."""
    shape = (PAIRS, manifold.frame_columns)
    steps, turns = state.steps.reshape(shape), state.turns.reshape(shape)
    if state.passes == 1 or (state.trial == state.point).all():
        return steps, turns
    both = np.concatenate([steps, turns, state.gradient[None]])
    starts, ends = (
        np.broadcast_to(each, (len(both), *each.shape)) for each in (state.point, state.trial)
    )
    carried = manifold.carry_frame(starts, ends, both)
    step = -manifold.log_frame(state.trial, state.point)
    turn = carried[-1] - found.gradient
    if not _dot(step, turn) >= LEAST_TURN * _dot(step, step):
        return carried[:PAIRS], carried[PAIRS:-1]
    return np.vstack([carried[1:PAIRS], step]), np.vstack([carried[PAIRS + 1 : -1], turn])


def _quasi_newton(
    manifold: Manifold, state: State, steps: np.ndarray, turns: np.ndarray
) -> np.ndarray:
    """The step of L-BFGS, by its two loops."""
    mean = state.bending + (1 - state.bending) / max(1, manifold.dim)
    known = [(s, y, _dot(s, y)) for s, y in zip(steps, turns, strict=True) if s.any()]
    way, shares = state.gradient, []
    for s, y, product in reversed(known):
        shares.append(_dot(s, way) / product)
        way = way - shares[-1] * y
    way = way / max(mean, LEAST_BENDING)
    for (s, y, product), share in zip(known, reversed(shares), strict=True):
        way = way + (share - _dot(y, way) / product) * s
    return way


def _dot(u: np.ndarray, v: np.ndarray) -> float:
    return float(lane_sum(u * v))
