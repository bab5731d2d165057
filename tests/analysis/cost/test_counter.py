"""FLOPs against closed forms, MMEngine's analyser and PyTorch's counter."""

import math

import pytest
import torch
from torch import nn

pytest.importorskip('torchvision')
from mmengine.analysis import FlopAnalyzer
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from mmfdconv.analysis.cost import count_flops
from mmfdconv.analysis.cost.formulas import fft
from mmfdconv.analysis.cost.parts import PARTS, parts_of_parameters
from mmfdconv.convert import convert_dynamic_
from mmfdconv.layers import (
    CondConv,
    DCDConv,
    DYConv,
    FADConv,
    FDConv,
    FDLinear,
    ODConv,
)

pytestmark = pytest.mark.core


def count(layer, *shape):
    x = torch.randn(*shape)
    return count_flops(layer.eval(), lambda: layer(x))


def parts(layer, *shape):
    return dict(count(layer, *shape).by(lambda name, part, op: part))


# ------------------------------------------------------------------- stock


@pytest.mark.parametrize(
    'layer, shape, flops',
    [
        (nn.Conv2d(4, 6, 3, 2, 1), (2, 4, 9, 8), 2 * 5 * 4 * 6 * 4 * 9),
        (nn.Conv2d(4, 8, (3, 1), groups=2), (1, 4, 5, 5), 3 * 5 * 8 * 2 * 3),
        (nn.ConvTranspose2d(4, 6, 2, 2), (1, 4, 5, 7), 5 * 7 * 4 * 6 * 4),
        (nn.Linear(5, 7), (3, 11, 5), 3 * 11 * 5 * 7),
        (nn.Linear(5, 7), (3, 5), 3 * 5 * 7),
        (nn.BatchNorm2d(4), (2, 4, 3, 3), 2 * 72),
        (nn.LayerNorm(8), (2, 3, 8), 5 * 48),
        (nn.GroupNorm(2, 4), (2, 4, 3, 3), 5 * 72),
        (nn.AdaptiveAvgPool2d(1), (2, 4, 3, 3), 72),
        (nn.AdaptiveAvgPool2d(2), (2, 4, 3, 3), 72),
        (nn.Upsample(scale_factor=2, mode='bilinear'), (1, 2, 3, 3), 4 * 72),
        (nn.Upsample(scale_factor=2), (1, 2, 3, 3), 72),
    ],
)
def test_closed_forms(layer, shape, flops):
    assert count(layer, *shape).total == flops


def test_attention_is_counted():
    q = torch.randn(2, 3, 5, 8)
    k, v = torch.randn(2, 2, 3, 7, 8)
    attend = nn.functional.scaled_dot_product_attention
    found = count_flops(nn.Identity(), lambda: attend(q, k, v))
    assert found.total == 2 * 3 * 5 * 7 * (8 + 8)


@pytest.mark.parametrize('name', ['resnet18', 'mobilenet_v2', 'swin_t'])
def test_agrees_with_mmengine_and_pytorch(name):
    model = getattr(models, name)(weights=None).eval()
    x = torch.randn(1, 3, 64, 64)
    ours = count_flops(model, lambda: model(x))
    analyzer = FlopAnalyzer(model, x)
    analyzer.unsupported_ops_warnings(False)
    analyzer.uncalled_modules_warnings(False)
    assert ours.total == pytest.approx(analyzer.total(), rel=0.005)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(x)
    products = ours.by(
        lambda n, part, op: op in ('convolution', 'addmm', 'mm', 'bmm')
    )
    assert products[True] == pytest.approx(counter.get_total_flops() / 2)


def test_results_are_not_computed_and_the_model_is_left_alone():
    model = models.resnet18(weights=None).eval()
    x = torch.randn(1, 3, 64, 64)
    before = model(x)
    seen = []
    count_flops(model, lambda: seen.append(model(x)))
    assert not seen[0].any()  # a zero bias would be added; fc's is left out
    assert model(x).equal(before)
    assert all('forward' not in vars(m) for m in model.modules())


def test_by_module_also_when_forward_is_called_directly():
    model = nn.ModuleDict(dict(a=nn.Linear(2, 3), b=nn.Linear(3, 5)))
    x = torch.randn(1, 2)
    found = count_flops(model, lambda: model['b'].forward(model['a'](x)))
    assert found.by(lambda name, part, op: name) == dict(a=6, b=15)


def test_what_is_not_counted_is_listed():
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Sigmoid())
    found = count(model, 1, 2, 4, 4)
    assert found.uncounted == {('1', '', 'relu'): 32, ('2', '', 'sigmoid'): 32}


# -------------------------------------------------------------------- FFTs


def test_fft_formula():
    assert fft(1024) == 1.25 * 1024 * 10
    assert fft(1024, 3, real=False) == 3 * 2.5 * 1024 * 10
    assert fft(1) == fft(0) == 0


@pytest.mark.parametrize('size', [(8, 16), (9, 7)])
def test_ffts_are_counted(size):
    x = torch.randn(3, *size)
    wanted = fft(math.prod(size), 3)

    def there():
        return torch.fft.rfft2(x)

    spectrum = there()
    back = (lambda: torch.fft.irfft2(spectrum, s=size), wanted)
    full = (lambda: torch.fft.fft2(spectrum), None)
    for run, flops in ((there, wanted), back, full):
        found = count_flops(nn.Identity(), run)
        if flops is None:
            flops = fft(spectrum[0].numel(), 3, real=False)
        assert found.total == flops


# ---------------------------------------------------------- dynamic layers


@pytest.mark.parametrize(
    'layer, router',
    [
        (CondConv(4, 6, 3, padding=1, num_experts=5), 4 * 5),
        (DYConv(4, 6, 3, padding=1, num_experts=5), 4 * 2 + 2 * 5),
        (
            ODConv(4, 6, 3, padding=1, num_experts=5),
            # FC to 16, batch norm, four heads
            4 * 16 + 2 * 16 + 16 * (4 + 6 + 9 + 5),
        ),
    ],
)
def test_experts(layer, router):
    found = parts(layer, 2, 4, 7, 8)
    bias = 2 * 5 * 6 if layer.mixes_bias else 0
    assert found == {
        'router': 2 * (4 * 56 + router),
        'kernel assembly': 2 * 5 * 6 * 4 * 9 + bias,
        'convolution': 2 * 56 * 6 * 4 * 9,
    }


def test_fadconv():
    layer = FADConv(4, 6, 1, num_experts=3, pool_size=8, low_freq=2)
    # A 1x1 convolution by matrix product is one, the mixture another.
    assert parts(layer, 1, 4, 16, 16) == {
        # The pooled basis of either axis, and one product with both.
        'DCT': 2 * (16 * 8 * 2) + 4 * 16 * 16 * 2 * 2,
        'router': 4 * (4 * 32 + 32) + 4 * 32 + 32 * 3,
        'kernel assembly': 3 * (6 * 4 + 6),
        'convolution': 16 * 16 * 6 * 4,
    }


@pytest.mark.parametrize('size', [(16, 16), (8, 300)])
def test_fdconv(size):
    C, O, pixels = 16, 32, math.prod(size)  # noqa: E741
    layer = FDConv(C, O, 3, padding=1, kernel_num=4)
    found = parts(layer, 1, C, *size)
    assert found['convolution'] == pixels * 9 * C * O
    assert found['band maps'] == pixels * 9 * C * 3
    assert found['kernel FFT'] == fft(9 * C * O)
    # On large maps the bands go by FFTs: there, and three low-passes back.
    if size[1] > 256:
        # Each rounded.
        assert found['band FFT'] == pytest.approx(4 * fft(pixels, C), abs=4)
        assert 'bands' not in found
    else:
        assert 'band FFT' not in found
        assert found['bands'] > 0
    assert found['router'] > C * pixels  # the average at least
    assert set(found) <= set(PARTS)


def test_dcd():
    layer = DCDConv(16, 32, 3, padding=1)
    found = parts(layer, 1, 16, 8, 8)
    squeeze, latent = 4, 4
    path = 64 * (16 * latent + latent**2 + latent * 32 + 2 * 2 * latent)
    assert found == {
        'router': 16 * 64 + squeeze * (16 + squeeze + latent**2 + 32),
        'convolution': 64 * 9 * 16 * 32 + path,
    }


def test_on_tokens():
    found = parts(FDLinear(16, 32), 2, 7, 16)
    assert found['convolution'] == 2 * 7 * 16 * 32
    assert found['kernel FFT'] == fft(16 * 32, 2)


def test_parameters_by_part():
    model = models.resnet18(weights=None)
    convert_dynamic_(model, dict(type='KWConv'), 'ResNet:KWConv')
    rows = list(parts_of_parameters(model))
    assert sum(size for *_, size in rows) == sum(
        p.numel() for p in model.parameters()
    )
    found = {name: part for name, part, _ in rows}
    assert found['warehouse_manager.weights.0'] == 'kernel assembly'
    assert found['layer1.0.conv2.attention.fc1.weight'] == 'router'
    assert found['fc.weight'] == ''
    layer = FDConv(4, 4, 3)
    found = {name: part for name, part, _ in parts_of_parameters(layer)}
    assert found['dft_weight'] == found['bias'] == 'kernel assembly'
    assert found['FBM.freq_weight_conv_list.0.weight'] == 'band maps'
    assert found['KSM_Local.norm.weight'] == 'router'
