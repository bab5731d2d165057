# ODConv with 4 kernels (arXiv:2209.07947).
dynamic_conv_cfg = dict(
    type='ODConv',
    num_experts=4,
    reduction=0.0625,
    temperature=1.0,
    descriptor='gap',
)
