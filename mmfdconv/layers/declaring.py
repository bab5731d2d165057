"""What conversion asks of a layer's class; the answers of most methods."""

import inspect
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple

from torch import nn


class Shared(NamedTuple):
    """What the layers of a model share, see :meth:`Declaring.share`."""

    options: Mapping[str, Mapping[str, Any]]  # of the layers to build
    modules: Mapping[str, nn.Module]  # to be registered on the model
    left_out: Mapping[str, str]  # layers that stay stock, and why
    notes: Tuple[str, ...]  # what the method asks of those who use the model


class Declaring:
    """The part of a dynamic layer that conversion reads.

    Most methods take all as it stands here.
    """

    #: Name of the module on the model that holds what layers share, or None.
    shared_module: Optional[str] = None

    @classmethod
    def own_options(cls) -> Dict[str, Any]:
        """Options that a ``conv_cfg`` may have beside ``type``, defaults."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(cls).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }

    @classmethod
    def suited_options(
        cls, backbone: str, settings: Mapping[str, Any]
    ) -> Dict[str, Any]:
        """Options that suit a backbone better than those of the method.

        Args:
            backbone: Name of its class.
            settings: Its config.
        """
        return {}

    @classmethod
    def static_reason(cls, conv: nn.Module, **options: Any) -> Optional[str]:
        """Say why ``options`` would leave ``conv`` static.

        Args:
            conv: Anything with the attributes of an ``nn.Conv2d``.
            options: The layer's own options, as in a ``conv_cfg``.

        Returns:
            One phrase, or None when the layer would be dynamic.
        """
        return None

    @staticmethod
    def share(
        stock: Mapping[str, nn.Module], options: Mapping[str, Dict[str, Any]]
    ) -> Shared:
        """Build what the layers of a model share, before they are built.

        Args:
            stock: The layers to replace by name, in network order.
            options: ``conv_cfg`` of each, without its type.
        """
        return Shared(options, {}, {}, ())

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the layer's kernel that other layers have, too."""
        return iter(())
