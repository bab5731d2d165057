# KernelWarehouse, 4x (arXiv:2406.07879).
_base_ = ['./kw1x.py']
dynamic_conv_cfg = dict(cell_num_ratio=4)
