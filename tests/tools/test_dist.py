"""Two processes on CPUs, through gloo, as dist_train.sh starts them."""

import pytest
import torch

pytest.importorskip('mmdet')

from ..ports import free_port
from .experiments import write_mmdet

HOOK = """
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class RankDump(Hook):
    def after_train(self, runner):
        module = runner.model.module
        torch.save(
            dict(
                state=module.state_dict(),
                live=[k for k, p in module.named_parameters()
                      if p.requires_grad],
                samples=list(runner.train_dataloader.batch_sampler.sampler)),
            f'rank{get_rank()}.pth')
"""


@pytest.mark.slow
def test_two_processes_keep_the_same_parameters(tool, tmp_path):
    config = write_mmdet(tmp_path)
    (tmp_path / 'rank_dump.py').write_text(HOOK)
    with config.open('a') as file:
        file.write(
            "custom_imports = dict(imports=['mmfdconv', 'rank_dump'])\n"
            "custom_hooks = [dict(type='RankDump')]\n"
        )
    result = tool('dist_train.sh', config, '2', PORT=free_port())
    assert result.returncode == 0, result.stdout[-4000:]
    assert 'gloo instead of nccl' in result.stdout

    first, second = (
        torch.load(tmp_path / f'rank{rank}.pth', weights_only=False)
        for rank in (0, 1)
    )
    assert first['samples'] != second['samples']
    assert first['live'] == second['live']
    for name, value in first['state'].items():
        if name in first['live']:
            assert value.equal(second['state'][name]), name

    # the weights of the frozen stage stand still, its routers move
    start = torch.load(
        tmp_path / 'work_dirs' / 'mmdet_tiny' / 'epoch_1.pth',
        weights_only=False,
    )
    assert start['state_dict'].keys() == first['state'].keys()
    frozen = 'backbone.layer1.0.conv1.dft_weight'
    assert frozen in first['state'] and frozen not in first['live']
    router = 'backbone.layer1.0.conv1.KSM_Global.fc.weight'
    assert router in first['live']

    result = tool(
        'dist_test.sh',
        config,
        tmp_path / 'work_dirs' / 'mmdet_tiny' / 'epoch_1.pth',
        '2',
        PORT=free_port(),
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert 'coco/segm_mAP' in result.stdout
