"""Which layers the hook compiles."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

pytest.importorskip('mmengine', reason='MMEngine is not installed')
from mmengine.registry import HOOKS

from mmfdconv.layers import CondConv

HOOK = dict(type='CompileLayersHook', backend='aot_eager')

pytestmark = pytest.mark.core


@pytest.mark.skipif(
    not hasattr(torch.library, 'custom_op'),
    reason=f'torch {torch.__version__} is older than 2.4: not compiled',
)
def test_dynamic_layers_are_compiled():
    model = nn.Sequential(CondConv(2, 3, 1), nn.Conv2d(3, 2, 1))
    x = torch.randn(2, 2, 4, 4)
    expected = model(x)
    HOOKS.build(HOOK).before_run(SimpleNamespace(model=model))
    y = model[0](x)
    assert y.grad_fn.name() == 'CompiledFunctionBackward'
    torch.testing.assert_close(model[1](y), expected)


def test_a_model_without_them_is_refused():
    runner = SimpleNamespace(model=nn.Sequential(nn.Conv2d(2, 2, 1)))
    with pytest.raises(ValueError, match='Sequential, has none'):
        HOOKS.build(HOOK).before_run(runner)
