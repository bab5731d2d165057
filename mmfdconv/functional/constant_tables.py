"""Constant tensors that are made once for each size and device."""

from functools import wraps
from typing import Any, Callable, Dict, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from .modes import is_traced

#: Recipes with many scales have some hundred sides; a table has a few columns
#: for each.
_MAX_TABLES = 256

_Table = TypeVar('_Table')


def constant_table(make: Callable[..., _Table]) -> Callable[..., _Table]:
    """Keep the last tables that a function made; do not write to them.

    A tracer makes its own, which have no values; and none is a tensor of
    inference mode: a model that is built for inference may ask first, and one
    that trains later.

    Args:
        make: From hashable arguments, without names, to tensors in tuples.
    """
    tables: Dict[Any, _Table] = {}

    @wraps(make)
    def table(*key: Any) -> _Table:
        if is_traced():
            return make(*key)
        found = tables.get(key)
        if found is None:
            with torch.inference_mode(False):
                found = make(*key)
            if all(type(t) is Tensor for t in tree_flatten(found)[0]):
                tables[key] = found
                if len(tables) > _MAX_TABLES:
                    tables.pop(next(iter(tables)), None)
        return found

    return table
