"""tools/model_converters: as a user runs them."""

import pytest
import torch

pytest.importorskip('mmpretrain')
pytest.importorskip('timm')

from ..models.test_efficientnet_lite import published  # noqa: F401

pytestmark = pytest.mark.slow


def test_efficientnet_lite(tool, tmp_path, published):  # noqa: F811
    name = 'model_converters/efficientnet_lite.py'
    torch.save(published, tmp_path / 'lite0.pth')
    result = tool(name, 'lite0.pth', 'out.pth', '--no-classifier')
    assert result.returncode == 0, result.stdout[-4000:]
    assert result.stdout.endswith('wrote out.pth, 294 tensors\n')
    state = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert state['timm_model.conv_head.weight'].equal(
        published['_conv_head.weight']
    )
    result = tool(name, 'lite1.pth', 'out.pth')
    assert result.returncode != 0
    assert 'lite1.pth' in result.stdout
    assert 'Traceback' not in result.stdout
