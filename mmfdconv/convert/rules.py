"""Which layers of a model become dynamic.

A rule decides by, in this order: exact name, regular expression, and what the
layer is (kernel size, channels, stage).
"""

import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Union

from torch import nn

__all__ = ['PRESETS', 'Decision', 'LayerRule', 'preset_for', 'resolve_rule']

#: True: convert; False: leave; a dict: convert with these options on top of
#: the ``conv_cfg``.
Verdict = Union[bool, Dict[str, Any]]

_STAGE = re.compile(r'(?:^|\.)(?:layer|stages?)\.?(\d+)(?:\.|$)')


class Decision(NamedTuple):
    """What a rule says of one layer."""

    convert: bool
    reason: str
    options: Dict[str, Any]


@dataclass(frozen=True)
class LayerRule:
    r"""Which layers become dynamic, and with which options.

    Args:
        names: Verdicts by exact, fully qualified name.
        patterns: Verdicts by regular expression, which must match the whole
            name; the first that matches decides.
        kernel_sizes: Convert only kernels whose two sides are in this list.
        min_channels: Convert only layers with at least as many input and
            output channels.
        stages: Convert only layers of these stages, as numbered in the
            layers' names (``layer1.…``, ``stages.0.…``).
        otherwise: The verdict for a layer that no name and no pattern decides
            and that meets all conditions above. Defaults to True.

    Raises:
        ValueError: A pattern is no regular expression, or a value is out of
            range.

    Example::

        >>> # 3x3 convolutions of the last two stages, the last one finer
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

    def decide(self, name: str, conv: nn.Conv2d) -> Decision:
        """Decide over one layer.

        Args:
            name: Its fully qualified name in the model.
            conv: The layer.
        """
        if name in self.names:
            return self._by_name(self.names[name], 'by name')
        for pattern, verdict in self.patterns.items():
            if re.fullmatch(pattern, name):
                return self._by_name(verdict, 'by pattern')
        reason = self._unmet_condition(name, conv)
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

    def _unmet_condition(self, name: str, conv: nn.Conv2d) -> Optional[str]:
        sizes = self.kernel_sizes
        if sizes is not None and any(k not in sizes for k in conv.kernel_size):
            return f'kernel_size={tuple(conv.kernel_size)} not in {sizes}'
        narrow = min(conv.in_channels, conv.out_channels)
        if self.min_channels is not None and narrow < self.min_channels:
            return f'{narrow} channels < min_channels={self.min_channels}'
        if self.stages is not None:
            found = _STAGE.search(name)
            if found is None:
                return f'in no stage, stages={list(self.stages)}'
            if int(found.group(1)) not in self.stages:
                return f'stage {found.group(1)} not in {list(self.stages)}'
        return None


#: Rules by backbone family, and by family and method where a method's authors
#: placed it otherwise. A family is the name of a class, or of one of its
#: bases, as registered in mmdet, mmseg and mmpretrain.
PRESETS: Dict[str, LayerRule] = {
    # The papers replace the convolutions of the residual blocks: not the
    # stem, whose 3 input channels leave nothing to route by, and not the
    # downsample shortcuts, which the published checkpoints keep static.
    'ResNet': LayerRule(
        patterns={r'layer\d+\.\d+\.(conv\d+|convs\.\d+)': True},
        otherwise=False,
    ),
    # CondConv's authors: the last stages only; this one gives the parameters
    # in the papers' tables.
    'ResNet:CondConv': LayerRule(
        patterns={r'layer4\.\d+\.conv\d+': True}, otherwise=False
    ),
    # DY-Conv's: everything but the stem.
    'ResNet:DYConv': LayerRule(
        patterns={r'layer\d+\.\d+\.(conv\d+|downsample\.\d+)': True},
        otherwise=False,
    ),
    # Depthwise and pointwise convolutions of the blocks, and the last one;
    # not the stem, as in ODConv's code.
    'MobileNetV2': LayerRule(
        patterns={
            r'layer\d+\.\d+\.(expand|depthwise|linear)_conv\.conv': True,
            r'conv2\.conv': True,
        },
        otherwise=False,
    ),
    # KernelWarehouse's code gives the stem a warehouse too.
    'MobileNetV2:KWConv': LayerRule(),
    # KernelWarehouse's: what has a name in its scheme, that is all but the
    # stem and, in the first block, the first convolution and the shortcut.
    'ResNet:KWConv': LayerRule(
        patterns={r'layer\d+\.\d+\.(conv\d+|downsample\.\d+)': True},
        otherwise=False,
    ),
}


def preset_for(
    model: nn.Module, method: Optional[str] = None
) -> Optional[str]:
    """Name of the preset for a model and a method.

    Args:
        model: Its class, or one of the bases, names the family.
        method: ``type`` of the ``conv_cfg``; a preset of its own goes first.
    """
    for cls in type(model).__mro__:
        for name in (f'{cls.__name__}:{method}', cls.__name__):
            if name in PRESETS:
                return name
    return None


def resolve_rule(
    rule: Union[LayerRule, Mapping[str, Any], str, None],
    model: nn.Module,
    method: Optional[str] = None,
) -> LayerRule:
    """Turn what a config says into a rule.

    Args:
        rule: A rule, its arguments as a dict, the name of a preset, or None
            for the preset of the model's family and the method.
        model: The model to convert.
        method: ``type`` of the ``conv_cfg``.

    Raises:
        ValueError: The preset does not exist, or none fits the model.
    """
    if isinstance(rule, LayerRule):
        return rule
    if isinstance(rule, Mapping):
        try:
            return LayerRule(**rule)
        except TypeError as error:
            raise ValueError(f'rule={dict(rule)!r}: {error}') from error
    known = ', '.join(repr(name) for name in PRESETS)
    if rule is None:
        rule = preset_for(model, method)
        if rule is None:
            raise ValueError(
                f'rule=None: there is no preset for {type(model).__name__} '
                f'(presets: {known}); pass a LayerRule, or in a config '
                "rule=dict(patterns={r'layer\\d+\\..*conv\\d+': True}, "
                'otherwise=False)'
            )
    if rule not in PRESETS:
        raise ValueError(
            f'rule must be a LayerRule, a dict of its arguments, or one of '
            f'{known}, got {rule!r}'
        )
    return PRESETS[rule]
