# FKW: KernelWarehouse 1x that sees FADConv's FAT (arXiv:2504.03510, Table 3).
_base_ = ['./kw1x.py']
dynamic_conv_cfg = dict(
    descriptor=dict(_delete_=True, type='fat', pool_size=16, low_freq=4)
)
