# FADConv with 4 kernels, P = 16 (arXiv:2504.03510).
dynamic_conv_cfg = dict(
    type='FADConv',
    num_experts=4,
    pool_size=16,
    low_freq=4,
    high_freq=0,
    reduction=0.0625,
    fusion='net',
)
