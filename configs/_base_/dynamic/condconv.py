# CondConv with 8 experts (arXiv:1904.04971).
dynamic_conv_cfg = dict(
    type='CondConv',
    num_experts=8,
    descriptor='gap',
)
