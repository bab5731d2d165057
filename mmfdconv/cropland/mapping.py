"""Map a scene: read ahead, predict, blend, row by row."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterator, NamedTuple, Optional, Tuple

import torch

from .gates import GATES, SAMPLE, has_gates, scene_gates
from .predictor import Predictor
from .scene import Rows, Scene
from .windows import RowBlend, WindowPlan

__all__ = ['Clock', 'Progress', 'Tiling', 'count_windows', 'map_rows']

# Called with the number of windows done since the last call.
Progress = Callable[[int], Any]


class Tiling(NamedTuple):
    """How a scene is cut into windows; see :class:`WindowPlan`.

    A dynamic model's gates are those of the ``'scene'``, or of each
    ``'window'``; see :func:`scene_gates`.
    """

    window: int = 512
    overlap: int = 128
    margin: Optional[int] = None
    batch: int = 4
    gates: str = 'scene'

    def plans(
        self, scene: Scene, predictor: Predictor
    ) -> Tuple[WindowPlan, WindowPlan]:
        """Plan the windows down and across a scene.

        Raises:
            ValueError: The windows do not fit the model or the scene.
        """
        if self.gates not in GATES:
            raise ValueError(
                f'--gates: must be one of {GATES}, not {self.gates!r}'
            )
        sides = (scene.height, scene.width)
        if predictor.resizes() and min(sides) < self.window < max(sides):
            raise ValueError(
                f'--window: {self.window} does not fit the scene of '
                f'{scene.width}x{scene.height} pixels. As the test pipeline '
                'resizes what it sees, all windows must be of one shape: '
                f'take one of at most {min(sides)}'
            )
        down, across = (
            WindowPlan(
                side,
                self.window,
                self.overlap,
                self.margin,
                predictor.multiple,
                alike=predictor.resizes(),
            )
            for side in sides
        )
        return down, across


class Clock(dict):
    """Seconds by kind of work."""

    @contextlib.contextmanager
    def on(self, work: str) -> Iterator[None]:
        """Add the time that a block takes."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self[work] = self.get(work, 0.0) + spent


def _read_ahead(
    scene: Scene, plan: WindowPlan, clock: Clock
) -> Iterator[Rows]:
    """Yield the rows of each row of windows, read in a thread of its own.

    Every pixel is read once: what windows share stays in memory. One row of
    windows is read while the model works on the one before.
    """

    def read(above: Optional[Rows], first: int, last: int) -> Rows:
        with clock.on('reading'):
            if above is None:
                return scene.read(first, last)
            return above.above(scene.read(first, last))

    spans = plan.spans()
    with ThreadPoolExecutor(1) as reader:
        job = reader.submit(read, None, *spans[0])
        for (top, bottom), below in zip(spans, [*spans[1:], None]):
            with clock.on('waiting'):
                rows = job.result()
            if below is not None:
                start, stop = below
                shared = rows.part(slice(start - top, None), slice(None))
                job = reader.submit(read, shared, bottom, stop)
            yield rows


def map_rows(
    scene: Scene,
    predictor: Predictor,
    tiling: Tiling,
    progress: Progress = lambda windows: None,
    clock: Optional[Clock] = None,
) -> Iterator[Any]:
    """Yield a scene's finished rows, from top to bottom.

    Yields:
        ``(top, scores, valid)``: the first row's number, a tensor of shape
        (K, rows, W) on the model's device, and a bool array of shape
        (rows, W). Where windows overlap, the scores are their weighted mean,
        as in mmseg's own sliding inference. Those of pixels without data mean
        nothing.
    """
    clock = Clock() if clock is None else clock
    down, across = tiling.plans(scene, predictor)
    device = predictor.device
    blend = RowBlend(
        predictor.num_scores, min(down.size, scene.height), scene.width, device
    )
    # A raised cosine of the row times one of the column.
    columns = [across.weights(*span).to(device) for span in across.spans()]
    tops = [*down.starts[1:], scene.height]
    with contextlib.ExitStack() as stack:
        if _windows_for_gates(predictor, tiling, down, across):
            with clock.on('gates'):
                stack.enter_context(
                    scene_gates(scene, predictor, down, across, progress)
                )
        bands = stack.enter_context(
            contextlib.closing(_read_ahead(scene, down, clock))
        )
        for (top, bottom), until, rows in zip(down.spans(), tops, bands):
            weights = down.weights(top, bottom).to(device)[:, None]
            for batch in _batches(across, rows, tiling.batch, progress):
                with clock.on('model'):
                    windows = [
                        rows.part(slice(None), slice(*across.spans()[i]))
                        for i in batch
                    ]
                    predicted = predictor(windows)
                    if device.type == 'cuda':
                        torch.cuda.synchronize(device)
                with clock.on('blending'):
                    for i, one in zip(batch, predicted):
                        blend.add(
                            one, top, across.starts[i], weights * columns[i]
                        )
                progress(len(batch))
            with clock.on('blending'):
                done = blend.finish(until)
            yield top, done, rows.valid[: until - top]


def _batches(plan, rows, size, progress) -> Iterator[list]:
    """Yield numbers of windows that have data and one shape, row by row."""
    batch, width = [], None
    for i, (left, right) in enumerate(plan.spans()):
        if not rows.valid[:, left:right].any():
            progress(1)
            continue
        if batch and (right - left != width or len(batch) == size):
            yield batch
            batch = []
        batch, width = [*batch, i], right - left
    if batch:
        yield batch


def count_windows(scene: Scene, predictor: Predictor, tiling: Tiling) -> int:
    """Return how many windows a scene has, for a progress bar."""
    down, across = tiling.plans(scene, predictor)
    windows = len(down.starts) * len(across.starts)
    return windows + _windows_for_gates(predictor, tiling, down, across)


def _windows_for_gates(predictor, tiling, down, across) -> int:
    """How many windows the model sees first, for the gates of the scene."""
    windows = len(down.starts) * len(across.starts)
    needed = tiling.gates == 'scene' and has_gates(predictor.model)
    # The gates of a single window are those of the scene.
    return min(windows, SAMPLE) if needed and windows > 1 else 0
