"""Counting the operations that a step starts."""

import pytest
import torch
from torch import nn

from mmfdconv.analysis.calls import calls_to_text, count_calls
from mmfdconv.layers import FDConv


class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return (x.view(2, 3) * self.scale).t().relu()  # two compute


class Activated(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, x):
        return self.linear(x.relu()).sigmoid().tanh()


def test_views_do_not_count():
    module = Rows()
    # Back: one of relu; two of the product, and a sum over the rows.
    calls = count_calls(module, torch.rand(1, 6))
    assert calls.forward == 2
    assert calls.step in (6, 7)  # torch 2.1 copies what was turned round
    assert module.training
    assert module.scale.grad is None


@pytest.mark.slow
def test_calls_of_what_is_compiled(monkeypatch):
    """Functions that are generated, and operations of PyTorch between."""
    pytest.importorskip('torch._inductor.output_code')  # as of torch 2.6
    # What is counted is what would run; a C++ compiler takes its time.
    monkeypatch.setattr(
        'torch._inductor.async_compile.AsyncCompile.cpp_pybinding',
        lambda *_: lambda *_: None,
    )
    monkeypatch.setattr('torch._inductor.config.force_disable_caches', True)
    module = Activated()
    apart = count_calls(module, torch.rand(2, 3))
    module.compile()
    calls = count_calls(module, torch.rand(2, 3))
    # A function, a product, a function.
    assert (apart.forward, calls.forward) == (4, 3)
    assert calls.step < apart.step


def test_a_layer_starts_no_more_than_it_did():
    shape = (16, 16)
    layers = {
        'with': FDConv(*shape, 3, padding=1, kernel_num=4),
        'without': FDConv(*shape, 1, kernel_num=4),
    }
    x = torch.rand(2, 16, 8, 8)
    calls = {name: count_calls(layer, x) for name, layer in layers.items()}
    assert calls['without'].step <= 85
    assert calls['with'].step <= 160
    text = calls_to_text('16', layers, x)
    assert f'{calls["with"].step} |' in text
