"""What FADConv and its rivals add to the encoders of FADConv's paper.

Paper: arXiv:2504.03510. Models are built on the meta device.
"""

from functools import partial
from importlib.util import find_spec
from typing import Callable, Dict, List, Tuple

import torch
from torch import nn

from ...convert import LayerRule
from ...layers import DynamicConv2d, FADConv
from .counter import count_flops
from .formulas import POOLING_OPS
from .tables import Row, Table, convert, count_config

__all__ = [
    'fadconv_multiply_adds',
    'fadconv_table',
    'fadconv_tables',
    'rivals_table',
    'stock_row',
    'stock_table',
]

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
_KW = dict(type='KWConv', cell_num_ratio=4, warehouse_names=_WAREHOUSES)
_RIVALS = {
    'DY-Conv 4x': dict(type='DYConv', num_experts=4),
    'ODConv 4x': dict(type='ODConv', num_experts=4),
    'FODConv 4x': dict(type='ODConv', num_experts=4, descriptor='fat'),
    'KW 4x': _KW,
    'FKW 4x': dict(_KW, descriptor='fat'),
}
#: The paper's stock models, Tables 3 to 5: millions of parameters and of
#: multiply-adds at 512x512, by experiment. Quarter width sees four bands.
_STOCK = {
    'gid/unet_mobilenetv2_1xb24-50e_gid-512x512.py': (3.67, 3230.0),
    'gid/deeplabv3plus_r18_1xb24-50e_gid-512x512.py': (16.53, 31560.0),
    'gid/unet_r18_1xb24-50e_gid-512x512.py': (17.97, 50680.0),
    'gid/unet_r34_1xb24-50e_gid-512x512.py': (28.08, 60350.0),
    'hi_cna/unet_r18-quarter_1xb16-50e_hi-cna-512x512.py': (1.23, 5970.0),
}
#: Parameters of ResNet-18's classifier of 1000 classes. With them, and not
#: without, DeepLabV3+ has the paper's parameters.
_CLASSIFIER = 512 * 1000 + 1000
#: What the paper's figures add, in millions: parameters as a difference of
#: totals to 0.01 M, and multiply-adds. Tables 1 to 5, by encoder, experts, P.
_FADCONV = (
    ('ResNet-18', 4, 16, 26.10, 58.87),
    ('ResNet-18', 4, 32, 26.10, 227.6),
    ('ResNet-34', 4, 16, 56.54, 129.81),
    ('ResNet-34', 4, 32, 56.54, 511.40),
    ('ResNet-18, quarter width', 2, 16, 0.62, 8.02),
    ('ResNet-18, quarter width', 4, 8, 1.78, 3.22),
    ('ResNet-18, quarter width', 4, 16, 1.78, 9.18),
    ('ResNet-18, quarter width', 4, 32, 1.78, 56.89),
    ('ResNet-18, quarter width', 6, 16, 2.95, 10.35),
    ('ResNet-18, quarter width', 8, 16, 4.12, 11.52),
    ('DeepLabV3+ ResNet-18', 4, 16, 45.80, 119.71),
    ('DeepLabV3+ ResNet-18', 4, 32, 45.80, 530.92),
    ('MobileNetV2', 4, 16, 7.28, 138.70),
    ('MobileNetV2', 4, 32, 7.28, 1040.0),
)
#: The same of its rivals, Tables 3 and 5, by encoder.
_PAPER_RIVALS = {
    'ResNet-18': {
        'DY-Conv 4x': (26.09, 34.75),
        'ODConv 4x': (26.30, 96.66),
        'FODConv 4x': (26.30, 120.78),
        'KW 4x': (27.24, 560.0),
        'FKW 4x': (27.24, 580.0),
    },
    'ResNet-34': {
        'DY-Conv 4x': (56.52, 75.27),
        'ODConv 4x': (56.97, 204.6),
        'KW 4x': (59.23, 1290.0),
    },
    'DeepLabV3+ ResNet-18': {
        'DY-Conv 4x': (45.80, 60.95),
        'ODConv 4x': (46.31, 229.10),
    },
    'MobileNetV2': {
        'DY-Conv 4x': (7.28, 9.44),
        'ODConv 4x': (8.30, 40.71),
    },
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


def _cropland_resnet(depth: int, width: int = 64) -> nn.Module:
    """Build the paper's U-Net encoder: ResNet with a second stem convolution.

    ``width`` is that of the first stage; the stem keeps 64 channels.
    """
    from torchvision.models.resnet import BasicBlock, ResNet

    class Encoder(ResNet):
        def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
            planes = planes * width // 64
            return super()._make_layer(block, planes, blocks, stride, dilate)

    blocks = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}[depth]
    encoder = Encoder(BasicBlock, blocks)
    del encoder.fc
    stem = nn.Conv2d(64, 64, 3, padding=1, bias=False)
    return nn.ModuleDict(dict(stem=stem, encoder=encoder))


def _deeplab() -> nn.Module:
    """Build what the paper converts of DeepLabV3+."""
    from torchvision.models import resnet18
    from torchvision.models.segmentation.deeplabv3 import ASPP

    encoder = resnet18(weights=None)
    del encoder.fc
    return nn.ModuleDict(dict(encoder=encoder, aspp=ASPP(512, [6, 12, 18])))


def _mobilenet_v2() -> nn.Module:
    from torchvision.models import mobilenet_v2

    return mobilenet_v2(weights=None).features


def stock_row(experiment: str) -> Row:
    """Count one of the paper's stock models, of ``configs/mmseg/cropland``.

    Multiply-adds are those of convolutions alone: so counted, DeepLabV3+,
    whose decoder is a known one, has the paper's.
    """
    cost = count_config(f'mmfdconv::mmseg/cropland/{experiment}', (512, 512))
    params, note = cost.total.params, ''
    if 'deeplab' in experiment:
        params += _CLASSIFIER
        note = f'with a classifier of 1000 classes, {_CLASSIFIER / 1e6:.3f} M'
    convolutions = cost.count.by(lambda name, part, op: op)['convolution']
    return Row(
        experiment.partition('/')[2].partition('_1x')[0],
        'stock',
        params / 1e6,
        _STOCK[experiment][0],
        convolutions / 1e6,
        _STOCK[experiment][1],
        note,
    )


def stock_table() -> List[Row]:
    """All of the paper's stock models; needs mmseg and mmpretrain."""
    return [stock_row(experiment) for experiment in _STOCK]


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


def _encoders() -> Dict[str, Tuple[Callable[[], nn.Module], LayerRule]]:
    """The paper's encoders: how to build each, and what is dynamic in it."""
    return {
        'ResNet-18': (partial(_cropland_resnet, 18), _unet_rule(18)),
        'ResNet-34': (partial(_cropland_resnet, 34), _unet_rule(34)),
        'ResNet-18, quarter width': (
            partial(_cropland_resnet, 18, 16),
            _unet_rule(18),
        ),
        # All but the image pooling branch, which sees one pixel.
        'DeepLabV3+ ResNet-18': (
            _deeplab,
            LayerRule(patterns={r'aspp\.convs\.4\..*': False}),
        ),
        # Blocks, depthwise and pointwise, and the last convolution; not the
        # stem.
        'MobileNetV2': (_mobilenet_v2, LayerRule(patterns={r'0\.0': False})),
    }


def fadconv_table() -> List[Row]:
    """FADConv: parameters and multiply-adds that it adds to encoders.

    The paper's columns are Tables 1 to 5 of FADConv.
    """
    encoders = _encoders()
    rows = []
    for name, experts, size, params, madds in _FADCONV:
        build, rule = encoders[name]
        options = dict(type='FADConv', num_experts=experts, pool_size=size)
        model, added = convert(build, options, rule)
        counted = sum(
            fadconv_multiply_adds(layer)
            for layer in model.modules()
            if isinstance(layer, FADConv)
        )
        rows.append(
            Row(
                name,
                f'FADConv {experts}x, P={size}',
                added / 1e6,
                params,
                counted / 1e6,
                madds,
                f'as it runs {_added_as_it_runs(model):.2f} M',
            )
        )
    return rows


def rivals_table() -> List[Row]:
    """What other methods add to the encoders: Tables 3 and 5 of FADConv.

    Multiply-adds are those of one image as they run here, averages of the
    input left out.
    """
    encoders = _encoders()
    rows = []
    for encoder, methods in _PAPER_RIVALS.items():
        build, rule = encoders[encoder]
        for method, (params, madds) in methods.items():
            model, added = convert(build, _RIVALS[method], rule)
            rows.append(
                Row(
                    encoder,
                    method,
                    added / 1e6,
                    params,
                    _added_as_it_runs(model),
                    madds,
                )
            )
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


#: Why the rivals differ from FADConv's paper.
_RIVALS_NOTES = (
    'FLOPs as they run, one image, averages of the input left out.',
    "DY-Conv: the paper's routers are as wide as FADConv's, max(32, C / 16), "
    "which gives its FLOPs; those of DY-Conv's authors, here, have C / 4.",
    "ODConv: with at least 32 hidden units the ResNets' parameters are the "
    "paper's; its authors' routers, here, have at least 16. The paper's FLOPs "
    'are no sum of the parts that we count.',
    'KernelWarehouse: the paper does not say which layers share a warehouse; '
    'here those of a stage do. A kernel is mixed from all cells of its '
    "warehouse, which costs more than the paper's FLOPs.",
)


def fadconv_tables() -> List[Table]:
    """FADConv's Tables 1 to 5; stock models only where their toolboxes are."""
    tables = []
    if all(map(find_spec, ('mmseg', 'mmpretrain'))):
        stock = Table(
            "FADConv's Tables 3 to 5: stock models at 512x512",
            stock_table(),
            (
                'FLOPs: those of convolutions. The decoders are those that '
                "meet the paper's figures to 1 %, see "
                'configs/mmseg/cropland/README.md.',
            ),
            added=False,
        )
        tables.append(stock)
    return [
        *tables,
        Table(
            "FADConv's Tables 1 to 5: what it adds to an encoder",
            fadconv_table(),
            (
                "FLOPs: the paper's Eq. (5), one multiply-add as one. As it "
                'runs, only the DCT coefficients that are used are computed, '
                'the fusion net runs for every channel, and the averages '
                'before the DCT, which depend on the image, are left out.',
            ),
        ),
        Table(
            "FADConv's Tables 3 and 5: what its rivals add to an encoder",
            rivals_table(),
            _RIVALS_NOTES,
        ),
    ]
