"""Load, build and feed any experiment, as the runner of its toolbox does."""

import copy
import functools
import importlib
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from mmfdconv.convert import config_path, with_dynamic_convolutions
from mmfdconv.datasets import make_shapes

from .data import make_classified, make_segmented
from .small import (
    SEG_SIZE,
    small_mmdet,
    small_mmpretrain,
    small_mmseg,
    stock_backbone,
)

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TOOLBOXES = ('mmdet', 'mmpretrain', 'mmseg')
FILES = sorted(
    path.relative_to(CONFIGS).as_posix()
    for toolbox in TOOLBOXES
    for path in (CONFIGS / toolbox).glob('*/*.py')
)
IMAGENET = 'mmpretrain::resnet/{}_8xb32_in1k.py --conv {}'
DEEPLAB = (
    'mmseg::deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_'
    'cityscapes-512x1024.py --conv {}'
)
UNET = 'mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py --conv {}'
MOBILE = (
    'mmfdconv::mmdet/mask_rcnn/'
    'mask-rcnn_mobilenetv2_fpn_amp-ms-crop-adamw-1x_coco.py --conv {}'
)
SWIN = 'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py --conv fdconv'
CONVNEXT = (
    'mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_'
    'ade20k-512x512.py --conv fdconv'
)
CONVNEXT_DETECTOR = (
    'mmfdconv::mmdet/convnext/'
    'mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-1x_coco.py --conv fdconv'
)
#: Experiments that are a word on a command line: those of configs/README.md,
#: every backbone with FDConv, and every method on ones that no file has.
WORDS = (
    IMAGENET.format('resnet18', 'fdconv'),
    IMAGENET.format('resnet18', 'dcd'),
    IMAGENET.format('resnet50', 'dyconv'),
    IMAGENET.format('resnet50', 'odconv'),
    DEEPLAB.format('condconv'),
    DEEPLAB.format('fadconv'),
    DEEPLAB.format('kw1x'),
    UNET.format('fdconv'),
    UNET.format('fodconv'),
    UNET.format('fkw1x'),
    MOBILE.format('odconv'),
    MOBILE.format('kw4x'),
    SWIN,
    CONVNEXT,
    CONVNEXT_DETECTOR,
    'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_'
    '8xb2-160k_ade20k-512x512.py --conv fdconv',
    'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py '
    '--conv fdconv',
)
EXPERIMENTS = (*FILES, *WORDS)
_SHRINK = dict(
    mmdet=small_mmdet, mmpretrain=small_mmpretrain, mmseg=small_mmseg
)
_SWIN_KEYS = (  # mmdet's names and those of Swin's authors
    ('stages.', 'layers.'),
    ('attn.w_msa.', 'attn.'),
    ('ffn.layers.0.0.', 'mlp.fc1.'),
    ('ffn.layers.1.', 'mlp.fc2.'),
    ('patch_embed.projection', 'patch_embed.proj'),
)


def scope_of(name):
    """The toolbox of an experiment; skip the test where it is missing."""
    name = name.partition('mmfdconv::')[2] or name
    scope = re.split('/|::', name)[0]
    pytest.importorskip(scope)
    init_default_scope(scope)
    return scope


def registry_of(scope):
    """Module with the registries of a toolbox."""
    importlib.import_module(f'{scope}.models')
    return importlib.import_module(f'{scope}.registry')


def read(name):
    """The experiment as it is."""
    scope = scope_of(name)
    cfg = copy.deepcopy(_read(name))
    assert cfg.default_scope == scope
    return cfg


@functools.lru_cache(maxsize=None)
def _read(name):
    if name in FILES:
        return Config.fromfile(CONFIGS / name)
    config, method = name.split(' --conv ')
    cfg = Config.fromfile(config_path(config))
    return with_dynamic_convolutions(cfg, method)


class Workplace:
    """Where small experiments find their data and checkpoints.

    Args:
        folder: Empty; made things are kept in it.
    """

    def __init__(self, folder):
        self.folder = folder
        self._checkpoints = {}

    def load(self, name):
        """A small form of the experiment; backbones start from a file."""
        cfg = read(name)
        _SHRINK[scope_of(name)](cfg, name, self._data(cfg))
        self._start_from_file(cfg, name)
        if cfg.optim_wrapper.get('type') == 'AmpOptimWrapper':  # needs a GPU
            cfg.optim_wrapper.type = 'AutoAmpOptimWrapper'
        return cfg

    def _data(self, cfg):
        kind = cfg.train_dataloader.dataset.type
        root = self.folder / kind
        if not root.exists():
            if cfg.default_scope == 'mmdet':
                make_shapes(root, num_train=2, num_val=1, image_size=96)
            elif cfg.default_scope == 'mmseg':
                make_segmented(root, kind, *SEG_SIZE)
            else:
                make_classified(root, 80)
        return root

    def _start_from_file(self, cfg, name):
        """Put a local checkpoint in the place of the one on the network."""
        backbone, stock = cfg.model.backbone, stock_backbone(cfg)
        if cfg.model.get('pretrained') is not None:
            assert 'init_cfg' not in backbone and 'init_cfg' not in stock
            cfg.model.pretrained = self.checkpoint(cfg.default_scope, stock)
            return
        holder = backbone if 'init_cfg' in backbone else stock
        if 'init_cfg' not in holder:
            # only these are said to be trained from scratch
            scratch = 'shapes', 'mmpretrain::', 'unet/', 'mobilenetv2'
            assert any(word in name for word in scratch), name
            if 'mobilenetv2' not in name:
                return
            holder.init_cfg = dict(type='Pretrained')
        assert holder.init_cfg.type == 'Pretrained'
        holder.init_cfg.checkpoint = self.checkpoint(
            cfg.default_scope, stock, holder.init_cfg.get('prefix', '')
        )

    def checkpoint(self, scope, stock, prefix=''):
        """Random weights of a stock backbone, as its checkpoints look."""
        stock = dict(stock, init_cfg=None)
        key = str((stock, prefix))
        if key not in self._checkpoints:
            path = self.folder / f'{len(self._checkpoints)}.pth'
            with torch.random.fork_rng():
                torch.manual_seed(0)
                state = _random_state(scope, stock)
            state = {f'{prefix}{k}': v for k, v in state.items()}
            torch.save(dict(state_dict=state), path)
            self._checkpoints[key] = str(path)
        return self._checkpoints[key]


def _random_state(scope, stock):
    model = registry_of(scope).MODELS.build(stock)
    model.init_weights()
    if 'ResNet' in stock['type']:
        # Its batch norms have seen no data; without this the features
        # would double with every block.
        last = 'bn3' if stock['depth'] >= 50 else 'bn2'
        for name, module in model.named_modules():
            if name.endswith(f'.{last}'):
                module.weight.data.fill_(0.2)
    state = model.state_dict()
    if stock['type'] == 'ResNet' and scope == 'mmdet':
        # torchvision's, which have the same names and a classifier
        state['fc.weight'] = torch.zeros(1000, model.feat_dim)
    if stock.get('convert_weights'):
        state = _as_by_swins_authors(state)
    return state


def _as_by_swins_authors(state):
    """Undo what ``convert_weights`` of mmdet's Swin Transformer does."""
    out = {}
    for key, value in state.items():
        if '.downsample.' in key:  # they order the four pixels otherwise
            order = (len(value), -1, 4) if value.dim() == 2 else (-1, 4)
            value = value.reshape(order).transpose(-1, -2)
            value = value[..., [0, 2, 1, 3], :].flatten(-2)
        for ours, theirs in _SWIN_KEYS:
            key = key.replace(ours, theirs, 1)
        out[key] = value
    return out


def build(cfg):
    """The model with its initial weights."""
    model = registry_of(cfg.default_scope).MODELS.build(cfg.model)
    model.init_weights()
    return model


def samples(cfg, split, number):
    """The first samples of a split, through its pipeline, as a batch."""
    datasets = registry_of(cfg.default_scope).DATASETS
    importlib.import_module(f'{cfg.default_scope}.datasets')
    dataset = datasets.build(cfg[f'{split}_dataloader'].dataset)
    return pseudo_collate([dataset[i] for i in range(number)])
