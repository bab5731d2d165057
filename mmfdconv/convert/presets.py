"""Which layers the known backbone families make dynamic, and why.

A preset is found by the name of a backbone's class, or of one of its bases, as
registered in mmdet, mmseg and mmpretrain; one for a family and a method,
``'ResNet:CondConv'``, goes before the family's own. What is built around a
backbone, as BiSeNetV1 and ICNet are, takes that one's.
"""

import re
from typing import Any, Dict, Mapping, Optional, Union

from torch import nn

from .hint import suggest_rule, why_not
from .rules import LayerRule


def _only(*patterns: str) -> LayerRule:
    return LayerRule(patterns=dict.fromkeys(patterns, True), otherwise=False)


# FDConv's authors replace the two layers of the feed-forward networks of a
# transformer, and so do their converted checkpoints. Attention stays: its
# projections work on windows or on the whole sequence, where a kernel per
# image has no meaning or little, and half of the toolboxes' attentions read
# the weights instead of calling the layer.
_FFN_LINEARS = _only(
    r'layers\.\d+\.ffn\.(layers\.(0\.0|1)|w12|w3)',  # w: of a SwiGLU
    r'layers\.\d+\.mlp\.(w12|w3)',  # EVA-02's
    r'stages\.\d+\.blocks\.\d+\.ffn\.layers\.(0\.0|1)',
)
_FFN_CONVS = _only(r'layers\.\d+\.1\.\d+\.ffn\.layers\.(0|1|4)')

_EFFICIENTNET = _only(
    r'layers\.\d+\.\d+\.((expand|depthwise|linear)_conv|conv[12])\.conv',
    r'layers\.\d+\.\d+\.conv',  # EfficientNetV2's first stage
    r'layers\.[1-9]\d*\.conv',
)
_CSP_BLOCKS = _only(
    r'stage\d+\.\d+\.blocks\.\d+\.conv[12]\.((depth|point)wise_conv\.)?conv'
)

PRESETS: Dict[str, LayerRule] = {
    # The papers replace the convolutions of the residual blocks: not the
    # stem, deep (V1c, V1d) or not, whose 3 input channels leave nothing to
    # route by, and not the downsample shortcuts, which the published
    # checkpoints keep static. ResNeXt's groups are in conv2, Res2Net's
    # scales in convs, ResNeSt's splits in conv2.conv.
    'ResNet': _only(r'layer\d+\.\d+\.(conv\d+(\.conv)?|convs\.\d+)'),
    # CondConv's authors: the last stages only; this one gives the parameters
    # in the papers' tables.
    'ResNet:CondConv': _only(r'layer4\.\d+\.(conv\d+(\.conv)?|convs\.\d+)'),
    # DY-Conv's: everything but the stem.
    'ResNet:DYConv': _only(
        r'layer\d+\.\d+\.(conv\d+(\.conv)?|convs\.\d+|downsample\.\d+)'
    ),
    # KernelWarehouse's: what has a name in its scheme, that is all but the
    # stem and, in the first block, the shortcut and a bottleneck's first
    # convolution.
    'ResNet:KWConv': _only(
        r'layer\d+\.\d+\.(conv\d+(\.conv)?|(convs|downsample)\.\d+)'
    ),
    # As in a ResNet, the blocks: of the first stage and of every branch. The
    # exchange between resolutions (transitions, fuse layers) is to a HRNet
    # what shortcuts are to a ResNet.
    'HRNet': _only(
        r'layer\d+\.\d+\.conv\d+',
        r'stage\d+\.\d+\.branches\.\d+\.\d+\.conv\d+',
    ),
    # Depthwise and pointwise convolutions of the blocks, and the last one;
    # not the stem, as in ODConv's code.
    'MobileNetV2': _only(
        r'layer\d+\.\d+\.((expand|depthwise|linear)_conv|conv\.\d)\.conv',
        r'conv2\.conv',
    ),
    # KernelWarehouse's code gives the stem a warehouse too.
    'MobileNetV2:KWConv': LayerRule(),
    # As MobileNetV2. Squeeze-and-excitation stays: it is a gate itself.
    'MobileNetV3': _only(
        r'layer\d+\.(expand|depthwise|linear)_conv\.conv',
        r'layer1[1-9]\.conv',
    ),
    # Likewise; the first blocks of EdgeTPU's and of EfficientNetV2 have full
    # convolutions.
    'EfficientNet': _EFFICIENTNET,
    'EfficientNetV2': _EFFICIENTNET,
    # All three convolutions of the units, the shortcut branch of strided ones
    # included, which is half of such a unit and no mere shortcut.
    'ShuffleNetV1': _only(
        r'layers\.\d+\.\d+\.(g_conv_1x1_(compress|expand)|depthwise\w+)\.conv'
    ),
    'ShuffleNetV2': _only(
        r'layers\.\d+\.\d+\.branch[12]\.\d+\.conv', r'layers\.\d+\.conv'
    ),
    # Everything but the first convolution, which sees the image. mmdet's
    # SSDVGG is one, too.
    'VGG': _only(r'features\.[1-9]\d*(\.conv)?'),
    # As in a ResNet, the layers of the blocks, and not what is between them.
    'DenseNet': _only(
        r'stages\.\d+\.block\.\d+\.conv[12]',
        r'features\.denseblock\d+\.denselayer\d+\.conv[12]',  # torchvision's
    ),
    # YOLO's: the convolutions of the residual blocks, not the stem, the
    # strided convolutions between stages, what splits and joins the two paths
    # of a stage, and spatial pyramid pooling.
    'Darknet': _only(r'conv_res_block\d+\.res\d+\.conv[12]\.conv'),
    'CSPDarknet': _CSP_BLOCKS,
    'CSPNeXt': _CSP_BLOCKS,
    'CSPNet': _only(r'stages\.\d+\.blocks\.\d+\.conv\d(\.conv)?'),
    # Deployed, one convolution a block; what is trained is merged into it.
    'RepVGG': _only(r'stage_\d+\.\d+\.branch_reparam'),
    'MobileOne': _only(r'stage[1-9]\d*\.\d+\.branch_reparam'),
    # Depthwise 7x7 and both pointwise layers, convolutions or linear; not
    # the stem and not the downsampling between stages.
    'ConvNeXt': _only(r'stages\.\d+\.\d+\.(depthwise_conv|pointwise_conv\d)'),
    # KernelWarehouse's: stem and downsampling too, a warehouse each.
    'ConvNeXt:KWConv': _only(
        r'stages\.\d+\.\d+\.(depthwise_conv|pointwise_conv\d)',
        r'downsample_layers\.\d+\.\d+',
    ),
    'SwinTransformer': _FFN_LINEARS,
    'SwinTransformerV2': _FFN_LINEARS,
    'VisionTransformer': _FFN_LINEARS,
    'BEiT': _FFN_LINEARS,
    'BEiTViT': _FFN_LINEARS,
    'RevVisionTransformer': _FFN_LINEARS,
    'ViTSAM': _FFN_LINEARS,
    # SegFormer's encoder: the feed-forward networks are convolutions here,
    # 1x1, depthwise 3x3, 1x1. PVT's and PVTv2's are the same module.
    'MixVisionTransformer': _FFN_CONVS,
    'PyramidVisionTransformer': _FFN_CONVS,
    # SegNeXt's encoder has the same as modules with names.
    'MSCAN': _only(r'block\d+\.\d+\.mlp\.(fc[12]|dwconv)'),
    # Twins: both linear layers; SVT is one, too. mmpretrain's has stages.
    'PCPVT': _only(r'(layers|stages)\.\d+\.\d+\.ffn\.layers\.(0\.0|1)'),
    # Both sides of the U but the first convolution, which sees the image.
    'UNet': LayerRule(
        patterns={
            r'encoder\.0\.0\.convs\.0\.conv': False,
            r'encoder\.\d+\.\d+\.convs\.\d+\.conv': True,
            r'decoder\.\d+\.conv_block\.convs\.\d+\.conv': True,
        },
        otherwise=False,
    ),
    # timm's names for the same choices: blocks of ResNets, RegNets, CSPNets,
    # DLAs, DenseNets and VGGs, pointwise and depthwise convolutions of mobile
    # networks, EfficientNets and ConvNeXts, feed-forward networks of
    # transformers. With features_only some dots are underscores.
    'TIMMBackbone': _only(
        r'timm_model\.layer\d+\.\d+\.(conv\d+|convs\.\d+)',
        r'timm_model\.s\d+\.b\d+\.conv\d\.conv',
        r'timm_model\.stages[._]\d+\.blocks\.\d+\.conv\d\.conv',
        r'timm_model\.features[._][1-9]\d*',
        r'timm_model\.features[._]denseblock\d+\.denselayer\d+\.conv[12]',
        r'timm_model\.level\d\.(tree\d\.)+(conv\d|convs\.\d+)',
        r'timm_model\.(.*\.)?(conv_dw|conv_pw|conv_pwl|conv_exp)',
        r'timm_model\.blocks[._]\d+\.\d+\.conv',
        r'timm_model\.(.*\.)?mlp\.fc[12]',
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
            for the preset of the model's family and the method, or else of
            the one part of it that is named ``backbone`` and has a preset.
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
        rule = preset_for(model, method) or _of_inner_backbone(model, method)
        if isinstance(rule, LayerRule):
            return rule
        if rule is None:
            hint = suggest_rule(model)
            raise ValueError(
                f'rule=None: there is no preset for {type(model).__name__} '
                f'(presets: {known}); '
                + (f'pass a rule, such as {hint}' if hint else why_not(model))
            )
    if rule not in PRESETS:
        raise ValueError(
            f'rule must be a LayerRule, a dict of its arguments, or one of '
            f'{known}, got {rule!r}'
        )
    return PRESETS[rule]


def _of_inner_backbone(
    model: nn.Module, method: Optional[str]
) -> Optional[LayerRule]:
    """Rule for a model around a backbone; None if there is not just one."""
    presets = {
        name: preset_for(module, method)
        for name, module in model.named_modules()
        if name.rpartition('.')[2] == 'backbone'
    }
    found = [(name, preset) for name, preset in presets.items() if preset]
    if len(found) != 1:
        return None
    name, preset = found[0]
    rule = PRESETS[preset]
    patterns = {**rule.patterns, **({'.*': True} if rule.otherwise else {})}
    return LayerRule(
        patterns={
            rf'{re.escape(name)}\.({pattern})': verdict
            for pattern, verdict in patterns.items()
        },
        otherwise=False,
    )
