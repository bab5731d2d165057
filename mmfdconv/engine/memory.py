"""What a process that trains on a CPU asks of its allocator."""

from functools import lru_cache

import torch


@lru_cache(maxsize=None)
def keep_freed_memory() -> None:
    """Let a CPU's allocator keep the buffers that it is given back.

    Of the memory that is free at the end of its heap, glibc keeps twice the
    largest buffer that it saw freed, up to 64 MiB for one of 32; the rest it
    returns, and faults in again, page by page, when the next kernels are
    assembled. This frees such a buffer, once: an effect on the whole process,
    which is for programs to choose. Training on large images has the same.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8, device='cpu')
