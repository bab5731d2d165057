# Mask R-CNN's recipe without the masks, for people alone, on small images and
# with small heads: minutes on one CPU thread.
_base_ = [
    '../mask_rcnn/mask-rcnn_efficientnet-lite0_fpn_1xb4-24e_coco-frequent.py'
]

model = dict(
    type='FasterRCNN',
    data_preprocessor=dict(pad_mask=False),
    neck=dict(out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=1),
        mask_roi_extractor=None,
        mask_head=None,
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=300),
        rcnn=dict(
            # as in mmdet's own Faster R-CNN
            assigner=dict(match_low_quality=False),
            sampler=dict(num=64),
        ),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=300)),
)

boxes = dict(type='LoadAnnotations', with_bbox=True)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[1] = test_pipeline[2] = boxes
train_pipeline[2]['scale'] = test_pipeline[1]['scale'] = (320, 240)
metainfo = dict(classes=('person',))
train_dataloader = dict(
    dataset=dict(metainfo=metainfo, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=8, val_interval=4)
param_scheduler = _base_.param_scheduler
param_scheduler[1]['end'] = 8
