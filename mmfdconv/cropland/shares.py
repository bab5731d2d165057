"""Divide many scenes or pairs among processes, resume, and add up."""

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Sequence,
    Set,
    Tuple,
)

import rasterio
import torch
from mmengine.config import Config
from mmengine.dist import get_dist_info, init_dist
from rasterio.errors import RasterioError

from ..analysis.outputs import write_csv
from ..engine import launch
from .atomic import Outputs
from .files import open_raster
from .options import FAILURES
from .tables import read_table

__all__ = [
    'HOW',
    'Result',
    'fingerprint',
    'join_ranks',
    'make_results',
    'merge_tables',
]

TAG = 'MMFDCONV_RUN'
# Options that change where and how fast results are made, and not them.
HOW = ('out_dir', 'launcher', 'local_rank', 'batch', 'device')
_VSI = re.compile('^(/vsi[a-z]+/)+')
_WAIT = 7 * 24 * 3600.0  # seconds of the first rank, for the slowest one


class Result(NamedTuple):
    """Files that are made from one scene, or one pair of them.

    Attributes:
        name: Name of what it is made from.
        files: Files by kind; the raster ``map`` bears the fingerprint.
        mark: The fingerprint.
        source: What it is made from.
    """

    name: str
    files: Mapping[str, Path]
    mark: str
    source: Any = None

    @property
    def tags(self) -> Dict[str, str]:
        """The fingerprint, as a tag of the raster ``map``."""
        return {TAG: self.mark}

    def is_done(self) -> bool:
        """Whether all files are there and bear the fingerprint."""
        if not all(path.is_file() for path in self.files.values()):
            return False
        try:
            with open_raster(self.files['map']) as found:
                return found.tags().get(TAG) == self.mark
        except ValueError:
            return False


def make_results(
    results: Sequence[Result],
    words: Tuple[str, str, str],
    maker: Callable[[List[Result]], ContextManager[Callable[[Result], Any]]],
    add_up: Callable[[List[Result]], Any],
    say: Callable[[str], Any],
) -> None:
    """Make the results that are missing, divided among processes.

    Args:
        results: All results, the same in each process.
        words: Words for messages: the input and what is done with it, such as
            ``('scenes', 'map', 'mapped')``.
        maker: Gets the results that this process has to make, and returns a
            context whose value makes one result per call.
        add_up: Gets all finished results, in the first process, when all
            processes are done.
        say: Gets each message.

    Raises:
        ValueError: Some results could not be made. The others are finished.
    """
    noun, verb, participle = words
    rank, ranks = get_dist_info()
    mine = results[rank::ranks]
    left = [result for result in mine if not result.is_done()]
    say(f'{len(left)} {noun} to {verb}; {len(mine) - len(left)} are done')
    failed = []
    if left:
        with maker(left) as make:
            for result in left:
                try:
                    make(result)
                except FAILURES as error:
                    failed.append(f'{result.name}: {error}')
    launch.close_process_group()  # when all have come here
    if rank == 0:
        done = [result for result in results if result.is_done()]
        if done:
            say(f'\n{len(done)} {noun} together:')
            add_up(done)
    if failed:
        raise ValueError(
            f'{len(failed)} {noun} were not {participle}: {"; ".join(failed)}'
        )


def join_ranks(launcher: str) -> int:
    """Join the processes that a launcher started, and count them.

    They share scenes and no tensors, so they talk by gloo, GPUs or not.

    Args:
        launcher: ``'none'``, ``'pytorch'`` (torchrun), ``'slurm'`` or
            ``'mpi'``.
    """
    if launcher != 'none':
        wait = dict(dist_cfg=dict(backend='gloo', timeout=_WAIT))
        launch.set_launcher(Config(dict(env_cfg=wait)), launcher)
        if not torch.distributed.is_initialized():
            init_dist(launcher, backend='gloo', timeout=_WAIT)
    return get_dist_info()[1]


def fingerprint(
    inputs: Iterable[str], options: Mapping[str, Any], but: Iterable[str]
) -> str:
    """Return what tells whether a result is of these files and options.

    Args:
        inputs: Scenes, maps or zones, and the model's config and weights.
        options: Options of the command line, and what the config says: it
            may inherit from other files.
        but: Options that the result does not depend on, beside :data:`HOW`.
    """
    without = {*HOW, *but}
    known: List[Any] = [
        {name: v for name, v in options.items() if name not in without}
    ]
    for path in inputs:
        known.append(path)
        for file in sorted(_files_of(path)):
            status = os.stat(file)
            known += [file, status.st_size, status.st_mtime_ns]
    text = json.dumps(known, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _files_of(path: str) -> Set[str]:
    """Find the files that a result is made of: of mosaics, archives, all."""
    names, left = set(), [path]
    if path.lower().endswith('.shp'):
        left += [path[:-4] + suffix for suffix in ('.dbf', '.prj')]
    while left:
        name = left.pop()
        # Looking at a raster with QGIS or GDAL may write or renew these.
        if name in names or name.endswith(('.aux.xml', '.ovr')):
            continue
        names.add(name)
        if name.startswith('/vsi'):  # /vsizip/scenes.zip/2020.tif
            left += map(str, Path(_VSI.sub('', name)).parents)
        if name == path or name.lower().endswith('.vrt'):
            with contextlib.suppress(RasterioError):
                with rasterio.open(name) as raster:
                    left += raster.files
    return {name for name in names if os.path.isfile(name)}


def merge_tables(
    tables: Iterable[Tuple[str, Path]], path: Path, of: str, by: str
) -> Dict[str, float]:
    """Put tables of hectares into one, and add the hectares up.

    Args:
        tables: A name, and a table with columns ``by`` and ``hectares``.
        path: CSV to write, with the rows of all, each after its name.
        of: What to call the column of the names.
        by: Column to add up by.

    Returns:
        Hectares by what stands in ``by``. Where scenes overlap, what they
        share counts twice.
    """
    rows = [
        {of: name, **row}
        for name, table in tables
        for row in read_table(table)
    ]
    with Outputs() as outputs:
        values = (row.values() for row in rows)
        write_csv(outputs.add(path), rows[0], values)
    total: Dict[str, float] = {}
    for row in rows:
        total[row[by]] = total.get(row[by], 0.0) + float(row['hectares'])
    return total
