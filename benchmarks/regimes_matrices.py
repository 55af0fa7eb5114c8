"""The laws of rows in spaces other than those of constant curvature."""

from collections.abc import Callable

import numpy as np

from regimes import CLOSE, CONDITION, CUT, RIM, TYPICAL, Law

Bases = Callable[[np.random.Generator, int], np.ndarray]
Others = Callable[[np.random.Generator, np.ndarray], np.ndarray]

STEP = {"float32": 1e-5, "float64": 1e-8}
"""The shortest between matrices of a moderate condition: some roundings of their entries."""
HARD = {"float32": 1e4, "float64": 1e8}
"""A condition: of 1e8 rounding to float32 would leave few matrices positive definite."""
FACES = {"float32": 6, "float64": 12}
"""How many decimals lie before the first digit of the least likely outcome."""


def flat(dtype: str, bases: Bases) -> list[Law]:
    """Of a space without an end."""
    step = STEP[dtype]
    return [Law(CLOSE, f"{step:g} apart", bases, step), Law(TYPICAL, "1 apart", bases)]


def round_about(dtype: str, bases: Bases) -> list[Law]:
    """Of a space with a cut locus."""
    return [*flat(dtype, bases), Law(CUT, "0.999 of the way to the cut locus", bases, share=0.999)]


def within(dtype: str, bases: Bases, radius: float) -> list[Law]:
    """Of a space with a cut locus that lies farther away in some directions."""
    return [*flat(dtype, bases), Law(CUT, "0.999 of the injectivity radius", bases, 0.999 * radius)]


def definite(dtype: str, n: int, parts: int = 1) -> list[Law]:
    """Positive definite matrices."""
    worst = HARD[dtype]
    hard, step = spectra(n, parts, worst), 1e3 * float(np.finfo(dtype).eps) * worst
    return [
        *flat(dtype, spectra(n, parts)),
        Law(CONDITION, f"condition {worst:g}, 1 apart", hard),
        Law(CONDITION, f"condition {worst:g}, {step:.0e} apart", hard, step),
    ]


def covariances(dtype: str, n: int, parts: int = 1, mean: bool = False) -> list[Law]:
    """Positive definite matrices that geodesics may leave; after a mean, or without."""
    worst, step = HARD[dtype], STEP[dtype]
    easy, hard = spectra(n, parts), spectra(n, parts, worst)
    pair = again(easy)
    if mean:
        easy, hard, pair = after_mean(easy), after_mean(hard), again(after_mean(easy))
    turned = congruent_mean if mean else congruent
    return [
        Law(CLOSE, f"{step:g} apart", easy, step),
        Law(TYPICAL, "of one law", easy, others=pair),
        Law(CONDITION, f"condition {worst:g}", hard, others=turned),
    ]


def likelihoods(dtype: str, n: int) -> list[Law]:
    """Distributions over outcomes, some of them unlikely."""
    easy, most, step = dirichlet(n), FACES[dtype], STEP[dtype]
    faces = unlikely(n, most)
    return [
        Law(CLOSE, f"{step:g} apart", easy, step),
        Law(TYPICAL, "uniform", easy, others=again(easy)),
        Law(RIM, f"to 1e-{most} from faces", faces, others=again(faces)),
        Law(RIM, f"to 1e-{most} from faces, {step:g} apart", faces, step),
    ]


def normals(dtype: str, n: int) -> list[Law]:
    """Means and standard deviations."""
    narrow = deviations(n, -FACES[dtype] / 2, -1)
    return [
        *flat(dtype, deviations(n, -0.5, 0.5)),
        Law(RIM, "narrow, 1 apart", narrow),
        Law(RIM, "narrow, of one law", narrow, others=again(narrow)),
        Law(CONDITION, "condition 1e8, 1 apart", deviations(n, -8, 0, spread=False)),
    ]


# --- base points ----------------------------------------------------------------------------------


def again(bases: Bases) -> Others:
    """Others of the same law."""
    return lambda rng, p: bases(rng, len(p))


def gauss(n: int) -> Bases:
    return lambda rng, rows: rng.standard_normal((rows, n))


def angles(n: int) -> Bases:
    return lambda rng, rows: rng.uniform(-np.pi, np.pi, (rows, n))


def spectra(n: int, parts: int = 1, condition: float | None = None) -> Bases:
    """Random axes, eigenvalues of normal logarithms or evenly spread ones of a condition."""

    def found(rng: np.random.Generator, rows: int) -> np.ndarray:
        normal = rng.standard_normal((parts, rows, n, n))
        axes = np.linalg.qr(normal[0] if parts == 1 else normal[0] + 1j * normal[1])[0]
        values = np.exp(rng.standard_normal((rows, n)))
        if condition is not None:
            values = np.geomspace(1, 1 / condition, n) + np.zeros((rows, 1))
        p = (axes * values[:, None, :]) @ axes.conj().mT
        p = (p + p.conj().mT) / 2
        return p if parts == 1 else np.stack([p.real, p.imag], axis=1)

    return found


def after_mean(bases: Bases) -> Bases:
    def found(rng: np.random.Generator, rows: int) -> np.ndarray:
        p = bases(rng, rows)
        return np.concatenate([rng.standard_normal((rows, 1, p.shape[-1])), p], axis=1)

    return found


def congruent(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    """a p a^H for an a near the unit matrix: the condition is about the same."""
    z = p.astype(float) if p.ndim == 3 else p[:, 0] + 1j * p[:, 1].astype(float)
    a = np.eye(p.shape[-1]) + 0.2 * rng.standard_normal(z.shape)
    z = a @ z @ a.mT
    z = (z + z.conj().mT) / 2
    return z if p.ndim == 3 else np.stack([z.real, z.imag], axis=1)


def congruent_mean(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    mean = p[:, :1] + 0.2 * rng.standard_normal(p[:, :1].shape)
    return np.concatenate([mean, congruent(rng, p[:, 1:])], axis=1)


def columns(n: int, k: int, proper: bool = False) -> Bases:
    """Orthonormal ones; of a rotation if they are to be proper."""

    def found(rng: np.random.Generator, rows: int) -> np.ndarray:
        p = np.linalg.qr(rng.standard_normal((rows, n, k)))[0]
        if proper:
            p[..., -1] *= np.sign(np.linalg.det(p))[:, None]
        return p

    return found


def motions(n: int) -> Bases:
    """Rotations, beside them translations, below both zeros and a one."""

    def found(rng: np.random.Generator, rows: int) -> np.ndarray:
        p = np.zeros((rows, n + 1, n + 1))
        p[:, :n, :n] = columns(n, n, proper=True)(rng, rows)
        p[:, :n, n], p[:, n, n] = rng.standard_normal((rows, n)), 1
        return p

    return found


def unit_columns(n: int, m: int) -> Bases:
    def found(rng: np.random.Generator, rows: int) -> np.ndarray:
        p = rng.standard_normal((rows, n, m))
        return p / np.linalg.norm(p, axis=1, keepdims=True)

    return found


def dirichlet(n: int) -> Bases:
    return lambda rng, rows: rng.dirichlet(np.ones(n), rows)


def unlikely(n: int, most: int) -> Bases:
    """One likely outcome, others of evenly spread logarithms."""

    def found(rng: np.random.Generator, rows: int) -> np.ndarray:
        p = 10.0 ** -rng.uniform(1, most, (rows, n))
        p[np.arange(rows), rng.integers(n, size=rows)] = 1
        return p / p.sum(axis=1, keepdims=True)

    return found


def deviations(n: int, least: float, most: float, spread: bool = True) -> Bases:
    """Standard normal means; decimal logarithms of deviations spread evenly, or at both ends with
    means as far from 0 as they are wide."""

    def found(rng: np.random.Generator, rows: int) -> np.ndarray:
        mean = rng.standard_normal((rows, n))
        if spread:
            return np.stack([mean, 10.0 ** rng.uniform(least, most, (rows, n))], axis=1)
        wide = np.geomspace(10.0**least, 10.0**most, n) + np.zeros((rows, 1))
        return np.stack([mean * wide, wide], axis=1)

    return found


def mixed(rng: np.random.Generator, rows: int) -> np.ndarray:
    """A point of a disc, one of a sphere, one of a plane."""
    disc = balls(2)(rng, rows)
    sphere = unit_columns(3, 1)(rng, rows)[..., 0]
    return np.concatenate([disc, sphere, rng.standard_normal((rows, 2))], axis=1)


def balls(n: int) -> Bases:
    """Within a ball, uniform in radius."""

    def found(rng: np.random.Generator, rows: int) -> np.ndarray:
        x = rng.standard_normal((rows, n))
        return x / np.linalg.norm(x, axis=1, keepdims=True) * rng.uniform(0, 0.9, (rows, 1))

    return found
