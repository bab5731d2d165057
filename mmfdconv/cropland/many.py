"""Many scenes in one run: which they are, who maps them, what is done."""

import csv
import datetime
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.dist import get_dist_info, init_dist

from ..engine import launch
from .atomic import Outputs
from .files import open_raster, result_name
from .products import Products, name_files

__all__ = [
    'TAG',
    'find_scenes',
    'fingerprint',
    'is_mapped',
    'join_ranks',
    'merge_tables',
    'name_results',
]

TAG = 'MMFDCONV_RUN'
SUFFIXES = ('.tif', '.tiff', '.jp2', '.vrt', '.img')
# What maps of earlier runs in the same folder are called.
_OURS = ('_classes', '_probabilities', '_confidence', '_change')
_WAIT = datetime.timedelta(days=7)  # of the first rank, for the slowest one


def find_scenes(words: Sequence[str]) -> List[str]:
    """Return the scenes that files, folders and lists of files stand for.

    A folder stands for the rasters in it, in the order of their names; a
    ``.txt`` file for the names in it, one a line, seen from its folder.

    Raises:
        ValueError: A folder or a list holds none, or a scene comes twice.
    """
    scenes: List[str] = []
    for word in words:
        path = Path(word)
        found = [word]
        if path.is_dir():
            found = [
                str(file)
                for file in sorted(path.iterdir())
                if file.suffix.lower() in SUFFIXES
                and not file.stem.endswith(_OURS)
            ]
        elif path.suffix.lower() == '.txt' and path.is_file():
            lines = path.read_text(encoding='utf-8').splitlines()
            names = [line.strip() for line in lines if line.strip()]
            # GDAL's own names, such as /vsizip/..., are no relative paths.
            found = [
                str(path.parent / name)
                if (path.parent / name).exists()
                else name
                for name in names
            ]
        if not found:
            raise ValueError(
                f'{word} holds no scene; looked for {", ".join(SUFFIXES)}'
            )
        scenes += found
    twice = sorted({scene for scene in scenes if scenes.count(scene) > 1})
    if twice:
        raise ValueError(f'scenes: {", ".join(twice)} comes twice')
    return scenes


def name_results(
    scenes: Sequence[str], out_dir: Union[str, Path]
) -> List[Path]:
    """Return the beginning of the results' names of each scene.

    Raises:
        ValueError: Two scenes would write the same files.
    """
    owners: Dict[Path, str] = {}
    for scene in scenes:
        prefix = Path(out_dir, result_name(scene))
        if prefix in owners:
            raise ValueError(
                f'{owners[prefix]} and {scene} would both be mapped to '
                f'{prefix}_classes.tif; map one of them to another folder'
            )
        owners[prefix] = scene
    return [*owners]


def join_ranks(launcher: str) -> Tuple[int, int]:
    """Join the processes that a launcher started.

    They share scenes and no tensors, so they talk by gloo, GPUs or not.

    Args:
        launcher: ``'none'``, ``'pytorch'`` (torchrun), ``'slurm'`` or
            ``'mpi'``.

    Returns:
        The number of this process, and how many there are.
    """
    if launcher != 'none':
        seconds = _WAIT.total_seconds()
        wait = dict(dist_cfg=dict(backend='gloo', timeout=seconds))
        launch.set_launcher(Config(dict(env_cfg=wait)), launcher)
        if not torch.distributed.is_initialized():
            init_dist(launcher, backend='gloo', timeout=seconds)
    return get_dist_info()


def fingerprint(
    scene: str, checkpoint: str, choices: Mapping[str, Any]
) -> str:
    """Return what tells whether a map is of this scene, model and options.

    Args:
        scene: Name of the scene.
        checkpoint: The model's weights.
        choices: All options that a map depends on.
    """
    known = [choices, scene, checkpoint]
    for path in (scene, checkpoint):
        if os.path.isfile(path):
            status = os.stat(path)
            known += [status.st_size, status.st_mtime_ns]
    text = json.dumps(known, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_mapped(prefix: Path, products: Products, mark: str) -> bool:
    """Whether all files of a map are there and bear the fingerprint."""
    files = name_files(prefix, products)
    if not all(path.is_file() for path in files.values()):
        return False
    try:
        with open_raster(files['map']) as found:
            return found.tags().get(TAG) == mark
    except ValueError:
        return False


def merge_tables(
    scenes: Iterable[Tuple[str, Path]], path: Path
) -> Dict[str, float]:
    """Put the hectares of many maps into one table, and add them up.

    Args:
        scenes: Name of each scene, and its table of hectares.
        path: CSV to write, with a row for each scene and class.

    Returns:
        Hectares by class. Where scenes overlap, what they share counts
        twice.
    """
    total: Dict[str, float] = {}
    with Outputs() as outputs:
        target = outputs.add(path)
        with open(target, 'w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerow(('scene', 'class', 'hectares', 'share'))
            for scene, table in scenes:
                with table.open(newline='', encoding='utf-8') as rows:
                    for row in csv.DictReader(rows):
                        name = row['class']
                        hectares = float(row['hectares'])
                        total[name] = total.get(name, 0.0) + hectares
                        writer.writerow(
                            (scene, name, row['hectares'], row['share'])
                        )
    return total
