_base_ = ['mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py']

# MobileNetV2 as ODConv's and KernelWarehouse's authors put it under an FPN.
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 7),
        frozen_stages=1,
        norm_eval=True,
    ),
    neck=dict(in_channels=[24, 32, 96, 1280]),
)
