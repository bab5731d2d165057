# ODConv with 4 kernels (arXiv:2209.07947).
dynamic_conv_cfg = dict(
    type='ODConv',
    num_experts=4,
    reduction=0.0625,
    temperature=1.0,
    descriptor='gap',
)

# As its authors pretrain it: from nearly equal shares of the kernels to
# learned ones over the first 10 of 100 epochs.
pretraining_temperature = dict(
    type='TemperatureHook', start=30.0, end=1.0, by='share', length=0.1
)
