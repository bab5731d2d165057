"""What a model says of itself before it has run."""

import pytest
from torch import nn

pytest.importorskip('mmengine')

from mmfdconv.engine.models import image_channels
from mmfdconv.layers import ODConv


class Focus(nn.Module):
    """As YOLOX's: pixels become channels before the convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4 * 3, 8, 3)


@pytest.mark.parametrize(
    'first, channels',
    [(nn.Conv2d(4, 8, 3), 4), (ODConv(5, 8, 3), 5), (Focus(), 3)],
    ids=['stock', 'dynamic', 'focus'],
)
def test_channels_of_images(first, channels):
    model = nn.Module()
    model.head = nn.Conv2d(9, 8, 1)
    model.backbone = nn.Sequential(first, nn.Conv2d(8, 8, 1))
    assert image_channels(model) == channels
    assert image_channels(model.backbone) == channels


def test_a_model_without_convolutions_sees_colours():
    assert image_channels(nn.Linear(2, 2)) == 3
