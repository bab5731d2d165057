# DY-Conv with 4 kernels (arXiv:1912.03458).
dynamic_conv_cfg = dict(
    type='DYConv',
    num_experts=4,
    reduction=0.25,
    temperature=1.0,
    descriptor='gap',
)
