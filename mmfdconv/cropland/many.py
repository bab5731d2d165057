"""Find the scenes, or pairs of scenes, of one run."""

from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Union

from .files import result_name
from .tables import read_table

__all__ = ['Pair', 'are_many', 'find_pairs', 'find_scenes', 'name_results']

SUFFIXES = ('.tif', '.tiff', '.jp2', '.vrt', '.img')
# What maps of earlier runs in the same folder are called.
_MAP = '_classes'
_OURS = (_MAP, '_probabilities', '_confidence', '_change')


def find_scenes(words: Sequence[str], maps: bool = False) -> List[str]:
    """Return the scenes that files, folders and lists of files stand for.

    A folder stands for the rasters in it, in the order of their names, without
    what earlier runs made of them; a ``.txt`` file for the names in it, one a
    line, seen from its folder.

    Args:
        words: Files, folders and lists.
        maps: Take ``NAME_classes.tif`` of a folder that has some.

    Raises:
        ValueError: A folder or a list holds none, or a scene comes twice.
    """
    scenes: List[str] = []
    for word in words:
        path = Path(word)
        found = [word]
        if path.is_dir():
            files = [
                file
                for file in sorted(path.iterdir())
                if file.suffix.lower() in SUFFIXES
            ]
            made = [file for file in files if file.stem.endswith(_MAP)]
            if not (maps and made):
                made = [f for f in files if not f.stem.endswith(_OURS)]
            found = [*map(str, made)]
        elif path.suffix.lower() == '.txt' and path.is_file():
            lines = path.read_text(encoding='utf-8-sig').splitlines()
            names = [line.strip() for line in lines if line.strip()]
            found = [_seen_from(path.parent, name) for name in names]
        if not found:
            raise ValueError(
                f'{word} holds no scene; looked for {", ".join(SUFFIXES)}'
            )
        scenes += found
    twice = [scene for scene, n in Counter(scenes).items() if n > 1]
    if twice:
        raise ValueError(f'scenes: {", ".join(twice)} comes twice')
    return scenes


def _seen_from(folder: Path, name: str) -> str:
    """Return a file's path by its folder; GDAL's own names are no paths."""
    return str(folder / name) if (folder / name).exists() else name


class Pair(NamedTuple):
    """Two scenes, or maps, of one place.

    Attributes:
        name: Beginning of the results' names.
        before: The earlier one.
        after: The later one.
    """

    name: str
    before: str
    after: str


def are_many(before: str, after: Optional[str]) -> bool:
    """Whether words stand for many pairs; see :func:`find_pairs`."""
    words = [before] if after is None else [before, after]
    return after is None or any(
        Path(word).is_dir() or Path(word).suffix.lower() == '.txt'
        for word in words
    )


def find_pairs(
    before: str, after: Optional[str] = None, maps: bool = False
) -> List[Pair]:
    """Return the pairs that two folders or lists, or a table, stand for.

    Folders and lists (``.txt``) are those of :func:`find_scenes`; their files
    belong together by name, but for an ending ``_classes``. A table (CSV) has
    columns ``before`` and ``after``, seen from its folder, and may have
    ``name``.

    Raises:
        ValueError: A name is in one of them only, or comes twice, or the
            table lacks a column or a cell.
    """
    if after is None:
        pairs = _read_pairs(Path(before))
        _check_names(pair.name for pair in pairs)
        return pairs
    sides: List[Dict[str, str]] = []
    for word in (before, after):
        paths = find_scenes([word], maps)
        _check_names(map(_name, paths))
        sides.append({_name(path): path for path in paths})
    early, late = sides
    lonely = sorted(early.keys() ^ late.keys())
    if lonely:
        raise ValueError(
            f'{", ".join(lonely)} is in only one of {before} and {after}; '
            'both must hold the same names, or give a CSV with columns before '
            'and after'
        )
    return [Pair(name, path, late[name]) for name, path in early.items()]


def _check_names(names: Iterable[str]) -> None:
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise ValueError(
            f'pairs: the name {", ".join(twice)} comes twice, and results are '
            'called by it; give a CSV with columns before, after and name'
        )


def _name(path: str) -> str:
    name = result_name(path)
    return name[: -len(_MAP)] if name.endswith(_MAP) else name


def _read_pairs(path: Path) -> List[Pair]:
    if path.suffix.lower() != '.csv' or not path.is_file():
        raise ValueError(
            f'{path}: alone it must be a CSV with columns before and after; '
            'or give two maps, scenes, folders or lists'
        )
    rows = read_table(path)
    if not rows:
        raise ValueError(f'{path} has no pairs')
    pairs = []
    for number, row in enumerate(rows, 2):
        ends = [row.get(column) for column in ('before', 'after')]
        if not all(ends):
            raise ValueError(
                f'{path}: row {number} lacks before or after; its columns '
                f'are {", ".join(map(str, row))}'
            )
        early, late = (_seen_from(path.parent, str(end)) for end in ends)
        pairs.append(Pair(row.get('name') or _name(early), early, late))
    return pairs


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
