"""Counting the operations that a step starts."""

import torch
from torch import nn

from mmfdconv.analysis.calls import calls_to_text, count_calls
from mmfdconv.layers import FDConv


class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return (x[0].view(2, 3) * self.scale).t().relu()  # two compute


def test_views_do_not_count():
    module = Rows()
    # Back: of relu; two of the product, and a sum over the rows; into x[0].
    assert count_calls(module, torch.rand(1, 6)) == (2, 7)
    assert module.training
    assert module.scale.grad is None


def test_a_pointwise_layer_starts_half_of_what_fbm_does():
    shape = (16, 16)
    layers = {
        'with': FDConv(*shape, 3, padding=1, kernel_num=4),
        'without': FDConv(*shape, 1, kernel_num=4),
    }
    x = torch.rand(2, 16, 8, 8)
    calls = {name: count_calls(layer, x) for name, layer in layers.items()}
    assert calls['without'].step < 100
    assert calls['with'].step < 200
    text = calls_to_text('16', layers, x)
    assert f'{calls["with"].step} |' in text
