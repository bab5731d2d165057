"""Tiny experiments, one per toolbox, each with FDConv in its ResNet.

``write_*`` makes the data and the config in a folder and returns the config's
path.
"""

import json

import numpy as np

from mmfdconv.datasets import SHAPES_CLASSES, make_shapes

SIZE = 64

_MMDET = """
_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py']
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='DynamicBackbone',
        backbone=dict(
            type='ResNet', depth=18, base_channels=32, frozen_stages=1,
            norm_eval=True, norm_cfg=dict(type='BN', requires_grad=True)),
        conv_cfg=dict(type='FDConv', kernel_num=4)),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32, fc_out_channels=32, num_classes=6),
        mask_roi_extractor=dict(out_channels=32),
        mask_head=dict(in_channels=32, conv_out_channels=32, num_classes=6)),
    train_cfg=dict(
        rpn_proposal=dict(max_per_img=50), rcnn=dict(sampler=dict(num=16))),
    test_cfg=dict(
        rpn=dict(max_per_img=50), rcnn=dict(score_thr=0.0, max_per_img=5)))

metainfo = dict(classes={classes})
load = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=({size}, {size}), keep_ratio=True)]
train_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root={root!r}, ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'), metainfo=metainfo,
        pipeline=[*load, dict(type='PackDetInputs')]))
val_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root={root!r}, ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'), metainfo=metainfo,
        pipeline=[*load, dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                       'scale_factor'))]))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file={root!r} + '/annotations/instances_val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
param_scheduler = []
default_hooks = dict(logger=dict(interval=1))
"""

_MMSEG = """
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)
default_scope = 'mmseg'

norm = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', bgr_to_rgb=True, size=({size}, {size}),
        pad_val=0, seg_pad_val=255),
    backbone=dict(
        type='DynamicBackbone',
        backbone=dict(
            type='ResNet', depth=18, base_channels=32, norm_cfg=norm),
        conv_cfg=dict(type='FDConv', kernel_num=4)),
    decode_head=dict(
        type='FCNHead', in_channels=256, in_index=3, channels=16,
        num_classes=2, norm_cfg=norm),
    test_cfg=dict(mode='whole'))
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='BaseSegDataset', data_root={root!r},
        data_prefix=dict(img_path='img', seg_map_path='ann'),
        metainfo=dict(
            classes=('a', 'b'), palette=[[0, 0, 0], [255, 0, 0]]),
        pipeline=pipeline))
val_dataloader = dict(
    batch_size=1, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=train_dataloader['dataset'])
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
    visualization=dict(type='SegVisualizationHook'))
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(by_epoch=False)
"""

_MMPRETRAIN = """
_base_ = ['mmpretrain::_base_/models/resnet18.py',
          'mmpretrain::_base_/default_runtime.py']
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='DynamicBackbone',
        backbone=dict(
            type='ResNet', depth=18, base_channels=24, stem_channels=24),
        conv_cfg=dict(type='FDConv', kernel_num=4)),
    head=dict(in_channels=192, num_classes=2, topk=(1, )))
data_preprocessor = dict(num_classes=2)
pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
train_dataloader = dict(
    batch_size=2, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CustomDataset', data_root={root!r}, data_prefix='',
        pipeline=pipeline))
val_dataloader = dict(
    train_dataloader, sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, ))
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=1)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(interval=1))
"""


def write_mmdet(folder):
    """Mask R-CNN on shapes: 2 images to train on, 2 to evaluate on."""
    root = make_shapes(
        folder / 'shapes', num_train=2, num_val=2, image_size=SIZE
    )
    return _write(folder / 'mmdet_tiny.py', _MMDET, root)


def write_mmseg(folder):
    """FCN on noise with two classes: 2 images."""
    rng = np.random.default_rng(0)
    for index in range(2):
        image, mask = _halves(rng)
        _write_png(folder / 'seg' / 'img' / f'{index}.jpg', image)
        _write_png(folder / 'seg' / 'ann' / f'{index}.png', mask)
    return _write(folder / 'mmseg_tiny.py', _MMSEG, folder / 'seg')


def write_mmpretrain(folder):
    """A classifier on noise in two folders: 4 images."""
    rng = np.random.default_rng(0)
    for index in range(4):
        name = f'{"ab"[index % 2]}/{index}.jpg'
        _write_png(folder / 'cls' / name, _halves(rng)[0])
    return _write(folder / 'mmpretrain_tiny.py', _MMPRETRAIN, folder / 'cls')


WRITERS = dict(
    mmdet=write_mmdet, mmseg=write_mmseg, mmpretrain=write_mmpretrain
)


def losses(work_dir):
    """What the logger wrote down of the losses, iteration by iteration."""
    values = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            values += [v for k, v in json.loads(line).items() if k == 'loss']
    return values


def _write(path, text, root):
    path.write_text(
        text.format(root=str(root), classes=SHAPES_CLASSES, size=SIZE)
    )
    return path


def _halves(rng):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:, SIZE // 2 :] = 1
    noise = rng.integers(0, 128, (SIZE, SIZE, 3), dtype=np.uint8)
    return noise + 120 * mask[..., None], mask


def _write_png(path, image):
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
