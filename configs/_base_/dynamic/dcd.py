# DCD, its pointwise form, for bottlenecks (arXiv:2103.08756).
dynamic_conv_cfg = dict(
    type='DCDConv',
    squeeze_size=1,
)
