"""What FADConv and its rivals add to the encoders of FADConv's paper.

Paper: arXiv:2504.03510. Models are built on the meta device.
"""

from functools import partial
from typing import List

import torch
from torch import nn

from ..convert import LayerRule
from ..layers import DynamicConv2d, FADConv
from .flop_formulas import POOLING_OPS
from .flops import count_flops
from .table_models import convert, cropland_resnet, deeplab, mobilenet_v2
from .table_rows import Row

__all__ = ['fadconv_multiply_adds', 'fadconv_table', 'rivals_table']

#: KernelWarehouse: a warehouse per stage; what sees the width of the stage
#: before belongs to that one's, as in its authors' ResNets.
_WAREHOUSES = {
    r'stem': 'stage0_layerstem_conv0',
    r'encoder\.layer1\.0\.conv1': 'stage0_layernext_conv0',
    r'encoder\.layer2\.0\.conv1': 'stage1_layernext_conv0',
    r'encoder\.layer3\.0\.conv1': 'stage2_layernext_conv0',
    r'encoder\.layer4\.0\.conv1': 'stage3_layernext_conv0',
    r'encoder\.layer(\d)\.(\d+)\.conv(\d)': r'stage\1_layer\2_conv\3',
}
_KW = dict(type='KWConv', cell_num_ratio=1, warehouse_names=_WAREHOUSES)
_RIVALS = {
    'DY-Conv 4x': dict(type='DYConv', num_experts=4),
    'ODConv 4x': dict(type='ODConv', num_experts=4),
    'FODConv 4x': dict(type='ODConv', num_experts=4, descriptor='fat'),
    'KW 1x': _KW,
    'FKW 1x': dict(_KW, descriptor='fat'),
}


def fadconv_multiply_adds(layer: FADConv) -> int:
    """Multiply-adds that a FADConv has beyond its convolution, Eq. (5).

    ``2 C P^3`` for the DCT, the router's two layers, and ``K C O k^2 / G``
    for the mixture. The shared fusion net enters once, not once per channel:
    with that the paper's figures come out. Only the coefficients that are
    used are computed here, and the net runs for every channel.
    """
    descriptor = layer.descriptor
    dct = 2 * layer.in_channels * descriptor.pool_size**3
    router = sum(m.weight.numel() for m in layer.routing if hasattr(m, 'bias'))
    fusion = sum(
        m.weight.numel() for m in descriptor.fusion or () if hasattr(m, 'bias')
    )
    return dct + router + fusion + layer.experts.numel()


def _unet_rule(depth: int) -> LayerRule:
    """3x3 convolutions of the stages but the very last, and the stem's."""
    last = {18: r'encoder\.layer4\.1\.conv2', 34: r'encoder\.layer4\.2\.conv2'}
    return LayerRule(
        patterns={
            last[depth]: False,
            r'stem|encoder\.layer\d+\.\d+\.conv\d+': True,
        },
        otherwise=False,
    )


def _quarter_width() -> nn.Module:
    return cropland_resnet(18, 16)


def fadconv_table() -> List[Row]:
    """FADConv: parameters and multiply-adds that it adds to encoders.

    The papers' columns are Tables 1, 2 and 4 of FADConv.
    """
    # Blocks, depthwise and pointwise, and the last convolution; not the stem.
    not_stem = LayerRule(patterns={r'0\.0': False})
    # All but the image pooling branch, which sees one pixel.
    aspp = LayerRule(patterns={r'aspp\.convs\.4\..*': False})

    cases = [
        (
            'ResNet-18',
            lambda: cropland_resnet(18),
            _unet_rule(18),
            {},
            26.1,
            58.87,
        ),
        (
            'ResNet-34',
            lambda: cropland_resnet(34),
            _unet_rule(34),
            {},
            56.54,
            129.81,
        ),
        *(
            (
                'ResNet-18, quarter width',
                _quarter_width,
                _unet_rule(18),
                dict(num_experts=experts),
                paper,
                None,
            )
            for experts, paper in ((2, 0.62), (4, 1.78), (6, 2.95), (8, 4.12))
        ),
        ('DeepLabV3+ ResNet-18', deeplab, aspp, {}, 45.8, 119.71),
        (
            'DeepLabV3+ ResNet-18',
            deeplab,
            aspp,
            dict(pool_size=32),
            45.8,
            530.92,
        ),
        ('MobileNetV2', mobilenet_v2, not_stem, {}, 7.28, 138.7),
    ]
    rows = []
    for name, build, rule, options, params, madds in cases:
        options = dict(dict(num_experts=4, pool_size=16), **options)
        model, report = convert(build, dict(type='FADConv', **options), rule)
        counted = sum(
            fadconv_multiply_adds(layer)
            for layer in model.modules()
            if isinstance(layer, FADConv)
        )
        method = f'FADConv {options["num_experts"]}x, P={options["pool_size"]}'
        rows.append(
            Row(
                name,
                method,
                report.added_params / 1e6,
                params,
                counted / 1e6,
                madds,
                f'as it runs {_added_as_it_runs(model):.2f} M',
            )
        )
    return rows


def rivals_table() -> List[Row]:
    """What other methods, and FADConv with other ``P``, add to a ResNet-18.

    Multiply-adds are those of one image as they run, see
    :func:`fadconv_table`; the paper's columns are not at hand.
    """
    encoders = {
        'ResNet-18': lambda: cropland_resnet(18),
        'ResNet-18, quarter width': _quarter_width,
    }
    methods = dict(_RIVALS)
    for size in (8, 16, 32):
        methods[f'FADConv 4x, P={size}'] = dict(
            type='FADConv', num_experts=4, pool_size=size
        )
    rows = []
    for encoder, build in encoders.items():
        for method, conv_cfg in methods.items():
            model, report = convert(build, conv_cfg, _unet_rule(18))
            added = report.added_params / 1e6
            runs = _added_as_it_runs(model)
            rows.append(Row(encoder, method, added, None, runs, None))
    return rows


def _added_as_it_runs(model: nn.Module) -> float:
    """FLOPs of dynamic layers but for convolution and pooling, in millions.

    These two depend on the size of the input, all others do not.
    """
    flops = 0
    for layer in model.modules():
        if isinstance(layer, DynamicConv2d):
            x = torch.empty(1, layer.in_channels, 8, 8, device='meta')
            count = count_flops(layer.eval(), partial(layer, x))
            flops += count.by(
                lambda name, part, op: (
                    part != 'convolution' and op not in POOLING_OPS
                )
            )[True]
    return flops / 1e6
