"""What FDConv and its rivals add to the detectors of FDConv's paper.

Paper: arXiv:2503.18783. Models are built and run on the meta device.
"""

from importlib.util import find_spec
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import nn

from ...convert import convert_dynamic_
from .counter import FlopCount, count_flops
from .formulas import POOLING_OPS
from .paper_tables import Row, Table, count_config

#: Height and width for which the detectors' FLOPs are given.
_IMAGE = (800, 1280)
#: A difference from the paper above this has its reason beside it.
_TOLERANCE = 0.02


def _dcd_classifier() -> int:
    """Parameters that the authors' dynamic classifier adds to a linear one.

    A low-rank path of 32 channels, its two batch norms, and a descriptor of
    32 numbers with a self-gate that predicts a 32 x 32 matrix and a scale.
    """
    classes, channels = 1000, 2048
    latent = squeeze = 32
    path = channels * latent + latent * classes + 4 * latent
    gate = channels * squeeze + squeeze**2
    return path + gate + squeeze * latent**2 + squeeze * classes


def _resnet_flops(model: nn.Module) -> FlopCount:
    """FLOPs of a ResNet's feature extractor, on the meta device."""
    x = torch.empty(1, 3, *_IMAGE, device='meta')
    model.fc = nn.Identity()
    # The classifier's average is no part of a detector.
    model.avgpool = nn.Identity()
    return count_flops(model.eval(), lambda: model(x))


def base_table() -> List[Row]:
    """The stock detectors: mmdet's configs, ResNet-50 and FPN.

    The papers' column is the stock rows of FDConv's Table 1. Needs mmdet.
    """
    cases = {
        'Faster R-CNN': ('faster_rcnn/faster-rcnn', 207.1e3),
        'Mask R-CNN': ('mask_rcnn/mask-rcnn', 260.1e3),
    }
    rows = []
    for model, (name, paper) in cases.items():
        cost = count_config(f'mmdet::{name}_r50_fpn_1x_coco.py', _IMAGE)
        counted = cost.total.params / 1e6, None, cost.total.flops / 1e6, paper
        rows.append(Row(model, 'stock ResNet-50', *counted))
    return rows


def detector_table() -> List[Row]:
    """ResNet-50 in a detector: parameters and FLOPs that each method adds.

    Placement is the preset of each method; one image of 800 x 1280. The
    papers' column is FDConv's Table 1 (arXiv:2503.18783), where the rivals'
    parameters are to 0.1 M.
    """
    methods: Dict[str, Tuple[Dict[str, Any], float, Optional[float]]] = {
        'CondConv 8x': (dict(type='CondConv', num_experts=8), 90.0, 10),
        'DY-Conv 4x': (dict(type='DYConv', num_experts=4), 75.3, 160),
        'DCD': (dict(type='DCDConv'), 4.3, 130),
        'ODConv 4x': (dict(type='ODConv', num_experts=4), 65.1, 350),
        'KernelWarehouse 1x': (
            *(dict(type='KWConv', cell_num_ratio=1), 2.5, None),
        ),
        'KernelWarehouse 4x': (
            *(dict(type='KWConv', cell_num_ratio=4), 76.5, None),
        ),
        'FDConv K=64': (dict(type='FDConv', kernel_num=64), 3.6, 1800),
    }
    from torchvision.models import resnet50

    with torch.device('meta'):
        models = {method: resnet50() for method in methods}
        stock = _resnet_flops(resnet50())
    rows = []
    for method, (conv_cfg, paper, paper_flops) in methods.items():
        model = models[method]
        added = convert_dynamic_(model, conv_cfg).added_params
        count = _resnet_flops(model)
        notes = []
        if method == 'DCD':
            head = _dcd_classifier()
            notes.append(
                f'the backbone alone: {added / 1e6:.3f} M; with the '
                f"authors' dynamic classifier, {head / 1e6:.3f} M"
            )
            added += head
        notes.append(_explain(method, count, stock, paper_flops))
        rows.append(
            Row(
                'ResNet-50',
                method,
                added / 1e6,
                paper,
                (count.total - stock.total) / 1e6,
                paper_flops,
                '; '.join(notes),
            )
        )
    return rows


#: Why FLOPs differ from the paper's, as far as the counts below show it; they
#: are filled in by name, in G.
_REASONS = {
    'CondConv 8x': "the paper's is met by router and averages alone, "
    '{routing:.3f} G, without the mixture of the kernels',
    'DY-Conv 4x': "the paper's is no sum of these; without averages "
    '{not_averages:.2f} G',
    'DCD': 'the low-rank path runs on the feature maps, as in the '
    "authors' code; the paper's is no sum of these; without that path "
    '{routing:.2f} G',
    'ODConv 4x': "the paper's is no sum of these and more than all",
    'FDConv K=64': 'the paper does not say whether its count sees FFTs; '
    "without the bands' low-passes, in the paper FFTs, {not_bands:.2f} G; "
    "without the kernels' FFTs as well {not_ffts:.2f} G",
}


def _explain(
    method: str, count: FlopCount, stock: FlopCount, paper: Optional[float]
) -> str:
    """What the FLOPs that a method adds consist of, and why they differ."""
    parts = count.by(lambda name, part, op: part)
    # Beside the convolutions that it stands in for.
    extra = parts.pop('convolution') + parts.pop('') - stock.total
    if extra:
        parts['low-rank path'] = extra
    averages = count.by(
        lambda name, part, op: part == 'router' and op in POOLING_OPS
    )[True]
    parts['averages of the input'] = averages
    parts['router'] -= averages
    giga = {part: flops / 1e9 for part, flops in parts.items() if flops}
    listed = ', '.join(
        f'{part} {flops:.3f} G'
        for part, flops in sorted(giga.items(), key=lambda item: -item[1])
    )
    text = f'FLOPs: {listed}'
    total = sum(giga.values())
    if paper is None or abs(total / (paper / 1e3) - 1) <= _TOLERANCE:
        return text
    low_passes = giga.get('bands', 0) + giga.get('band FFT', 0)
    reason = _REASONS[method].format(
        routing=giga['averages of the input'] + giga['router'],
        not_averages=total - giga['averages of the input'],
        not_bands=total - low_passes,
        not_ffts=total - low_passes - giga.get('kernel FFT', 0),
    )
    return f'{text}; {reason}'


def fdconv_tables() -> List[Table]:
    """FDConv's Table 1; the stock detectors only where there is mmdet."""
    added = Table(
        "FDConv's Table 1: what each method adds to a detector's ResNet-50 at "
        '1280x800',
        detector_table(),
        (
            "FLOPs of KernelWarehouse: the paper's are not at hand. A real "
            'FFT of N points counts 1.25 N log2 N multiply-adds.',
        ),
    )
    if find_spec('mmdet') is None:
        return [added]
    title = "FDConv's Table 1: stock detectors at 1280x800"
    return [Table(title, base_table(), added=False), added]
