"""Map a scene as the commands do, with messages and a progress bar."""

import argparse
import contextlib
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Sequence, Union

import numpy as np
from mmengine.dist import is_main_process
from tqdm import tqdm

from ..datasets.pixel_size import pixel_size
from ..datasets.raster_bands import ALPHA
from ..engine.options import parse_rule
from . import area, change, options
from .files import crs_label, name_left_over
from .mapping import count_windows
from .polygon_files import FORMATS, PolygonOptions
from .predictor import Predictor, load_predictor
from .products import Mapped, Products, map_scene
from .scene import Scene

__all__ = [
    'compare_with_bar',
    'count_all_windows',
    'describe_scene',
    'load_model',
    'map_with_bar',
    'open_scene',
    'progress_bar',
]

STRIPS, ROWS = 8, 16  # of a scene that are looked at, and rows of each
ALIKE = 1.5  # ratio of pixels' sides that models bear
BEYOND = 0.2  # share of values beyond the training's; there it was 0.02


def map_with_bar(
    path: str,
    predictor: Predictor,
    prefix: Union[str, Path],
    args: argparse.Namespace,
    say: Callable[[str], Any],
    bar: Optional[tqdm] = None,
    **outputs: Any,
) -> Mapped:
    """Open a scene, say what is in it, map it, say what came out.

    Args:
        path: The scene.
        predictor: The model.
        prefix: Beginning of the outputs' names.
        args: The options of :mod:`options`.
        say: Takes each line or table.
        bar: Counts windows, of this scene and others; ``None`` shows one.
        outputs: Passed on to :func:`map_scene`.
    """
    tiling = options.tiling(args, predictor.device)
    with contextlib.ExitStack() as stack:
        scene = stack.enter_context(open_scene(path, predictor, args))
        say(describe_scene(scene, predictor))
        if bar is None:
            windows = count_windows(scene, predictor, tiling)
            bar = stack.enter_context(progress_bar('window', windows))
        mapped = map_scene(
            scene, predictor, prefix, tiling, progress=bar.update, **outputs
        )
    say(area.format_hectares(mapped.hectares))
    if mapped.polygons is not None:
        say(
            f'{mapped.polygons.written} polygons; {mapped.polygons.left_out} '
            'smaller ones left out'
        )
    seconds = ', '.join(f'{k} {v:.1f} s' for k, v in mapped.seconds.items())
    say(f'{seconds} (reading runs while the model works)')
    for file in mapped.files.values():
        say(f'wrote {file}')
    every = (
        Products(True, True, options=PolygonOptions(format=kind)).files(prefix)
        for kind in FORMATS
    )
    for line in name_left_over(mapped.files.values(), every):
        say(line)
    return mapped


def load_model(
    config: str, checkpoint: str, args: argparse.Namespace
) -> Predictor:
    """Load a model as the options say; see :func:`load_predictor`."""
    return load_predictor(
        config,
        checkpoint,
        device=args.device,
        amp=args.amp,
        value_range=args.value_range,
        conv=args.conv,
        conv_options=args.conv_options,
        conv_rule=parse_rule(args.conv_rule),
    )


def open_scene(
    path: str, predictor: Predictor, args: argparse.Namespace
) -> Scene:
    """Open a scene as the options say and the model needs it."""
    return Scene(
        path,
        predictor.channels,
        args.bands,
        args.nodata,
        args.crs,
        predictor.bands,
    )


def progress_bar(unit: str, total: Optional[int] = None) -> tqdm:
    """Return a bar, which only the first of several processes shows."""
    return tqdm(
        total=total,
        unit=unit,
        dynamic_ncols=True,
        disable=not is_main_process(),
    )


def count_all_windows(
    paths: Sequence[str], predictor: Predictor, args: argparse.Namespace
) -> int:
    """Return how many windows some scenes have together."""
    tiling = options.tiling(args, predictor.device)
    total = 0
    for path in paths:
        with open_scene(path, predictor, args) as scene:
            total += count_windows(scene, predictor, tiling)
    return total


def compare_with_bar(
    before: Union[str, Path],
    after: Union[str, Path],
    prefix: Union[str, Path],
    **kwargs: Any,
) -> change.Change:
    """Compare two maps; the bar counts rows, compared and made polygons."""
    with progress_bar('row') as bar:

        def progress(rows: int, total: int) -> None:
            bar.total = total
            bar.update(rows)

        return change.compare(
            before, after, prefix, progress=progress, **kwargs
        )


def describe_scene(scene: Scene, predictor: Predictor) -> str:
    """Say size, coordinate system, bands, and what to beware of."""
    bands = ', '.join(
        f'band {band}{f" ({name})" if name else ""}'
        for band, name in zip(scene.bands, scene.band_names)
    )
    lines = [
        f'{scene.path}: {scene.width} x {scene.height} pixels, '
        f'{scene.dtype}, {crs_label(scene.crs)}',
        f'the model sees {bands}, in this order; choose others with --bands',
    ]
    if predictor.bands:
        lines.append(
            f'it was trained on {", ".join(map(str, predictor.bands))}'
        )
    if scene.file_crs and scene.file_crs != scene.crs:
        lines.append(
            f'warning: the file says {crs_label(scene.file_crs)}; using '
            f'{crs_label(scene.crs)} from --crs'
        )
    if ALPHA in map(str.lower, scene.band_names):
        lines.append(
            'warning: the file calls one of these bands alpha, which means '
            'that it says where the others have data'
        )
    if predictor.resizes():
        lines.append(
            'warning: the test pipeline resizes images; set --window to the '
            'side of the training tiles, so that windows are resized in the '
            'same way'
        )
    if predictor.mean is None:
        lines.append('warning: the config has no normalisation of the bands')
    deeper = scene.dtype.itemsize > 1 and predictor.takes_bytes()
    if deeper and predictor.value_range is None:
        lines.append(
            f"warning: the scene's values are {scene.dtype}, but the model's "
            'means are those of 8-bit images; set the values of black and '
            'white with --value-range LOW HIGH'
        )
    lines += [f'warning: {line}' for line in _differences(scene, predictor)]
    measured = area.PixelAreas(scene).describe()
    if measured:
        lines.append(measured)
    return '\n'.join(lines)


def _differences(scene: Scene, predictor: Predictor) -> Iterator[str]:
    """Say how pixel size and values differ from those of the training.

    A checkpoint of a training without ``TrainingDataHook`` says nothing of
    them.
    """
    trained = predictor.training_data
    if not trained:
        return
    own, theirs = pixel_size(scene), trained['pixel_size']
    if own and theirs and not 1 / ALIKE <= own / theirs <= ALIKE:
        yield (
            f"the scene's pixels are {own:.3g} m wide and those of the "
            f'training data {theirs:.3g} m, so fields have another size than '
            'in the training; resample the scene with gdalwarp -tr'
        )
    rows = min(ROWS, scene.height)
    parts = []  # as the model's pipeline loads them, without gaps
    for top in np.linspace(0, scene.height - rows, STRIPS).astype(int):
        strip = scene.read(int(top), int(top) + rows)
        parts.append(predictor.load(strip)[:, strip.valid].ravel())
    values = np.concatenate(parts)
    low, high = trained['low'], trained['high']
    beyond = np.mean((values < low) | (values > high)) if values.size else 0
    if beyond > BEYOND:
        yield (
            f"{beyond:.0%} of the scene's values lie outside of {low:.4g} to "
            f'{high:.4g}, the range of 98 % of the training data; if the '
            'units differ, set the values of black and white with '
            '--value-range LOW HIGH'
        )
