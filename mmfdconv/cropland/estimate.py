"""Areas and accuracies of a map, from a labelled sample.

The pixel count of a small class contains the errors of large classes: if 5 %
of a large class are mapped as lost, the error may exceed the true loss. An
estimate from a labelled sample has no such bias, and has an interval.

Paper: Olofsson et al. 2014, Good practices for estimating area and assessing
accuracy of land change, Remote Sensing of Environment 148, Eqs. (1)-(11).
These are for strata that are the classes of the map. A stratum may also be
a part of several classes (a buffer around change). For this case Stehman 2014,
Estimating area and map accuracy for stratified random sampling when the strata
are different from the map classes, International Journal of Remote Sensing 35,
has more general estimators: sums over strata, and ratios of two such sums. If
the strata are the classes, both are equal. As in Olofsson's paper, the
variances have no finite population correction, because a map has far more
pixels than a sample has points.
"""

from typing import Callable, NamedTuple, Optional, Sequence

import numpy as np
from scipy.stats import t as student

__all__ = ['Estimate', 'Measure', 'estimate_areas', 'estimate_from_polygons']

CONFIDENCE = 1.96  # standard errors on either side, as in the paper


class Measure(NamedTuple):
    """Estimates, and half the widths of their 95 % intervals; same shape.

    NaN stands where there is nothing to estimate from.
    """

    value: np.ndarray
    margin: np.ndarray


class Estimate(NamedTuple):
    """Areas and accuracies of K classes.

    Attributes:
        shares: Shape (..., K, K): estimated share of the whole area that the
            map calls i and that is j, Olofsson's Eq. (4).
        hectares: Area of each class, shape (..., K), Eqs. (9)-(11).
        overall: Overall accuracy, shape (..., 1), Eqs. (1) and (5).
        users: User's accuracy of each class, shape (..., K): how much of what
            the map calls so is so, Eqs. (2) and (6).
        producers: Producer's accuracy, shape (..., K): how much of what is so
            the map calls so, Eqs. (3) and (7).
    """

    shares: np.ndarray
    hectares: Measure
    overall: Measure
    users: Measure
    producers: Measure


def estimate_areas(
    counts: np.ndarray,
    hectares: Sequence[float],
    strata: Optional[Sequence[str]] = None,
    pixel: float = 0.0,
) -> Estimate:
    """Estimate from points drawn at random within strata.

    Args:
        counts: Points by stratum, class of the map, and class that is really
            there, shape (..., H, K, K). Points of a stratum have been drawn
            so that each place in it is as likely as any other.
        hectares: Areas of the H strata.
        strata: Their names, for the error; ``None`` numbers them from 0.
        pixel: Hectares of a pixel of the map. One point tells all of a
            stratum that is no larger.

    Raises:
        ValueError: A stratum of some pixels has less than two points, or one
            of a single pixel has none.
    """
    counts = np.asarray(counts, float)
    hectares = np.asarray(hectares, float)
    points = counts.sum((-2, -1))  # (..., H)
    # Halfway to two pixels: pixels differ, and hectares are rounded.
    least = np.where(hectares < 1.5 * pixel, 1, 2)
    few = np.unique(np.argwhere((points < least) & (hectares > 0))[:, -1])
    if len(few):
        raise ValueError(
            'each stratum needs two labelled points or more, one of a single '
            f'pixel needs one; these have fewer: {_named(few, strata)}'
        )
    shares = counts / np.maximum(points, 1)[..., None, None]

    def variance(residuals: np.ndarray) -> np.ndarray:
        mean = np.einsum('...hij,...qij->...hq', shares, residuals)
        square = np.einsum('...hij,...qij->...hq', shares, residuals**2)
        spread = (square - mean**2) / np.maximum(points - 1, 1)[..., None]
        # What rounding leaves of 0 may be below it.
        return np.einsum('...hq,h->...q', spread.clip(0), hectares**2)

    return _estimate(shares, hectares, variance, CONFIDENCE)


def estimate_from_polygons(
    areas: np.ndarray,
    hectares: Sequence[float],
    names: Optional[Sequence[str]] = None,
) -> Estimate:
    """Estimate from polygons of known class, drawn at random.

    Pixels of one polygon are alike, so each polygon is one observation
    (a cluster), however large it is. The map's classes are strata after the
    fact. Variances are those of Taylor's linearisation, and the interval has
    Student's t for the number of polygons.

    Args:
        areas: Hectares by polygon, class of the map, and class that is really
            there, shape (C, K, K).
        hectares: Areas of the map's K classes.
        names: Their names, for the error; ``None`` numbers them from 0.

    Raises:
        ValueError: There are less than two polygons, or none in a class that
            the map has.
    """
    areas = np.asarray(areas, float)
    hectares = np.asarray(hectares, float)
    count, classes = areas.shape[:2]
    if count < 2:
        raise ValueError(f'there must be two polygons, not {count}')
    seen = areas.sum((0, 2))  # (K,)
    absent = np.flatnonzero((seen == 0) & (hectares > 0))
    if len(absent):
        raise ValueError(
            'no polygon touches what the map calls '
            f'{_named(absent, names)}; each class needs some'
        )
    # Stratum and class of the map are one: (H, K, K) with zeros elsewhere.
    seen = np.maximum(seen, np.finfo(float).tiny)
    shares = np.eye(classes)[:, :, None] * (areas.sum(0) / seen[:, None])

    def variance(residuals: np.ndarray) -> np.ndarray:
        mean = np.einsum('hij,qij->qh', shares, residuals)
        own = residuals - mean[:, :, None]
        found = np.einsum('cij,qij,i->cq', areas, own, hectares / seen)
        return (found**2).sum(0) * count / (count - 1)

    return _estimate(
        shares, hectares, variance, float(student.ppf(0.975, count - 1))
    )


def _named(numbers: np.ndarray, names: Optional[Sequence[str]]) -> str:
    return ', '.join(str(n if names is None else names[n]) for n in numbers)


def _estimate(
    shares: np.ndarray,
    hectares: np.ndarray,
    variance: Callable[[np.ndarray], np.ndarray],
    width: float,
) -> Estimate:
    """Put estimates together from shares of each stratum, (..., H, K, K).

    ``variance`` is that of sums over the whole area, in hectares squared,
    from what each combination of classes adds to them, (..., Q, K, K).
    """
    joint = np.einsum('...hij,h->...ij', shares, hectares)
    classes = joint.shape[-1]
    one = np.eye(classes)
    whole = np.ones((1, classes, classes))
    mapped = one[:, :, None] * whole  # 1 where the map says q
    there = one[:, None, :] * whole  # 1 where it is q

    def ratio(part: np.ndarray, of: np.ndarray) -> Measure:
        above = np.einsum('...ij,qij->...q', joint, part)
        below = np.einsum('...ij,qij->...q', joint, of)
        with np.errstate(divide='ignore', invalid='ignore'):
            value = above / below
            residuals = part - np.nan_to_num(value)[..., None, None] * of
            margin = width * np.sqrt(variance(residuals)) / below
        return Measure(value, np.where(below > 0, margin, np.nan))

    area = np.einsum('...ij,qij->...q', joint, there)
    return Estimate(
        joint / hectares.sum(),
        Measure(area, width * np.sqrt(variance(there))),
        ratio(one[None] * whole, whole),
        ratio(mapped * there, mapped),
        ratio(mapped * there, there),
    )
