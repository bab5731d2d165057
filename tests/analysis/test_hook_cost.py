"""What the log hook adds to a step: measured, or refused."""

import pytest
import torch

pytest.importorskip('mmengine')
pytest.importorskip('torchvision')

from mmfdconv.analysis import workloads
from mmfdconv.analysis.hook_cost import HookCost, measure_hook

pytestmark = pytest.mark.core


def test_the_cost_of_what_is_not_logged_is_not_measured():
    built = workloads.resnets('resnet18', ['DCDConv'], {}, {})
    x = torch.zeros(1, 3, 32, 32)
    with pytest.raises(ValueError, match='no dynamic layer with gates'):
        measure_hook(built['DCDConv'], x)
    built = workloads.resnets('resnet18', ['FDConv'], {}, {})
    with pytest.raises(ValueError, match='rounds must be at least 1, got 0'):
        measure_hook(built['FDConv'], x, 0)


def test_the_share_is_over_both_intervals():
    cost = HookCost(1.0, 0.5, 2.0, interval=100, figure_interval=1000)
    assert cost.share == pytest.approx(0.5 / 100 + 2 / 1000)


def test_entries_take_their_turns():
    built = workloads.resnets('resnet18', ['FADConv'], {}, {})
    x = torch.randn(2, 3, 64, 64)
    cost = measure_hook(built['FADConv'], x, rounds=1)
    assert cost.step > 0
    assert (cost.interval, cost.figure_interval) == (200, 2000)
