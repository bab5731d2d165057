"""A small classifier with weights and pictures, as files."""

import pytest
import torch

CONFIG = """
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=5, mean=[120.0] * 3, std=[60.0] * 3),
    backbone=dict(
        type='DynamicBackbone',
        backbone=dict(type='ResNet', depth=18, base_channels=8,
                      stem_channels=8, out_indices=(3,)),
        conv_cfg=dict(type='FADConv', pool_size=4)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=64,
              loss=dict(type='CrossEntropyLoss')))
"""


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """A config, a checkpoint and pictures, in the working directory."""
    pytest.importorskip('mmpretrain', reason='no classifier without it')
    cv2 = pytest.importorskip('cv2', reason='no pictures without OpenCV')
    np = pytest.importorskip('numpy')
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmfdconv.engine.models import build_model

    monkeypatch.chdir(tmp_path)
    (tmp_path / 'config.py').write_text(CONFIG)
    cfg = Config.fromfile('config.py')
    init_default_scope(cfg.default_scope)
    model = build_model(cfg)
    with torch.no_grad():
        # Kernels as well as gates: they start as one and the same.
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    torch.save(dict(state_dict=model.state_dict()), 'model.pth')
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    random = np.random.default_rng(0)
    for i in range(2):
        pixels = random.integers(0, 256, (40, 48, 3), np.uint8)
        cv2.imwrite(str(pictures / f'{i}.png'), pixels)
    return tmp_path
