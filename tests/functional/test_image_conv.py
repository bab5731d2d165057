"""Convolution with kernels laid out as images, against PyTorch's."""

import pytest
import torch

from mmfdconv.functional import (
    batched_conv,
    convolve_images,
    image_conv,
    image_to_weight,
    per_sample_conv2d,
)
from mmfdconv.functional.batched_conv import ConvOptions

pytestmark = pytest.mark.core

#: (O, C/G, kh, kw), how to convolve
CASES = {
    'plain': ((4, 3, 3, 3), ConvOptions(padding=(1, 1))),
    'uneven': ((5, 3, 3, 2), ConvOptions((2, 1), (2, 1), (1, 3))),
    'stride': ((4, 3, 3, 3), ConvOptions((2, 2), (1, 1), (1, 1))),
    'dilation': ((4, 3, 3, 3), ConvOptions((1, 1), (2, 2), (2, 2))),
    'stride and dilation': ((4, 2, 2, 3), ConvOptions((3, 2), (1, 0), (2, 1))),
    'groups': ((6, 2, 3, 3), ConvOptions((1, 1), (1, 1), (1, 1), 3)),
    'pointwise': ((4, 3, 1, 1), ConvOptions((2, 2))),
    'a row': ((4, 3, 1, 3), ConvOptions(padding=(0, 1))),
    'a column': ((4, 3, 3, 1), ConvOptions(padding=(1, 0))),
}


@pytest.fixture(
    params=['kernels are moved', 'features are moved', 'samples are groups']
)
def which(request, monkeypatch):
    moves_features = request.param == 'features are moved'
    limit = 2**60 if request.param == 'samples are groups' else 0
    monkeypatch.setattr(batched_conv, '_MAX_FEATURES', limit)
    monkeypatch.setattr(
        image_conv,
        '_moves_features',
        lambda x, shape, options: moves_features and len(x) == 1,
    )


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('batch', [1, 3])
def test_it_is_the_same_convolution(case, batch, which):
    shape, options = CASES[case]
    O, I, kh, kw = shape  # noqa: E741
    channels = I * options.groups
    x = torch.randn(batch, channels, 8, 9, dtype=torch.double)
    images = torch.randn(batch, O * kh, I * kw, dtype=torch.double)
    tensors = [x.requires_grad_(), images.requires_grad_()]
    weight = image_to_weight(images, (kh, kw))
    expected = per_sample_conv2d(x, weight, None, *options)
    grad = torch.randn_like(expected)
    for alive in ((0, 1), (0,), (1,)):
        wanted = [tensors[i] for i in alive]
        for i, tensor in enumerate(tensors):
            tensor.requires_grad_(i in alive)
        y = convolve_images(x, images, shape, options)
        torch.testing.assert_close(y, expected)
        blind = convolve_images(x, images, shape, options, want_value=False)
        assert blind.shape == y.shape
        for value in (y, blind):
            torch.testing.assert_close(
                torch.autograd.grad(value, wanted, grad),
                torch.autograd.grad(expected, wanted, grad, retain_graph=True),
            )


@pytest.mark.parametrize(
    'side, outputs, moves',
    [(14, 512, True), (28, 512, False), (14, 64, False)],
)
def test_features_are_moved_where_kernels_are_larger(side, outputs, moves):
    x = torch.empty(1, 8, side, side)
    shape = (outputs, 8, 3, 3)
    assert image_conv._moves_features(x, shape, ConvOptions()) is moves
