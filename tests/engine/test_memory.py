"""What tools ask of a CPU's allocator."""

import torch

from mmfdconv.engine import memory


def test_one_buffer_is_freed_once(monkeypatch):
    sizes = []
    empty = torch.empty

    def watch(size, **kwargs):
        sizes.append(size)
        return empty(size, **kwargs)

    monkeypatch.setattr(torch, 'empty', watch)
    memory.keep_freed_memory.cache_clear()
    memory.keep_freed_memory()
    memory.keep_freed_memory()
    # glibc maps larger ones by themselves and learns nothing from them.
    assert sizes == [2**25 - 2**16]
