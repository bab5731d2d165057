# KernelWarehouse, 1x (arXiv:2406.07879).
dynamic_conv_cfg = dict(
    type='KWConv',
    cell_num_ratio=1,
    cell_inplane_ratio=1,
    cell_outplane_ratio=1,
    spatial_partition=True,
    nonlocal_basis_ratio=1,
    reduction=0.0625,
    temperature=1.0,
    start='assigned',  # ours, for stock weights; the authors' is 'random'
    descriptor='gap',
)

# From the assigned cells, which hold the stock kernels, to learned mixtures:
# while they are assigned the router gets no gradient. A tenth of the training
# is a choice of this project; the authors pretrain with 20 of 100 epochs.
dynamic_temperature = dict(
    type='TemperatureHook', start=1.0, end=0.0, by='share', length=0.1
)
pretraining_temperature = dict(
    type='TemperatureHook', start=1.0, end=0.0, by='share', length=0.2
)
