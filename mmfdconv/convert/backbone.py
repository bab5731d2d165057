"""``DynamicBackbone``: any registered backbone, converted while it is built.

The inner backbone itself is returned, so parameter names have no prefix and
stock checkpoints, layer-wise learning rates and ``frozen_stages`` keep
working.
"""

from typing import Any, Dict, Mapping, Tuple, Union

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import nn

from .conversion_report import ConversionReport
from .live_routers import keep_routers_alive_
from .nodes import dynamic_backbones
from .pretraining import NOT_GIVEN, NotGiven, without_pretraining
from .rules import LayerRule
from .swap import convert_dynamic_


@MODELS.register_module()
def DynamicBackbone(
    backbone: Mapping[str, Any],
    conv_cfg: Mapping[str, Any],
    rule: Union[LayerRule, Mapping[str, Any], str, None] = None,
    init_cfg: Union[Mapping[str, Any], list, None, NotGiven] = NOT_GIVEN,
    pretrained: Union[str, None, NotGiven] = NOT_GIVEN,
) -> nn.Module:
    """Build a backbone and make its convolutions and linear layers dynamic.

    The backbone is converted while the model is built, so that optimizer and
    DDP find the new parameters. The log gets a report of every layer.

    Args:
        backbone: Config of the inner backbone, as in a stock config.
        conv_cfg: Config of the dynamic layer, e.g.
            ``dict(type='FDConv', kernel_num=64)``.
        rule: Which layers become dynamic, see :func:`convert_dynamic_`. None:
            the preset of the backbone.
        init_cfg: Replaces the inner backbone's ``init_cfg``. None switches
            pretraining off.
        pretrained: Checkpoint for the inner backbone, as mmseg's segmentors
            pass it. None switches pretraining off.

    Returns:
        The inner backbone, converted in place; an instance of its class.

    Raises:
        ValueError: No layer was converted, or an option is wrong.
    """
    model, report = build_dynamic(
        backbone, conv_cfg, rule, init_cfg, pretrained
    )
    print_log(f'DynamicBackbone({type(model).__name__})\n{report}', 'current')
    return model


def build_dynamic(
    backbone: Mapping[str, Any],
    conv_cfg: Mapping[str, Any],
    rule: Union[LayerRule, Mapping[str, Any], str, None] = None,
    init_cfg: Union[Mapping[str, Any], list, None, NotGiven] = NOT_GIVEN,
    pretrained: Union[str, None, NotGiven] = NOT_GIVEN,
) -> Tuple[nn.Module, ConversionReport]:
    """Build a :func:`DynamicBackbone`, and return the report, too."""
    backbone = dict(backbone)
    if init_cfg is None or pretrained is None:
        backbone = without_pretraining(backbone)
    if init_cfg is not NOT_GIVEN:
        backbone['init_cfg'] = init_cfg
    if pretrained is not NOT_GIVEN and pretrained is not None:
        backbone['pretrained'] = pretrained
    model = MODELS.build(backbone)
    report = convert_dynamic_(model, conv_cfg, rule)
    return keep_routers_alive_(model), report


def conversion_reports(cfg: Config) -> Dict[str, ConversionReport]:
    """Build every ``DynamicBackbone`` of a config and report.

    Args:
        cfg: An experiment; its default scope must be set.

    Returns:
        A report by the backbone's place in the config, ``'model.backbone'``.

    Raises:
        ValueError: The config has no such backbone.
    """
    reports = {}
    for place, node in dynamic_backbones(cfg.get('model')):
        options = {name: node[name] for name in node if name != 'type'}
        reports[place] = build_dynamic(**options)[1]
    if not reports:
        raise ValueError(
            'config: its model has no backbone=dict(type='
            "'DynamicBackbone', backbone=..., conv_cfg=...), so there is "
            'nothing to convert'
        )
    return reports
