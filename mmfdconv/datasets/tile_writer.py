"""Writing tiles of labelled scenes, by several processes, in many runs.

A file appears under its name once it is complete, the label after its image:
a tile whose label is there is done, and a run goes on where the last one
ended, however that did. A record of the options keeps runs of different
options out of one folder.
"""

import errno
import json
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
from mmengine.logging import print_log
from mmengine.utils import ProgressBar

from .geotiff import open_image
from .tile_files import (
    ImageHeader,
    encode_png,
    encode_tif,
    palette_of,
    read_header,
    write_whole,
)
from .tiling import UnknownValueError, assign_splits, tile_grid

_RECORD = 'tiles.json'
_VERSION = 1
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHOWN = 10  # of many faulty files


# Makes ids (h, w) of label bands (bands, h, w) and of their palette, if any.
Decode = Callable[[np.ndarray, Optional[np.ndarray]], np.ndarray]


class LabelledScene(NamedTuple):
    """An image, its label image, and what it must share a split with."""

    name: str
    image: Path
    label: Path
    group: str


class _Row(NamedTuple):
    """One row of a scene's tiles: (column, folder of its split)."""

    scene: LabelledScene
    row: int
    tiles: Tuple[Tuple[int, str], ...]


def write_tiles(
    scenes: Sequence[LabelledScene],
    out_dir: Union[str, os.PathLike],
    decode: Decode,
    *,
    tile_size: int,
    split: str,
    fractions: Mapping[str, float],
    seed: int,
    workers: Optional[int] = None,
    bands: Optional[Sequence[str]] = None,
    record: Optional[Mapping[str, Any]] = None,
) -> Dict[str, int]:
    """Cut scenes into ``img_dir/{split}`` and ``ann_dir/{split}``.

    Images of three 8-bit bands become PNG files, all others GeoTIFF files
    that keep georeference and type; labels become PNG files of class ids.
    Tiles are named after scene, row and column.

    Args:
        scenes: What to cut.
        out_dir: A new or empty folder, or one of an earlier run.
        decode: Makes ids (h, w) of label bands (bands, h, w) and of the
            palette (N, 3) of the file, or None; must be importable, for
            other processes call it.
        tile_size: Side of the tiles.
        split: ``'scene'`` draws whole groups of scenes; ``'tile'`` draws
            single tiles, so that neighbours meet in different splits.
        fractions: What each split gets of the tiles.
        seed: Seed of the draw.
        workers: Number of processes. None takes that of the CPUs, 1 none
            beside this one.
        bands: Names of the images' bands, written into GeoTIFF tiles; the
            images must have as many. None keeps their own.
        record: Further options that another run must share.

    Returns:
        The number of tiles of each split.

    Raises:
        ValueError: An option is wrong or differs from the earlier run's; a
            label is missing, does not fit its image, or has a value that no
            class has. The message names option or file.
        OSError: A file cannot be read, or the disk is full.
    """
    if split not in ('scene', 'tile'):
        raise ValueError(f"split must be 'scene' or 'tile', got {split!r}")
    if workers is not None and workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}')
    sizes = _check(scenes, tile_size, bands)
    rows = _plan(scenes, sizes, tile_size, split, fractions, seed)
    counts = dict.fromkeys(fractions, 0)
    for row in rows:
        for _, folder in row.tiles:
            counts[folder] += 1
    out = Path(out_dir)
    _claim(
        out,
        dict(
            version=_VERSION,
            **(record or {}),
            tile_size=tile_size,
            split=split,
            fractions=dict(fractions),
            seed=seed,
            scenes={
                scene.name: [scene.group, *size]
                for scene, size in zip(scenes, sizes.values())
            },
        ),
    )
    write = partial(
        _write_row, out=out, size=tile_size, decode=decode, bands=bands
    )
    total = sum(counts.values())
    done = written = 0
    bar = ProgressBar(total, file=sys.stderr)
    try:
        for row, new in _run(write, rows, workers or os.cpu_count() or 1):
            done += len(row.tiles)
            written += new
            bar.update(len(row.tiles))
    except OSError as error:
        if error.errno not in _FULL:
            raise
        layout = next(iter(sizes.values()))
        pixel = layout.bands * np.dtype(layout.dtype).itemsize + 1
        needed = (total - done) * tile_size**2 * pixel / 2**30
        raise OSError(
            f'{error.filename}: the disk is full. The {total - done} tiles to '
            f'come need at most {needed:.2f} GiB; make room and run the same '
            'command again, it goes on from here'
        ) from None
    finally:
        sys.stderr.write('\n')
    listed = ', '.join(f'{count} {name}' for name, count in counts.items())
    print_log(
        f'{out}: {listed}; {written} tiles written now, {total - written} '
        'were there',
        'current',
    )
    return counts


def _check(
    scenes: Sequence[LabelledScene],
    tile_size: int,
    bands: Optional[Sequence[str]],
) -> Dict[str, ImageHeader]:
    """Read all headers, so that a wrong file is found before hours of work."""
    sizes, wrong = {}, []
    for scene in scenes:
        if scene.name in sizes:
            wrong.append(f'{scene.image}: another image has this name')
            continue
        if not scene.label.is_file():
            wrong.append(f'{scene.image}: its label {scene.label} is missing')
            continue
        image, label = read_header(scene.image), read_header(scene.label)
        sizes[scene.name] = image
        if image[:2] != label[:2]:
            wrong.append(
                f'{scene.label}: is {label.height}x{label.width}, its image '
                f'{scene.image.name} {image.height}x{image.width}'
            )
        first = next(iter(sizes.values()))
        if image[2:] != first[2:]:
            wrong.append(
                f'{scene.image}: has {image.bands} bands of {image.dtype}, '
                f'the first image {first.bands} of {first.dtype}'
            )
        elif bands is not None and image.bands != len(bands):
            wrong.append(
                f'{scene.image}: has {image.bands} bands, expected are '
                f'{len(bands)}: {", ".join(bands)}'
            )
        try:
            tile_grid(image.height, image.width, tile_size)
        except ValueError as error:
            wrong.append(f'{scene.image}: {error}')
    if wrong:
        more = [f'and {len(wrong) - _SHOWN} more'] * (len(wrong) > _SHOWN)
        raise ValueError('\n'.join(wrong[:_SHOWN] + more))
    if not scenes:
        raise ValueError('scenes: must not be empty')
    return sizes


def _plan(
    scenes: Sequence[LabelledScene],
    sizes: Mapping[str, ImageHeader],
    tile_size: int,
    split: str,
    fractions: Mapping[str, float],
    seed: int,
) -> List[_Row]:
    """List all rows of tiles, with the split of each tile."""
    grids = {
        name: tile_grid(size.height, size.width, tile_size)
        for name, size in sizes.items()
    }
    groups = {
        tile_name(scene.name, row, column): scene.group
        for scene in scenes
        for row in range(grids[scene.name][0])
        for column in range(grids[scene.name][1])
    }
    if split == 'tile':
        groups = {name: name for name in groups}
    splits = assign_splits(groups, fractions, seed)
    rows = []
    for scene in scenes:
        height, width = grids[scene.name]
        for row in range(height):
            names = [tile_name(scene.name, row, k) for k in range(width)]
            tiles = tuple(enumerate(splits[name] for name in names))
            rows.append(_Row(scene, row, tiles))
    return rows


def tile_name(scene: str, row: int, column: int) -> str:
    """Name a tile, without suffix."""
    return f'{scene}_{row:02d}_{column:02d}'


def _claim(out: Path, options: Dict[str, Any]) -> None:
    """Take a folder for these options, or go on with the one taken before."""
    record = out / _RECORD
    options = json.loads(json.dumps(options))  # as they will be read back
    if record.is_file():
        before = json.loads(record.read_text())
        for name, value in options.items():
            if before.get(name) != value:
                raise ValueError(_difference(out, name, before, options))
        # What a killed run has left; no other run is at work here.
        for stale in out.rglob('.*.partial'):
            shutil.rmtree(stale)
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(
            f'{out}: contains other files than tiles; give a new or an empty '
            'folder'
        )
    for folder in ('img_dir', 'ann_dir'):
        for name in options['fractions']:
            (out / folder / name).mkdir(parents=True, exist_ok=True)
    write_whole(record, (json.dumps(options, indent=1) + '\n').encode())


def _difference(out: Path, name: str, before: Any, now: Any) -> str:
    was, wanted = before.get(name), now[name]
    if name == 'scenes' and isinstance(was, dict):
        changed = sorted(
            key for key in {*was, *wanted} if was.get(key) != wanted.get(key)
        )
        was = f'({len(was)} of them)'
        wanted = f'{len(wanted)}; new, lost or changed: '
        wanted += ', '.join(changed[:_SHOWN])
    return (
        f'{out}: was begun with {name} {was}, and cannot go on with {wanted}; '
        'give the former, or another folder'
    )


def _run(
    write: Callable[[_Row], int], rows: Sequence[_Row], workers: int
) -> Iterator[Tuple[_Row, int]]:
    """Write rows, yielding each that is done and its number of new tiles."""
    if workers == 1:
        for row in rows:
            yield row, write(row)
        return
    with ProcessPoolExecutor(min(workers, len(rows))) as pool:
        futures = {pool.submit(write, row): row for row in rows}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise OSError(
                'a worker process was killed, perhaps for want of memory; run '
                'the same command again, with fewer workers: it goes on'
            ) from None
        finally:
            for future in futures:
                future.cancel()


def _write_row(
    job: _Row,
    out: Path,
    size: int,
    decode: Decode,
    bands: Optional[Sequence[str]],
) -> int:
    """Write a row's tiles that are not there; return how many these were."""
    from rasterio.windows import Window

    missing = []
    with open_image(job.scene.image) as file:
        rgb = file.count == 3 and set(file.dtypes) == {'uint8'}
        suffix = '.png' if rgb else '.tif'
        for column, split in job.tiles:
            name = tile_name(job.scene.name, job.row, column)
            image = out / 'img_dir' / split / f'{name}{suffix}'
            label = out / 'ann_dir' / split / f'{name}.png'
            if not (label.is_file() and image.is_file()):
                missing.append((column, image, label))
        if not missing:
            return 0
        # The whole row at once: scenes are stored in strips of their width.
        window = Window(0, job.row * size, len(job.tiles) * size, size)
        pixels = file.read(window=window)
        profile = dict(
            crs=file.crs, nodata=file.nodata, transform=file.transform
        )
        said = bands or file.descriptions, file.colorinterp
    with open_image(job.scene.label) as file:
        labels, palette = file.read(window=window), palette_of(file)
    ids = _decode(decode, labels, palette, job, size)
    for column, image, label in missing:
        part = slice(column * size, (column + 1) * size)
        tile = pixels[:, :, part]
        if rgb:
            # OpenCV writes blue, green, red.
            data = encode_png(tile[::-1].transpose(1, 2, 0))
        else:
            offset = (column * size, job.row * size)
            data = encode_tif(tile, *said, offset, **profile)
        write_whole(image, data)
        write_whole(label, encode_png(ids[:, part]))
    return len(missing)


def _decode(
    decode: Decode,
    labels: np.ndarray,
    palette: Optional[np.ndarray],
    job: _Row,
    size: int,
) -> np.ndarray:
    try:
        return decode(labels, palette)
    except UnknownValueError as error:
        raise ValueError(
            f'{job.scene.label}: {error.what} at row '
            f'{job.row * size + error.row}, column {error.column} belongs to '
            f'no class{"; " * bool(error.hint)}{error.hint}'
        ) from None
    except ValueError as error:
        raise ValueError(f'{job.scene.label}: {error}') from None
