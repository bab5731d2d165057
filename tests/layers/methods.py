"""Every method and the variants of it that the contract is tested on."""

from mmfdconv.layers import (
    CondConv,
    DCDConv,
    DYConv,
    FADConv,
    FDConv,
    ODConv,
    ParameterNetConv,
)

SMALL_FAT = dict(type='fat', pool_size=6, low_freq=2)

METHODS = {
    'CondConv': (CondConv, dict()),
    'CondConv, fat': (CondConv, dict(num_experts=3, descriptor=SMALL_FAT)),
    'DCDConv': (DCDConv, dict()),
    'DCDConv, spatial': (DCDConv, dict(squeeze_size=2)),
    'DYConv': (DYConv, dict()),
    'DYConv, fat': (DYConv, dict(temperature=30.0, descriptor='fat')),
    'FADConv': (FADConv, dict()),
    'FADConv, corners': (
        FADConv,
        dict(num_experts=2, pool_size=6, low_freq=2, high_freq=1),
    ),
    'FDConv': (FDConv, dict()),
    'FDConv, fat': (FDConv, dict(kernel_num=2, descriptor=SMALL_FAT)),
    'ODConv': (ODConv, dict()),
    'ODConv, one expert': (ODConv, dict(num_experts=1)),
    'ODConv, fat': (ODConv, dict(temperature=4.0, descriptor='fat')),
    'ParameterNetConv': (ParameterNetConv, dict()),
}

GEOMETRIES = {
    'k3': dict(in_channels=4, out_channels=6, kernel_size=3, padding=1),
    'k1 stride 2': dict(
        in_channels=4, out_channels=6, kernel_size=1, stride=2, bias=False
    ),
    'k3x2': dict(
        in_channels=4,
        out_channels=6,
        kernel_size=(3, 2),
        stride=(2, 1),
        padding=(1, 2),
    ),
    'groups, dilation': dict(
        in_channels=4,
        out_channels=8,
        kernel_size=3,
        dilation=(1, 2),
        groups=2,
        padding='same',
        padding_mode='circular',
    ),
    'depthwise': dict(
        in_channels=6,
        out_channels=6,
        kernel_size=5,
        padding=3,
        groups=6,
        padding_mode='reflect',
    ),
    'depthwise k1': dict(
        in_channels=6, out_channels=12, kernel_size=1, groups=6
    ),
}
