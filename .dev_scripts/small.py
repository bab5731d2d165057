"""An experiment of seconds: what run_pages.py gives pages for CONFIG."""

_base_ = (
    'mmfdconv::mmseg/cropland/gid/unet_r18-quarter_1xb24-50e_gid-512x512.py'
)
loading = dict(num_workers=0, persistent_workers=False)
model = dict(data_preprocessor=dict(size=(224, 224)))
train_dataloader = dict(batch_size=2, dataset=dict(indices=4), **loading)
val_dataloader = dict(dataset=dict(indices=2), **loading)
test_dataloader = dict(dataset=dict(indices=2), **loading)
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(save_best=None))
