# ParameterNet's dynamic convolution with 4 experts (arXiv:2306.14525).
dynamic_conv_cfg = dict(
    type='ParameterNetConv',
    num_experts=4,
    reduction=1.0,
    descriptor='gap',
)
