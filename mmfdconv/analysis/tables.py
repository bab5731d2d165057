"""The papers' parameter columns, counted on models that are really built.

Models are built on the meta device, without memory for their weights. What
the papers say stands beside as the papers'.
"""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

import torch
from torch import nn

from ..convert import ConversionReport, LayerRule, convert_dynamic_
from ..layers import DynamicConv2d, FADConv

__all__ = [
    'Row',
    'detector_table',
    'fadconv_multiply_adds',
    'fadconv_table',
    'to_markdown',
]


class Row(NamedTuple):
    """One line of a table, in millions; a dash in print for None."""

    model: str
    method: str
    params: float
    paper_params: float
    madds: Optional[float] = None
    paper_madds: Optional[float] = None
    note: str = ''


# ------------------------------------------------------------------ models


def _on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device('meta'):
        return build()


def _resnet(depth: int, **kwargs: Any) -> nn.Module:
    from torchvision.models import resnet

    return getattr(resnet, f'resnet{depth}')(weights=None, **kwargs)


def _cropland_resnet(depth: int, width: int = 64) -> nn.Module:
    """The paper's U-Net encoder: ResNet with a second convolution up front.

    ``width`` is that of the first stage; the stem keeps 64 channels.
    """
    from torchvision.models.resnet import BasicBlock, ResNet

    blocks = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}[depth]

    class Encoder(ResNet):
        def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
            planes = planes * width // 64
            return super()._make_layer(block, planes, blocks, stride, dilate)

    encoder = Encoder(BasicBlock, blocks)
    del encoder.fc
    return nn.ModuleDict(
        dict(stem=nn.Conv2d(64, 64, 3, padding=1), encoder=encoder)
    )


def _deeplab() -> nn.Module:
    from torchvision.models.segmentation.deeplabv3 import ASPP

    encoder = _resnet(18)
    del encoder.fc
    return nn.ModuleDict(dict(encoder=encoder, aspp=ASPP(512, [6, 12, 18])))


def _mobilenet_v2() -> nn.Module:
    from torchvision.models import mobilenet_v2

    return mobilenet_v2(weights=None).features


# ------------------------------------------------------------------ counts


def fadconv_multiply_adds(layer: FADConv) -> int:
    """Multiply-adds that a FADConv has beyond its convolution, Eq. (5).

    ``2 C P^3`` for the DCT, the router's two layers, and ``K C O k^2 / G``
    for the mixture. The shared fusion net enters once, not once per channel:
    with that the paper's figures come out.
    """
    descriptor = layer.descriptor
    dct = 2 * layer.in_channels * descriptor.pool_size**3
    router = sum(m.weight.numel() for m in layer.routing if hasattr(m, 'bias'))
    fusion = sum(
        m.weight.numel() for m in descriptor.fusion or () if hasattr(m, 'bias')
    )
    return dct + router + fusion + layer.experts.numel()


def _convert(
    build: Callable[[], nn.Module],
    conv_cfg: Mapping[str, Any],
    rule: Optional[LayerRule] = None,
):
    model = _on_meta(build)
    report: ConversionReport = convert_dynamic_(model, conv_cfg, rule)
    return model, report


def _dcd_classifier(classes: int = 1000, channels: int = 2048) -> int:
    """Parameters that the authors' dynamic classifier adds to a linear one.

    A low-rank path of 32 channels, its two batch norms, and a descriptor of
    32 numbers with a self-gate that predicts a 32 x 32 matrix and a scale.
    """
    latent = squeeze = 32
    path = channels * latent + latent * classes + 4 * latent
    gate = channels * squeeze + squeeze**2
    return path + gate + squeeze * latent**2 + squeeze * classes


def detector_table() -> List[Row]:
    """ResNet-50 in a detector: parameters that each method adds.

    Placement is the preset of each method. The papers' column is FDConv's
    Table 1 (arXiv:2503.18783), where the rivals' figures are to 0.1 M.
    """
    methods: Dict[str, Any] = {
        'CondConv 8x': (dict(type='CondConv', num_experts=8), 90.0),
        'DY-Conv 4x': (dict(type='DYConv', num_experts=4), 75.3),
        'DCD': (dict(type='DCDConv'), 4.3),
        'ODConv 4x': (dict(type='ODConv', num_experts=4), 65.1),
        'KernelWarehouse 1x': (dict(type='KWConv', cell_num_ratio=1), 2.5),
        'KernelWarehouse 4x': (dict(type='KWConv', cell_num_ratio=4), 76.5),
        'FDConv K=64': (dict(type='FDConv', kernel_num=64), 3.6),
    }
    rows = []
    for method, (conv_cfg, paper) in methods.items():
        _, report = _convert(lambda: _resnet(50), conv_cfg)
        added, note = report.added_params, ''
        if method == 'DCD':
            head = _dcd_classifier()
            note = (
                f'the backbone alone: {added / 1e6:.3f} M; with the '
                f"authors' dynamic classifier, {head / 1e6:.3f} M"
            )
            added += head
        rows.append(Row('ResNet-50', method, added / 1e6, paper, note=note))
    return rows


def fadconv_table() -> List[Row]:
    """FADConv: parameters and multiply-adds that it adds to encoders.

    The papers' columns are Tables 1, 2 and 4 of FADConv.
    """
    # 3x3 convolutions of the four stages but the very last, and the stem's.
    last = {18: r'encoder\.layer4\.1\.conv2', 34: r'encoder\.layer4\.2\.conv2'}

    def unet(depth: int) -> LayerRule:
        return LayerRule(
            patterns={
                last[depth]: False,
                r'stem|encoder\.layer\d+\.\d+\.conv\d+': True,
            },
            otherwise=False,
        )

    # Blocks, depthwise and pointwise, and the last convolution; not the stem.
    mobilenet = LayerRule(patterns={r'0\.0': False})
    # All but the image pooling branch, which sees one pixel.
    deeplab = LayerRule(patterns={r'aspp\.convs\.4\..*': False})

    def narrow():
        return _cropland_resnet(18, 16)

    cases = [
        ('ResNet-18', lambda: _cropland_resnet(18), unet(18), {}, 26.1, 58.87),
        (
            'ResNet-34',
            lambda: _cropland_resnet(34),
            unet(34),
            {},
            56.54,
            129.81,
        ),
        *(
            (
                'ResNet-18, quarter width',
                narrow,
                unet(18),
                dict(num_experts=experts),
                paper,
                None,
            )
            for experts, paper in ((2, 0.62), (4, 1.78), (6, 2.95), (8, 4.12))
        ),
        ('DeepLabV3+ ResNet-18', _deeplab, deeplab, {}, 45.8, 119.71),
        (
            'DeepLabV3+ ResNet-18',
            _deeplab,
            deeplab,
            dict(pool_size=32),
            45.8,
            530.92,
        ),
        ('MobileNetV2', _mobilenet_v2, mobilenet, {}, 7.28, 138.7),
    ]
    rows = []
    for name, build, rule, options, params, madds in cases:
        options = dict(dict(num_experts=4, pool_size=16), **options)
        model, report = _convert(build, dict(type='FADConv', **options), rule)
        counted = sum(
            fadconv_multiply_adds(layer)
            for layer in model.modules()
            if isinstance(layer, DynamicConv2d)
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
            )
        )
    return rows


def to_markdown(rows: List[Row]) -> str:
    """A table in Markdown, ours beside the paper's."""
    head = (
        'model',
        'method',
        'parameters',
        'paper',
        'multiply-adds',
        'paper',
        'note',
    )

    def cell(value: Any, digits: int) -> str:
        if isinstance(value, str):
            return value
        return '-' if value is None else f'+{value:.{digits}f} M'

    digits = (0, 0, 3, 2, 2, 2, 0)
    lines = [[cell(value, d) for value, d in zip(row, digits)] for row in rows]
    lines = [list(head), ['--'] * len(head), *lines]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
