"""MobileNetV2 for any number of bands."""

import pytest
import torch

pytest.importorskip('mmpretrain')

from mmengine.registry import MODELS, init_default_scope
from mmpretrain.models.backbones import MobileNetV2

from mmfdconv.convert import adapt_state_dict
from mmfdconv.models import MultibandMobileNetV2

SMALL = dict(widen_factor=0.25, out_indices=(0, 7))


def _build(**options):
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(type='MultibandMobileNetV2', **SMALL, **options))
    model.eval()  # mmpretrain's returns nothing here
    return model


@pytest.mark.core
def test_three_bands_are_the_stock_model():
    model = _build()
    assert isinstance(model, MultibandMobileNetV2)
    stock = MobileNetV2(**SMALL)
    stock.eval()
    assert str(model.conv1) == str(stock.conv1)
    model.load_state_dict(stock.state_dict())
    x = torch.randn(2, 3, 33, 40)
    for ours, theirs in zip(model(x), stock(x)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_four_bands_start_from_a_checkpoint_of_three():
    model = _build(in_channels=4)
    state = MobileNetV2(**SMALL).state_dict()
    kernel = state['conv1.conv.weight'].clone()
    adapt_state_dict(state, ['blue', 'green', 'red', 'nir'])
    model.load_state_dict(state)
    torch.testing.assert_close(
        model.conv1.conv.weight[:, :3], kernel.flip(1) * 0.75
    )
    assert model(torch.randn(1, 4, 32, 32))[0].shape == (1, 8, 16, 16)


def test_bands_must_be_a_positive_number():
    with pytest.raises(ValueError, match='in_channels .* got 0'):
        _build(in_channels=0)
