"""Dynamic layers in graphs that ``torch.fx`` traces."""

from typing import Any

from torch.fx import Proxy


class LeafOfTraces:
    """Mixed into a module: a trace holds it as one call, and looks not inside.

    As it holds PyTorch's own layers. What a dynamic layer does depends on the
    shape of its input, which a trace does not know; MMEngine's
    ``efficient_conv_bn_eval`` traces a whole backbone to find convolutions
    and batch norms that follow each other.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute, or take down the call."""
        for value in args:
            if isinstance(value, Proxy):
                tracer = value.tracer
                name = tracer.path_of_module(self)
                return tracer.create_proxy('call_module', name, args, kwargs)
        return super().__call__(*args, **kwargs)
