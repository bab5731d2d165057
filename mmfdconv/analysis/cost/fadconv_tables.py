"""What FADConv and its rivals add to the encoders of FADConv's paper.

Paper: arXiv:2504.03510. The encoders are those of ``configs/mmseg/cropland``,
which need mmseg and mmpretrain; they are built on the meta device.
"""

from functools import partial
from importlib.util import find_spec
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from mmengine.registry import DefaultScope
from torch import nn

from ...convert import build_dynamic
from ...engine.launch import load_config
from ...layers import DynamicConv2d, FADConv
from .counter import count_flops
from .formulas import POOLING_OPS
from .paper_tables import Row, Table, count_config

#: The experiment that has each of the paper's encoders.
_EXPERIMENTS = {
    'ResNet-18': 'gid/unet_r18_1xb24-50e_gid-512x512.py',
    'ResNet-34': 'gid/unet_r34_1xb24-50e_gid-512x512.py',
    'ResNet-18, quarter width': (
        'hi_cna/unet_r18-quarter_1xb16-50e_hi-cna-512x512.py'
    ),
    'DeepLabV3+ ResNet-18': 'gid/deeplabv3plus_r18_1xb24-50e_gid-512x512.py',
    'MobileNetV2': 'gid/unet_mobilenetv2_1xb24-50e_gid-512x512.py',
}
#: The rivals' words and options.
_RIVALS: Dict[str, Tuple[str, Dict[str, Any]]] = {
    'DY-Conv 4x': ('dyconv', {}),
    'ODConv 4x': ('odconv', {}),
    'FODConv 4x': ('fodconv', {}),
    'KW 4x': ('kw4x', {}),
    'FKW 4x': ('fkw1x', dict(cell_num_ratio=4)),
}
#: The paper's stock models, Tables 3 to 5: millions of parameters and of
#: multiply-adds at 512x512, by encoder. Quarter width sees four bands.
_STOCK = {
    'MobileNetV2': (3.67, 3230.0),
    'DeepLabV3+ ResNet-18': (16.53, 31560.0),
    'ResNet-18': (17.97, 50680.0),
    'ResNet-34': (28.08, 60350.0),
    'ResNet-18, quarter width': (1.23, 5970.0),
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


def stock_table() -> List[Row]:
    """The paper's stock models.

    Multiply-adds are those of convolutions alone: so counted, DeepLabV3+,
    whose decoder is a known one, has the paper's.
    """
    rows = []
    for encoder, (paper_params, paper_madds) in _STOCK.items():
        experiment = _EXPERIMENTS[encoder]
        cost = count_config(_config(encoder), (512, 512))
        params, note = cost.total.params, ''
        if 'DeepLab' in encoder:
            params += _CLASSIFIER
            note = f'with a classifier of 1000 classes, {_CLASSIFIER / 1e6} M'
        convolutions = cost.count.by(lambda name, part, op: op)['convolution']
        rows.append(
            Row(
                experiment.partition('/')[2].partition('_1x')[0],
                'stock',
                params / 1e6,
                paper_params,
                convolutions / 1e6,
                paper_madds,
                note,
            )
        )
    return rows


def _config(encoder: str) -> str:
    return f'mmfdconv::mmseg/cropland/{_EXPERIMENTS[encoder]}'


def _converted(
    encoder: str, method: str, options: Optional[Mapping[str, Any]] = None
) -> Tuple[nn.Module, float]:
    """Give an encoder a method, on the meta device.

    Returns:
        The encoder, and the millions of parameters that it has beyond the
        stock one's.
    """
    cfg = load_config(_config(encoder), None, method, options)
    node = cfg.model.backbone
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        model, report = build_dynamic(
            node.backbone, node.conv_cfg, node.get('rule')
        )
    return model, report.added_params / 1e6


def fadconv_table() -> List[Row]:
    """FADConv: parameters and multiply-adds that it adds to encoders.

    The paper's columns are Tables 1 to 5 of FADConv.
    """
    rows = []
    for encoder, experts, size, params, madds in _FADCONV:
        options = dict(num_experts=experts, pool_size=size)
        model, added = _converted(encoder, 'fadconv', options)
        counted = sum(
            fadconv_multiply_adds(layer)
            for layer in model.modules()
            if isinstance(layer, FADConv)
        )
        rows.append(
            Row(
                encoder,
                f'FADConv {experts}x, P={size}',
                added,
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
    rows = []
    for encoder, methods in _PAPER_RIVALS.items():
        for method, (params, madds) in methods.items():
            model, added = _converted(encoder, *_RIVALS[method])
            counted = _added_as_it_runs(model)
            rows.append(Row(encoder, method, added, params, counted, madds))
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
    """FADConv's Tables 1 to 5; none without mmseg and mmpretrain."""
    if not all(map(find_spec, ('mmseg', 'mmpretrain'))):
        return []
    return [
        Table(
            "FADConv's Tables 3 to 5: stock models at 512x512",
            stock_table(),
            (
                'FLOPs: those of convolutions. The decoders are those that '
                "meet the paper's figures to 1 %, see "
                'configs/mmseg/cropland/README.md.',
            ),
            added=False,
        ),
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
