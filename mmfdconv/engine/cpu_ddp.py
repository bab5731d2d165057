"""DDP between processes on CPUs, synchronised batch norm included.

``nn.SyncBatchNorm``, the stock norm of mmsegmentation's configs, knows CUDA
alone. So that such a config runs in several processes without accelerator and
computes the same, its layers get a forward pass here that works through any
process group.
"""

from functools import lru_cache

import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class CpuSyncBatchNorm(_BatchNorm):
    """``nn.SyncBatchNorm`` for tensors on a CPU.

    It takes that class's place in an existing layer and is none of its
    subclasses, which DDP refuses on a CPU.

    Shape:
        Input ``(B, C, ...)``, output the same. ``B`` may differ between the
        processes.
    """

    @property
    def group_size(self) -> int:
        """Number of processes, by the name that mmcv's own layer has."""
        if not dist.is_initialized():
            return 1
        return dist.get_world_size(self.process_group)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the statistics of all processes."""
        if not self.training or self.group_size == 1:
            return F.batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                self.training,
                self._update_momentum(),
                self.eps,
            )
        momentum = self._update_momentum()
        wide = x.float() if x.dtype in (torch.half, torch.bfloat16) else x
        shape = (1, -1) + (1,) * (x.dim() - 2)
        others = [d for d in range(x.dim()) if d != 1]
        count = wide.new_full((1,), x.numel() / x.shape[1])
        # The mean first: far from 0, the difference of a mean square and a
        # squared mean is rounding. Its own rounding does not matter, as what
        # is left of the mean is measured with the squares.
        near = torch.cat([wide.detach().sum(others), count])
        dist.all_reduce(near, group=self.process_group)
        near = near[:-1] / near[-1]
        wide = wide - near.view(shape)
        sums = [wide.sum(others), wide.square().sum(others), count]
        sums = all_reduce(torch.cat(sums), group=self.process_group)
        count = sums[-1].detach()
        offset, square = (sums[:-1] / count).chunk(2)
        var = square - offset.square()
        mean = near + offset
        if self.running_mean is not None:
            with torch.no_grad():
                unbiased = var * (count / (count - 1).clamp(min=1))
                self.running_mean.lerp_(mean.to(self.running_mean), momentum)
                self.running_var.lerp_(unbiased.to(self.running_var), momentum)
        y = (wide - offset.view(shape)) * (var + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    def _update_momentum(self) -> float:
        """Count the batch; the weight of its statistics in the running."""
        if not self.training or self.num_batches_tracked is None:
            return 0.0 if self.momentum is None else self.momentum
        self.num_batches_tracked.add_(1)
        if self.momentum is None:  # the plain mean of all batches
            return 1.0 / float(self.num_batches_tracked)
        return self.momentum


@lru_cache(maxsize=None)
def _leave_to_eager_mode() -> None:
    """Let compiled models call the layer, not compile it.

    ``torch.compile`` (of torch 2.11) leaves out what the sums over processes
    contribute to gradients. Not a decorator: it takes seconds to import.
    """
    if hasattr(torch, 'compiler'):
        CpuSyncBatchNorm.forward = torch.compiler.disable(
            CpuSyncBatchNorm.forward
        )


@MODEL_WRAPPERS.register_module()
class CpuDistributedDataParallel(MMDistributedDataParallel):
    """MMEngine's DDP around a model on a CPU; the arguments are the same."""

    def __init__(self, module: nn.Module, *args, **kwargs) -> None:
        for layer in module.modules():
            if isinstance(layer, nn.SyncBatchNorm):
                layer.__class__ = CpuSyncBatchNorm
                _leave_to_eager_mode()
        super().__init__(module, *args, **kwargs)
