"""A backbone whose batch norms have seen nothing, before and after."""

import copy

import pytest
import torch
from mmengine.registry import MODELS

from mmfdconv.convert import LayerRule, convert_dynamic_

from ..layers.helpers import relative_error
from .helpers import METHODS, resnet


@pytest.mark.core
def test_features_that_no_norm_bounds(method):
    # Norms divide by 1 as long as they have no statistics.
    stock = MODELS.build(resnet())
    model = copy.deepcopy(stock)
    rule = LayerRule(kernel_sizes=[1, 3], min_channels=8)
    convert_dynamic_(model, METHODS[method], rule)
    x = 1e6 * torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for each in (stock, model):
            each.eval()
        expected = stock(x)
        assert expected[0].abs().max() > 1e5
        for out, other in zip(model(x), expected):
            assert relative_error(out, other) < 1e-4
