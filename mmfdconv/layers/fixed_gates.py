"""Gates that do not depend on the input: from descriptors recorded before.

A dynamic layer predicts its gates from a descriptor of what it sees, a vector
for each image. Cut an image into windows, and each window has gates of its
own. With the mean descriptors of many windows, all have the same.
"""

from contextlib import contextmanager
from typing import Dict, Iterator, Mapping

from torch import Tensor, nn

from .descriptors import Descriptor


@contextmanager
def record_descriptors(model: nn.Module) -> Iterator[Dict[str, Tensor]]:
    """Record the mean of every descriptor over all images that pass.

    Args:
        model: Any module. A compiled forward pass does not call hooks, so
            record the model as it was before.

    Yields:
        A dict that every forward pass brings up to date: the descriptor's
        name to its mean ``(1, C)``, detached, on the device of the layer.
        Those of deeper layers are of features that each image's own gates
        made.

    Example::

        >>> with record_descriptors(model) as means:
        ...     for images in loader:
        ...         model(images)
        >>> with fixed_gates(model, means):
        ...     model(image)
    """
    means: Dict[str, Tensor] = {}
    counts: Dict[str, int] = {}

    def recorder(name: str):
        def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
            if not len(output):
                return
            mean = output.detach().mean(0, keepdim=True)
            counts[name] = counts.get(name, 0) + len(output)
            old = means.get(name, mean)
            means[name] = old + (mean - old) * (len(output) / counts[name])

        return hook

    with _hooks(model, recorder):
        yield means


@contextmanager
def fixed_gates(
    model: nn.Module, descriptors: Mapping[str, Tensor]
) -> Iterator[None]:
    """Predict the gates of every dynamic layer from given descriptors.

    The kernels are then the same for all images. The maps of FDConv's FBM are
    not gates of a kernel, and still depend on the image.

    Args:
        model: Any module.
        descriptors: Result of :func:`record_descriptors`, for every layer.

    Raises:
        ValueError: The descriptors are not those of this model's layers.
    """
    own = {name for name, _ in _descriptors(model)}
    if own != set(descriptors):
        wrong = sorted(own ^ set(descriptors))
        raise ValueError(
            'descriptors must have an entry for each of the '
            f"model's {len(own)} and no other; one side lacks {wrong[:3]}"
        )

    def fixer(name: str):
        fixed = descriptors[name]

        def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            if fixed.shape != (1, output.shape[1]):
                raise ValueError(
                    f'descriptors[{name!r}] must have shape '
                    f'{(1, output.shape[1])}, got {tuple(fixed.shape)}'
                )
            return fixed.to(output).expand_as(output)

        return hook

    with _hooks(model, fixer):
        yield


def _descriptors(model: nn.Module) -> Iterator:
    for name, module in model.named_modules():
        if isinstance(module, Descriptor):
            yield name, module


@contextmanager
def _hooks(model: nn.Module, hook_of) -> Iterator[None]:
    handles = []
    try:
        for name, module in _descriptors(model):
            handles.append(module.register_forward_hook(hook_of(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()
