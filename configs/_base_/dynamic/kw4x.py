# KernelWarehouse, 4x (arXiv:2406.07879).
dynamic_conv_cfg = dict(
    type='KWConv',
    cell_num_ratio=4,
    cell_inplane_ratio=1,
    cell_outplane_ratio=1,
    spatial_partition=True,
    nonlocal_basis_ratio=1,
    reduction=0.0625,
    temperature=1.0,
    descriptor='gap',
)
