"""Which layers of a model become dynamic.

A rule decides by, in this order: exact name, regular expression, and what the
layer is (convolution or linear, kernel size, channels, stage). The rules of
the known backbone families stand in ``presets.py``.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Union

from torch import nn

#: True: convert; False: leave; a dict: convert with these options on top of
#: the ``conv_cfg``.
Verdict = Union[bool, Dict[str, Any]]

_STAGE = re.compile(r'(?:^|\.)(?:layers?|stages?)[._]?(\d+)(?:\.|$)')


class Decision(NamedTuple):
    """What a rule says of one layer."""

    convert: bool
    reason: str
    options: Dict[str, Any]


@dataclass(frozen=True)
class LayerRule:
    r"""Which layers become dynamic, and with which options.

    Args:
        names: Maps the full name of a layer to True (convert), False (do not)
            or a dict of options (convert with these).
        patterns: The same by regular expression, which must match the whole
            name; the first that matches decides.
        kernel_sizes: Convert only kernels whose two sides are in this list.
        min_channels: Convert only layers with at least this many input and
            output channels.
        stages: Convert only layers of these stages, as numbered in the
            layers' names (``layer1.…``, ``stages.0.…``, ``stage_1.…``).
        linears: Whether to convert linear layers, too, that no name and no
            pattern decides. Defaults to False.
        otherwise: Whether to convert a layer that no name and no pattern
            decides, and that meets all conditions above. Defaults to True.

    Raises:
        ValueError: A pattern is not a regular expression, or a value is out
            of range.

    Example::

        >>> # 3x3 convolutions of two stages; more groups in the last one
        >>> LayerRule(
        ...     names={'layer4.2.conv2': dict(kernel_num=128)},
        ...     patterns={r'.*downsample.*': False},
        ...     kernel_sizes=[3],
        ...     stages=[3, 4],
        ... )
    """

    names: Mapping[str, Verdict] = field(default_factory=dict)
    patterns: Mapping[str, Verdict] = field(default_factory=dict)
    kernel_sizes: Optional[Sequence[int]] = None
    min_channels: Optional[int] = None
    stages: Optional[Sequence[int]] = None
    linears: bool = False
    otherwise: bool = True

    def __post_init__(self) -> None:
        for kind in ('names', 'patterns'):
            verdicts = getattr(self, kind)
            if not isinstance(verdicts, Mapping):
                raise ValueError(
                    f'{kind} must map a name to True, False or a dict of '
                    f'options, got {verdicts!r}'
                )
            for key, verdict in verdicts.items():
                if not isinstance(verdict, (bool, Mapping)):
                    raise ValueError(
                        f'{kind}[{key!r}] must be True, False or a dict of '
                        f'options, got {verdict!r}'
                    )
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f'patterns: {pattern!r} is not a regular expression: '
                    f'{error}'
                ) from error
        for name in ('kernel_sizes', 'stages'):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, (str, int)) or not list(value)
            ):
                raise ValueError(
                    f'{name} must be a list of integers, got {value!r}'
                )

    def decide(self, name: str, layer: nn.Module) -> Decision:
        """Decide over one layer.

        Args:
            name: Its fully qualified name in the model.
            layer: An ``nn.Conv2d`` or an ``nn.Linear``.
        """
        if name in self.names:
            return self._by_name(self.names[name], 'by name')
        for pattern, verdict in self.patterns.items():
            if re.fullmatch(pattern, name):
                return self._by_name(verdict, 'by pattern')
        reason = self._unmet_condition(name, layer)
        if reason is not None:
            return Decision(False, reason, {})
        if not self.otherwise:
            return Decision(False, 'no name or pattern asks for it', {})
        return Decision(True, 'meets the conditions', {})

    @staticmethod
    def _by_name(verdict: Verdict, source: str) -> Decision:
        options = dict(verdict) if isinstance(verdict, Mapping) else {}
        if verdict is False:
            source = f'left alone {source}'
        return Decision(verdict is not False, source, options)

    def _unmet_condition(self, name: str, layer: nn.Module) -> Optional[str]:
        if isinstance(layer, nn.Linear):
            if not self.linears:
                return 'nn.Linear, and linears=False'
            kernel, channels = (1, 1), (layer.in_features, layer.out_features)
        else:
            kernel = tuple(layer.kernel_size)
            channels = (layer.in_channels, layer.out_channels)
        sizes = self.kernel_sizes
        if sizes is not None and any(k not in sizes for k in kernel):
            return f'kernel_size={kernel} not in {sizes}'
        narrow = min(channels)
        if self.min_channels is not None and narrow < self.min_channels:
            return f'{narrow} channels < min_channels={self.min_channels}'
        if self.stages is not None:
            found = _STAGE.search(name)
            if found is None:
                return f'in no stage, stages={list(self.stages)}'
            if int(found.group(1)) not in self.stages:
                return f'stage {found.group(1)} not in {list(self.stages)}'
        return None
