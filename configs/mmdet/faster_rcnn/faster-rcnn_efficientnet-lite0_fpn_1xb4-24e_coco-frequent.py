# Mask R-CNN's recipe, without the masks.
_base_ = [
    '../mask_rcnn/mask-rcnn_efficientnet-lite0_fpn_1xb4-24e_coco-frequent.py'
]

model = dict(
    type='FasterRCNN',
    data_preprocessor=dict(pad_mask=False),
    roi_head=dict(mask_roi_extractor=None, mask_head=None),
    # as in mmdet's own Faster R-CNN
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=False))),
)

boxes = dict(type='LoadAnnotations', with_bbox=True)
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[1] = test_pipeline[2] = boxes
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
