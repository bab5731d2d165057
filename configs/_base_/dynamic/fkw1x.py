# FKW: KernelWarehouse 1x that sees FADConv's FAT (arXiv:2504.03510, Table 3).
dynamic_conv_cfg = dict(
    type='KWConv',
    cell_num_ratio=1,
    cell_inplane_ratio=1,
    cell_outplane_ratio=1,
    spatial_partition=True,
    nonlocal_basis_ratio=1,
    reduction=0.0625,
    temperature=1.0,
    descriptor=dict(type='fat', pool_size=16, low_freq=4),
)
