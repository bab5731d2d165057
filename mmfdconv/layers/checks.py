"""Checks of constructor arguments: name, value, and what would be right."""

from numbers import Integral, Real
from typing import Any, Sequence


def _is_number(value: Any, kind: type = Real) -> bool:
    # NumPy's numbers count, they come out of width formulas; True does not.
    return isinstance(value, kind) and not isinstance(value, bool)


def check_positive_int(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` is an integer of at least 1."""
    if not _is_number(value, Integral) or value < 1:
        raise ValueError(f'{name} must be an integer >= 1, got {value!r}')


def check_int_or_pair(name: str, value: Any, least: int = 1) -> None:
    """Raise ``ValueError`` unless ``value`` is an integer or two of them."""
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(
        _is_number(number, Integral) and number >= least for number in pair
    ):
        raise ValueError(
            f'{name} must be an integer >= {least} or a pair of them, got '
            f'{value!r}'
        )


def check_number(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` is a number."""
    if not _is_number(value):
        raise ValueError(f'{name} must be a number, got {value!r}')


def check_positive(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` is a number above 0."""
    if not _is_number(value) or not 0 < value < float('inf'):
        raise ValueError(f'{name} must be a number > 0, got {value!r}')


def check_numbers(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` is a list of numbers."""
    if not isinstance(value, (tuple, list)) or not all(map(_is_number, value)):
        raise ValueError(f'{name} must be a list of numbers, got {value!r}')


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``choices``."""
    if value not in choices:
        listed = ', '.join(repr(c) for c in choices)
        raise ValueError(f'{name} must be one of {listed}, got {value!r}')
