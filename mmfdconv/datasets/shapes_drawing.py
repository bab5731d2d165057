"""Images of textured shapes, with the mask of what is visible of each.

What an image shows, and why:

- shapes of every class carry every texture, so that neither colour nor
  texture gives the class away: the outline has to be seen;
- shapes overlap, and each mask is the *visible* part alone, as in COCO;
- a shape that would leave itself or an older one nearly hidden is not drawn
  at all, so that there is no object in the picture without an annotation.
"""

from typing import List, Tuple

import numpy as np

CLASSES = ('disc', 'square', 'triangle', 'star', 'ring', 'cross')
"""Names of the classes, in the order of their indices."""

_SHAPES_PER_IMAGE = (4, 7)  # both included
_RADIUS = (0.12, 0.26)  # as a part of the image's side
_MIN_VISIBLE = 0.5  # of a shape's own area
_MIN_AREA = 64  # visible pixels
_MAX_TURN = np.pi / 8  # to either side
_MAX_TRIES = 12  # placements tried for one shape
_SUBSAMPLES = 3  # per pixel and axis, for smooth outlines


def draw_image(
    rng: np.random.Generator, image_size: int
) -> Tuple[np.ndarray, List[Tuple[int, np.ndarray]]]:
    """Draw one image.

    Args:
        rng: Where all randomness comes from.
        image_size: Side of the image, in pixels.

    Returns:
        The image, ``(H, W, 3)`` RGB of type uint8, and for each shape its
        class index and the mask of its visible pixels, ``(H, W)`` bool, from
        back to front.
    """
    image = _background(rng, image_size)
    shapes: List[Tuple[int, np.ndarray]] = []
    areas: List[int] = []  # of the whole shapes, hidden parts included
    low, high = _SHAPES_PER_IMAGE
    for _ in range(int(rng.integers(low, high + 1))):
        label = int(rng.integers(len(CLASSES)))
        for _ in range(_MAX_TRIES):
            placed = _Placed(rng, CLASSES[label], image_size)
            mask = placed.coverage >= 0.5
            left = [int((old & ~mask).sum()) for _, old in shapes]
            left.append(int(mask.sum()))
            if all(
                n >= max(_MIN_AREA, _MIN_VISIBLE * area)
                for n, area in zip(left, [*areas, placed.area])
            ):
                break
        else:
            continue
        colours = placed.paint(rng, image[mask].mean(0))
        alpha = placed.coverage[..., None]
        image = alpha * colours + (1 - alpha) * image
        shapes = [(k, old & ~mask) for k, old in shapes]
        shapes.append((label, mask))
        areas.append(placed.area)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), shapes


class _Placed:
    """A shape at a random place, turned, scaled and cut at the border.

    Attributes:
        coverage: ``(H, W)``, the part of each pixel that it covers.
        area: Its pixels, those outside the image included.
    """

    def __init__(
        self, rng: np.random.Generator, name: str, image_size: int
    ) -> None:
        low, high = _RADIUS
        self.radius = image_size * rng.uniform(low, high)
        self.centre = rng.uniform(0.06, 0.94, 2) * image_size  # x, y
        self.angle = rng.uniform(-1, 1) * _MAX_TURN
        self.stretch = rng.uniform(0.8, 1.25) ** 0.5
        self.image_size = image_size

        reach = int(np.ceil(self.radius * 1.3)) + 1
        x0, y0 = (int(z) - reach for z in self.centre)
        side, sub = 2 * reach + 1, _SUBSAMPLES
        step = (np.arange(side * sub) + 0.5) / sub
        inside = _INSIDE[name](*self._local(x0 + step, y0 + step))
        # (side * sub, side * sub) -> (side, side)
        patch = inside.reshape(side, sub, side, sub).mean((1, 3))
        self.area = int((patch >= 0.5).sum())

        pad = reach + 1
        canvas = np.zeros((image_size + 2 * pad,) * 2)
        canvas[y0 + pad :, x0 + pad :][:side, :side] = patch
        self.coverage = canvas[pad:-pad, pad:-pad]

    def _local(
        self, x: np.ndarray, y: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Turn pixel coordinates into the shape's own, in radii."""
        x, y = np.meshgrid(x - self.centre[0], y - self.centre[1])
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        u = (cos * x + sin * y) / self.radius * self.stretch
        v = (cos * y - sin * x) / self.radius / self.stretch
        return u, v

    def paint(
        self, rng: np.random.Generator, behind: np.ndarray
    ) -> np.ndarray:
        """Give the shape's texture, ``(H, W, 3)``, over the whole image.

        Args:
            rng: Where texture and colours come from.
            behind: Mean colour of what the shape covers; the shape's own
                main colour keeps clear of it.
        """
        first = _colour_apart(rng, behind, 120)
        second = first + rng.choice([-1, 1]) * rng.uniform(20, 45)
        second = second + rng.uniform(-15, 15, 3)
        pixels = np.arange(self.image_size) + 0.5
        u, v = self._local(pixels, pixels)
        # From the shape's frame back to pixels, turned with the shape.
        weight = _pattern(rng, u * self.radius, v * self.radius)[..., None]
        return weight * first + (1 - weight) * second


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # Folded into one half of one of the five points, of which the edge runs
    # from the tip (1, 0) to the inner corner.
    sector = np.pi / 5
    angle = abs((np.arctan2(u, -v) + sector) % (2 * sector) - sector)
    radius = np.hypot(u, v)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    corner_x, corner_y = 0.45 * np.cos(sector), 0.45 * np.sin(sector)
    return (x - 1) * corner_y - y * (corner_x - 1) <= 0


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = abs(u), abs(v)
    return (np.minimum(u, v) <= 0.3) & (np.maximum(u, v) <= 0.95)


# Which points, in radii from the middle, lie inside of each shape.
_INSIDE = dict(
    disc=lambda u, v: u**2 + v**2 <= 0.9**2,
    square=lambda u, v: np.maximum(abs(u), abs(v)) <= 0.8,
    triangle=lambda u, v: np.maximum(v, 3**0.5 / 2 * abs(u) - v / 2) <= 0.5,
    star=_star,
    ring=lambda u, v: (np.hypot(u, v) >= 0.48) & (np.hypot(u, v) <= 0.95),
    cross=_cross,
)


def _pattern(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Give a random texture as a weight in [0, 1] at pixel coordinates."""
    kind = rng.choice(['plain', 'stripes', 'checker', 'dots', 'noise', 'ramp'])
    period = rng.uniform(6, 14)
    phase = rng.uniform(0, 2 * np.pi)
    wave_x = np.sin(2 * np.pi * x / period + phase)
    wave_y = np.sin(2 * np.pi * y / period + phase)
    if kind == 'plain':
        weight = np.ones_like(x)
    elif kind == 'stripes':
        weight = wave_x > 0
    elif kind == 'checker':
        weight = wave_x * wave_y > 0
    elif kind == 'dots':
        weight = wave_x + wave_y > 0.9
    elif kind == 'noise':
        weight = rng.uniform(0, 1, x.shape)
    else:
        weight = 0.5 + 0.5 * np.sin(x / (6 * period) * 2 * np.pi + phase)
    return np.asarray(weight, dtype=np.float64)


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Give a background, ``(H, W, 3)`` float: ramp + pattern + clouds."""
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    along = (along - along.min()) / (along.max() - along.min())
    first = rng.uniform(20, 235, 3)
    second = first + rng.uniform(-60, 60, 3)
    image = first + along[..., None] * (second - first)
    across = np.cos(angle) * y - np.sin(angle) * x
    pattern = _pattern(rng, along * size, across)[..., None]
    image += (pattern - 0.5) * rng.uniform(-22, 22, 3)
    image += _clouds(rng, size)[..., None] * rng.uniform(5, 25)
    image += rng.normal(0, rng.uniform(0, 6), image.shape)
    return np.clip(image, 0, 255)


def _clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    """Give smooth noise in [-1, 1], ``(H, W)``, of two octaves."""
    total = np.zeros((size, size))
    for cells, height in ((4, 0.65), (10, 0.35)):
        grid = rng.uniform(-1, 1, (cells + 1, cells + 1))
        at = np.linspace(0, cells, size)
        # Rows, then columns: linear interpolation is separable.
        rows = np.stack([np.interp(at, np.arange(cells + 1), g) for g in grid])
        both = [np.interp(at, np.arange(cells + 1), c) for c in rows.T]
        total += height * np.stack(both, 1)
    return total


def _colour_apart(
    rng: np.random.Generator, other: np.ndarray, distance: float
) -> np.ndarray:
    """Give a random colour at least ``distance`` away from another one."""
    while True:
        colour = rng.uniform(0, 255, 3)
        if np.linalg.norm(colour - other) >= distance:
            return colour
