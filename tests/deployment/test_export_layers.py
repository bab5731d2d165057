"""Every method and kind of layer, exported and run outside of PyTorch."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

pytest.importorskip('onnx', reason='nothing is exported without onnx')
pytest.importorskip('onnxruntime', reason='nothing runs what was exported')

import mmfdconv.layers
from mmfdconv.convert import LayerRule, convert_dynamic_
from mmfdconv.deployment.exporting import export_onnx, obstacles
from mmfdconv.deployment.runtimes import compare_runtimes
from mmfdconv.layers import FADConv, FDConv
from mmfdconv.registry import LAYERS

pytestmark = pytest.mark.core

# On a torch that has both exporters, the earlier one is quick enough for all.
CURRENT = hasattr(torch.onnx, 'ONNXProgram')
C = 8
KINDS = {
    '3x3': dict(kernel_size=3, padding=1),
    'strided': dict(kernel_size=3, padding=1, stride=2),
    'dilated': dict(kernel_size=3, padding=2, dilation=2),
    'grouped': dict(kernel_size=3, padding=1, groups=2),
    'depthwise': dict(kernel_size=3, padding=1, groups=C),
    '1x1': dict(kernel_size=1),
}
METHODS = sorted(LAYERS)


class Kinds(nn.Module):
    """All kinds of convolutions, and a linear layer, on one image."""

    def __init__(self):
        super().__init__()
        self.layer1 = nn.ModuleDict(
            {kind: nn.Conv2d(C, C, **args) for kind, args in KINDS.items()}
        )
        self.layer1['tokens'] = nn.Linear(C, C)

    def forward(self, image):
        tokens = image.flatten(2).transpose(1, 2)
        return tuple(
            layer(tokens if kind == 'tokens' else image)
            for kind, layer in self.layer1.items()
        )


@torch.no_grad()
def live_(model):
    """Move every parameter, so that gates depend on the image."""
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def differences(model, proto, *images):
    """Return the largest difference that each runtime has."""
    return [
        found.difference
        for image in images
        for found in compare_runtimes(model, proto, [image], rounds=1)[1:]
    ]


def layer(method, *args, **options):
    """Build one layer of a method."""
    cls = getattr(mmfdconv.layers, method)
    return live_(cls(*args, **options))


@pytest.mark.parametrize('method', METHODS)
def test_every_kind_of_layer(method):
    model = Kinds()
    cfg = dict(type=method)
    if method == 'KWConv':
        names = {r'layer1\.(.+)': r'stage1_layer0_\1'}
        cfg.update(warehouse_names=names, temperature=0.5)
    report = convert_dynamic_(model, cfg, LayerRule(linears=True))
    assert len(report.converted) == len(KINDS) + 1
    live_(model)
    image = torch.randn(1, C, 9, 7)
    proto = export_onnx(model, image, list(model.layer1), torchscript=True)
    assert max(differences(model, proto, image)) < 1e-5


@pytest.mark.skipif(not CURRENT, reason='torch has one exporter')
@pytest.mark.parametrize('method', ['FDConv', 'DCDConv'])
def test_the_current_exporter(method):
    model = layer(method, C, C, 3, padding=1)
    image = torch.randn(1, C, 9, 7)
    proto = export_onnx(model, image, ['out'])
    assert {entry.version for entry in proto.opset_import} == {17}
    assert max(differences(model, proto, image)) < 1e-5


@pytest.mark.parametrize(
    'method, options',
    [
        ('FDConv', dict(kernel_size=3, padding=1, stride=2)),
        ('FADConv', dict(kernel_size=3, dilation=2, groups=2)),
        ('DCDConv', dict(kernel_size=1, squeeze_size=2)),
    ],
    ids=str,
)
def test_any_number_of_images(method, options):
    model = layer(method, C, 12, **options)
    images = [torch.randn(B, C, 9, 7) for B in (1, 3)]
    proto = export_onnx(model, images[0], ['out'], 'batch', torchscript=True)
    assert max(differences(model, proto, *images)) < 1e-5


@pytest.mark.parametrize(
    'method, options',
    [('FDConv', {}), ('FADConv', {}), ('DCDConv', dict(squeeze_size=2))],
    ids=str,
)
def test_images_of_any_size(method, options):
    model = layer(method, C, 12, 3, **options)
    images = [torch.randn(1, C, *size) for size in ((24, 20), (13, 18))]
    proto = export_onnx(model, images[0], ['out'], 'size', torchscript=True)
    assert max(differences(model, proto, *images)) < 1e-5


@pytest.mark.parametrize(
    'options',
    [
        dict(fbm_cfg=dict(mask='nearest64', lowfreq_att=True)),
        dict(param_ratio=2, param_reduction=0.5),
        dict(convert_param=False, ksm_local_act='tanh'),
        dict(padding_mode='reflect', padding=1, descriptor='fat'),
    ],
    ids=str,
)
def test_options_of_fdconv(options):
    # Images of 72 and 63 elements: transforms of two factors, one odd.
    model = layer('FDConv', 21, 24, 3, **options)
    image = torch.randn(1, 21, 10, 9)
    proto = export_onnx(model, image, ['out'], torchscript=True)
    assert max(differences(model, proto, image)) < 1e-5


def test_a_graph_of_one_image_refuses_two():
    onnxruntime = pytest.importorskip('onnxruntime')
    model = layer('ODConv', C, C, 3)
    proto = export_onnx(model, torch.randn(1, C, 9, 7), ['out'])
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=['CPUExecutionProvider']
    )
    with pytest.raises(Exception, match='[Ii]nvalid dimensions'):
        session.run(None, {'image': torch.randn(2, C, 9, 7).numpy()})


def test_equal_constants_are_kept_once():
    layers = [layer('FDConv', 24, 24, 3, padding=1) for _ in range(2)]
    image = torch.randn(1, 24, 9, 7)
    one, two = (
        export_onnx(nn.Sequential(*some), image, ['out'], torchscript=True)
        for some in (layers[:1], layers)
    )
    own = sum(4 * p.numel() for p in layers[1].parameters())
    assert two.ByteSize() - one.ByteSize() < own + 60_000


class Spectrum(nn.Module):
    """An operator that neither exporter knows in this opset."""

    def forward(self, image):
        return torch.linalg.eigvals(image).abs()


def test_the_layer_that_an_exporter_refuses_is_named():
    block = nn.Sequential(
        OrderedDict(conv=nn.Conv2d(C, C, 1), spectrum=Spectrum())
    )
    model = nn.Sequential(nn.Conv2d(C, C, 1), nn.ReLU(), nn.Sequential(block))
    words = r'cannot export 2\.0\.spectrum, Spectrum: \w+Error: .*eigvals'
    with pytest.raises(ValueError, match=f'(?s){words}'):
        export_onnx(model, torch.randn(1, C, 7, 7), ['out'], torchscript=True)


def test_what_cannot_be_exported_is_named():
    model = nn.Sequential(
        FDConv(C, C, 3, fbm_cfg=dict(mask='nearest64')), FADConv(C, C, 3)
    )
    assert obstacles(model) == []
    with pytest.raises(ValueError, match="(?s)cannot be.*0: .*'nearest64'"):
        export_onnx(model, torch.randn(1, C, 9, 7), ['out'], 'size')
    with pytest.raises(ValueError, match="dynamic must be one of .*'width'"):
        export_onnx(model, torch.randn(1, C, 9, 7), ['out'], 'width')
    pytest.importorskip('mmcv.ops', reason='no layer of mmcv to refuse')
    from mmcv.ops import DeformConv2dPack

    model = nn.Sequential(DeformConv2dPack(C, C, 3))
    with pytest.raises(ValueError, match='0: .* compiled operator of mmcv'):
        export_onnx(model, torch.randn(1, C, 9, 7), ['out'])
