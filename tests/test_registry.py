"""The scope that MMEngine gives to bases named ``mmfdconv::...``."""

import pytest

pytest.importorskip('mmengine')

from mmengine.registry import HOOKS, MODELS, TRANSFORMS, init_default_scope

from mmfdconv.layers import FDConv

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ('toolbox', 'name'),
    [
        ('mmdet', 'LoadAnnotations'),
        ('mmseg', 'LoadAnnotations'),
        ('mmpretrain', 'PackInputs'),
    ],
)
def test_types_of_our_bases_are_the_running_toolboxs(toolbox, name):
    pytest.importorskip(toolbox)
    init_default_scope(toolbox)
    built = TRANSFORMS.build(dict(type=name, _scope_='mmfdconv'))
    assert type(built).__module__.startswith(f'{toolbox}.')
    hook = HOOKS.build(dict(type='IterTimerHook', _scope_='mmfdconv'))
    assert type(hook).__module__ == 'mmengine.hooks.iter_timer_hook'


def test_another_toolbox_stays_itself_in_our_scope():
    mmdet = pytest.importorskip('mmdet.datasets.transforms')
    pytest.importorskip('mmseg')
    init_default_scope('mmseg')
    with TRANSFORMS.switch_scope_and_registry('mmfdconv') as ours:
        with ours.switch_scope_and_registry('mmdet') as inner:
            assert inner.get('LoadAnnotations') is mmdet.LoadAnnotations
        assert ours.get('mmdet.LoadAnnotations') is mmdet.LoadAnnotations


@pytest.mark.parametrize(
    'name',
    ['FDConv', 'mmfdconv.FDConv', 'mmfdconv.layers.fdconv.FDConv'],
)
def test_layers_are_found_without_any_scope(name):
    assert MODELS.get(name) is FDConv
    with MODELS.switch_scope_and_registry('mmfdconv') as ours:
        assert ours.get(name) is FDConv


def test_a_type_that_is_nowhere_is_named():
    with pytest.raises(KeyError, match='NoLayer is not in the'):
        MODELS.build(dict(type='NoLayer', _scope_='mmfdconv'))
