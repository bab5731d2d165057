# Data, schedule and optimizer are Mask2Former's, as in the published recipe.
_base_ = ['mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py']
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)

model = dict(
    type='MaskDINO',
    panoptic_head=dict(
        _delete_=True,
        type='MaskDINOHead',
        in_channels=[256, 512, 1024, 2048],
        num_things_classes=80,
        num_stuff_classes=0,
        pixel_decoder=dict(feedforward_channels=2048),
    ),
    panoptic_fusion_head=dict(
        _delete_=True,
        type='MaskDINOFusionHead',
        num_things_classes=80,
        num_stuff_classes=0,
    ),
    train_cfg=dict(_delete_=True),  # the published one
    test_cfg=dict(
        _delete_=True, panoptic_on=False, instance_on=True, max_per_image=100
    ),
)

# Embeddings do not decay. Mask2Former's `level_embed` is `level_encoding`
# here, which decays in the published recipe.
embedding = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'label_embedding': embedding})
)
