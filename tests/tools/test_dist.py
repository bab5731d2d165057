"""Two processes on CPUs, through gloo."""

import pytest
import torch

pytest.importorskip('mmdet')

from ..processes import free_port
from .experiments import WRITERS

HOOK = """
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class RankDump(Hook):
    def samples(self, runner):
        sampler = runner.train_dataloader.batch_sampler
        if type(sampler).__name__ == 'BatchSampler':
            sampler = sampler.sampler
        if type(sampler).__name__ == 'InfiniteSampler':
            return None
        return list(sampler)

    def after_train(self, runner):
        module = runner.model.module
        torch.save(
            dict(
                state=module.state_dict(),
                live=[k for k, p in module.named_parameters()
                      if p.requires_grad],
                sync_bn=[f'{k}.running_var' for k, m in module.named_modules()
                         if type(m).__name__ == 'CpuSyncBatchNorm'],
                samples=self.samples(runner)),
            f'rank{get_rank()}.pth')
"""

# the norm of mmseg's stock configs
SYNC_BN = """
model['backbone']['backbone']['norm_cfg'] = dict(
    type='SyncBN', requires_grad=True)
"""

CASES = dict(
    mmdet=('', 'epoch_1', 'coco/segm_mAP'),
    mmseg=(SYNC_BN, 'iter_2', 'mIoU'),
    mmpretrain=(SYNC_BN, 'epoch_1', 'accuracy/top1'),
)


@pytest.fixture
def both(start):
    """Run a tool as two ranks; return what the first one says."""

    def both(*args):
        world = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1')
        world['MASTER_PORT'] = free_port()
        words = (*args, '--launcher', 'pytorch')
        ranks = [
            start(*words, RANK=rank, LOCAL_RANK=rank, **world) for rank in '01'
        ]
        for rank in ranks:
            assert rank.end().returncode == 0, rank.stdout[-4000:]
        return ranks[0].stdout

    return both


@pytest.mark.slow
def test_the_script_starts_them(tool, tmp_path):
    pytest.importorskip('mmpretrain')
    config = WRITERS['mmpretrain'](tmp_path)
    result = tool('dist_train.sh', config, '2', PORT=free_port())
    assert result.returncode == 0, result.stdout[-4000:]
    assert 'gloo instead of nccl' in result.stdout
    assert (tmp_path / 'work_dirs/mmpretrain_tiny/epoch_1.pth').is_file()


@pytest.mark.slow
@pytest.mark.parametrize('toolbox', CASES)
def test_two_processes_keep_the_same_parameters(both, tmp_path, toolbox):
    pytest.importorskip(toolbox)
    change, checkpoint, metric = CASES[toolbox]
    config = WRITERS[toolbox](tmp_path)
    (tmp_path / 'rank_dump.py').write_text(HOOK)
    with config.open('a') as file:
        file.write(
            f'{change}\n'
            "custom_imports = dict(imports=['mmfdconv', 'rank_dump'])\n"
            "custom_hooks = [dict(type='RankDump')]\n"
        )
    both('train.py', config)

    first, second = (
        torch.load(tmp_path / f'rank{rank}.pth', weights_only=False)
        for rank in (0, 1)
    )
    assert first['live'] == second['live']
    for name in [*first['live'], *first['sync_bn']]:
        value = first['state'][name]
        assert value.equal(second['state'][name]), name
    assert len(first['sync_bn']) >= 20 if change else not first['sync_bn']
    if toolbox != 'mmseg':  # whose sampler never ends
        assert first['samples'] != second['samples']

    saved = tmp_path / 'work_dirs' / f'{toolbox}_tiny' / f'{checkpoint}.pth'
    start = torch.load(saved, weights_only=False)
    assert start['state_dict'].keys() == first['state'].keys()
    router = 'backbone.layer1.0.conv1.KSM_Global.fc.weight'
    assert router in first['live']
    if toolbox == 'mmdet':
        # the weights of the frozen stage stand still, its routers move
        frozen = 'backbone.layer1.0.conv1.dft_weight'
        assert frozen in first['state'] and frozen not in first['live']

    assert metric in both('test.py', config, saved)
