"""The floating point type of FFTs, gates and their products."""

import torch

__all__ = ['wide']


def wide(dtype: torch.dtype) -> torch.dtype:
    """Float32 at least.

    ``torch.promote_types`` says the same, but the compiler of torch 2.1
    cannot look through it.
    """
    return torch.float64 if dtype == torch.float64 else torch.float32
