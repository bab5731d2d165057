"""Names of the classes of a map, and which of them is cropland."""

import re
from typing import Dict, List, Optional, Sequence, Tuple

__all__ = ['UNSURE', 'find_cropland', 'number_classes', 'parse_classes']

CROPLAND = ('cropland', 'farmland')
#: The class of pixels that a map is not confident enough of.
UNSURE = 'unsure'


def parse_classes(
    words: Sequence[str], option: str = '--classes'
) -> Dict[int, str]:
    """Return class name by value from ``40=cropland`` or from bare names.

    Bare names count from 0. Several values may bear one name.

    Args:
        words: All of one kind.
        option: Which the error names.

    Raises:
        ValueError: The words are of both kinds, or a value comes twice.
    """
    pairs = [re.fullmatch(r'(-?\d+)=(.+)', word) for word in words]
    if not any(pairs):
        return dict(enumerate(words))
    classes: Dict[int, str] = {}
    for word, pair in zip(words, pairs):
        if pair is None:
            raise ValueError(
                f'{option}: {word!r} has no value, where others have; give '
                'each one, as in 10=trees 40=cropland'
            )
        value = int(pair[1])
        if value in classes:
            raise ValueError(
                f'{option}: the value {value} comes twice, as '
                f'{classes[value]} and {pair[2]}'
            )
        classes[value] = pair[2]
    return classes


def find_cropland(
    classes: Dict[int, str],
    path: str,
    wanted: Optional[str] = None,
    option: str = '--cropland-class',
) -> str:
    """Return the name of the class that is cropland; case does not matter.

    Args:
        classes: Class name by value.
        path: The map, for the error.
        wanted: The name; ``None`` looks for ``cropland`` and ``farmland``.
        option: Which the error names.

    Raises:
        ValueError: No class is called so, or more than one.
    """
    names = [*dict.fromkeys(classes.values())]
    asked = CROPLAND if wanted is None else (wanted,)
    keys = [name.casefold() for name in asked]
    found = [name for name in names if name.casefold() in keys]
    if len(found) == 1:
        return found[0]
    if found:
        problem = f'{" and ".join(found)} may both be cropland'
        cure = (
            f'name one with {option}'
            if wanted is None
            else 'give them one name with --before-classes or --after-classes'
        )
    else:
        problem = f'no class is called {" or ".join(asked)}'
        cure = f'name the one that is cropland with {option}'
    raise ValueError(
        f'{path}: {problem}; {cure}. Its classes are {", ".join(names)}'
    )


def number_classes(
    classes: Dict[int, str],
) -> Tuple[List[str], Dict[int, int]]:
    """Number a map's classes from 0; those of one name are one class.

    Case does not matter.

    Args:
        classes: Class name by value.

    Returns:
        The names, and the number in them by value.
    """
    names: Dict[str, str] = {}  # as they are spelled first, by what counts
    for value in sorted(classes):
        names.setdefault(classes[value].casefold(), classes[value])
    order = [*names]
    numbers = {v: order.index(name.casefold()) for v, name in classes.items()}
    return [*names.values()], numbers
