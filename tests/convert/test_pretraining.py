"""None given is not the same as nothing given."""

import pytest
from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, DefaultScope

from mmfdconv.convert import build_dynamic, with_dynamic_convolutions
from mmfdconv.convert.pretraining import is_pretrained, without_pretraining

pytestmark = pytest.mark.core

CHECKPOINT = 'no://such/checkpoint.pth'
PRETRAINED = dict(type='Pretrained', checkpoint=CHECKPOINT)
CONV_CFG = dict(type='FDConv', kernel_num=4)


def from_config(backbone, *options):
    """Build the backbone of a config, changed as on a command line."""
    cfg = Config(
        dict(
            model=dict(
                backbone=dict(
                    type='DynamicBackbone',
                    backbone=backbone,
                    conv_cfg=CONV_CFG,
                    rule=dict(min_channels=8),
                )
            )
        )
    )
    values = {}
    for option in options:
        key, _, value = option.partition('=')
        values[key] = DictAction._parse_iterable(value)
    cfg.merge_from_dict(values)
    return MODELS.build(cfg.model.backbone)


def resnet(**options):
    pytest.importorskip('mmdet')
    import mmdet.models  # noqa: F401

    small = dict(type='mmdet.ResNet', depth=18, base_channels=8)
    return dict(small, **options)


@pytest.mark.parametrize(
    'option',
    ['model.backbone.init_cfg=None', 'model.backbone.pretrained=None'],
)
@pytest.mark.parametrize(
    'given',
    [
        dict(init_cfg=PRETRAINED),
        dict(init_cfg=[dict(type='Kaiming', layer='Conv2d'), PRETRAINED]),
        dict(pretrained=CHECKPOINT),
    ],
    ids=['init_cfg', 'list', 'pretrained'],
)
@pytest.mark.filterwarnings('ignore:DeprecationWarning. pretrained')
def test_none_switches_pretraining_off(given, option):
    with pytest.raises((FileNotFoundError, OSError)):
        from_config(resnet(**given)).init_weights()
    from_config(resnet(**given), option).init_weights()


def test_a_name_without_scope_is_the_default_scopes():
    config = resnet(init_cfg=PRETRAINED)
    config['type'] = 'ResNet'
    with DefaultScope.overwrite_default_scope('mmdet'):
        from_config(config, 'model.backbone.init_cfg=None').init_weights()


def test_what_is_not_given_stays():
    model = from_config(resnet(init_cfg=PRETRAINED))
    assert model.init_cfg['checkpoint'] == CHECKPOINT


def test_a_checkpoint_beside_none():
    """Each of the two is heard."""
    init_cfg = dict(PRETRAINED, prefix='backbone.')
    model, _ = build_dynamic(
        resnet(init_cfg=PRETRAINED), CONV_CFG, None, init_cfg, None
    )
    assert model.init_cfg['prefix'] == 'backbone.'
    with pytest.warns(UserWarning, match='pretrained'):
        model, _ = build_dynamic(
            resnet(init_cfg=PRETRAINED), CONV_CFG, None, None, 'b.pth'
        )
    assert model.init_cfg['checkpoint'] == 'b.pth'


def test_a_backbone_inside_of_the_backbone():
    pytest.importorskip('mmseg')
    import mmseg.models  # noqa: F401

    backbone = dict(
        type='mmseg.BiSeNetV1',
        backbone_cfg=dict(
            type='mmseg.ResNet',
            depth=18,
            base_channels=16,
            init_cfg=PRETRAINED,
        ),
        spatial_channels=(16, 16, 16, 32),
        context_channels=(32, 64, 128),
        out_channels=64,
    )
    with pytest.raises((FileNotFoundError, OSError)):
        from_config(backbone).init_weights()
    from_config(backbone, 'model.backbone.init_cfg=None').init_weights()


def test_a_class_without_the_argument():
    pytest.importorskip('mmpretrain')
    import mmpretrain.models  # noqa: F401

    backbone = dict(
        type='mmpretrain.ResNet',
        depth=18,
        base_channels=8,
        stem_channels=8,
        init_cfg=PRETRAINED,
    )
    model = from_config(backbone, 'model.backbone.pretrained=None')
    model.init_weights()


def test_a_class_that_is_pretrained_by_default():
    pytest.importorskip('mmseg')
    pytest.importorskip('timm')
    import mmseg.models  # noqa: F401

    backbone = dict(type='mmseg.TIMMBackbone', model_name='resnet18')
    assert without_pretraining(backbone)['pretrained'] is False
    by_name = dict(type='mmpretrain.TIMMBackbone', pretrained=True)
    pytest.importorskip('mmpretrain')
    import mmpretrain.models  # noqa: F401

    assert without_pretraining(by_name)['pretrained'] is False


def test_other_initialisers_stay():
    kaiming = dict(type='Kaiming', layer='Conv2d')
    config = resnet(
        plugins=[dict(cfg=dict(init_cfg=kaiming)), dict(init_cfg=PRETRAINED)],
        init_cfg=[PRETRAINED, kaiming],
    )
    stripped = without_pretraining(config)
    assert stripped['init_cfg'] == [kaiming]
    assert stripped['plugins'] == [
        dict(cfg=dict(init_cfg=kaiming)),
        dict(init_cfg=None),
    ]
    assert config['init_cfg'][0] == PRETRAINED  # untouched
    assert is_pretrained(dict(type='Pretrained_Part'))


@pytest.mark.parametrize('name', ['init_cfg', 'pretrained'])
def test_none_stays_when_the_method_changes(name):
    wrapper = dict(
        type='DynamicBackbone',
        backbone=dict(type='ResNet', depth=18, init_cfg=PRETRAINED),
        conv_cfg=CONV_CFG,
    )
    wrapper[name] = None
    cfg = Config(dict(model=dict(backbone=wrapper)))
    stock = with_dynamic_convolutions(cfg, 'stock').model.backbone
    assert stock == dict(type='ResNet', depth=18, init_cfg=None)
