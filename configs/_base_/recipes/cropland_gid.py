# All of a GID experiment but its model.
_base_ = [
    '../import_mmfdconv.py',
    '../datasets/gid.py',
    '../schedules/cropland_50e.py',
    'mmseg::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mmfdconv'], allow_failed_imports=False)
log_processor = dict(by_epoch=True)
auto_scale_lr = dict(enable=False, base_batch_size=24)
