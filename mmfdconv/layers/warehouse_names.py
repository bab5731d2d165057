"""Which layers share cells in backbones that KernelWarehouse's paper has not.

After the manner of the paper's: the layers of a stage share one warehouse,
depthwise ones another.
"""

from typing import Dict

_STAGES = 9  # more than any of these backbones have
_FFN_CONV = r'layers\.(\d)\.1\.(\d+)\.ffn\.layers\.'
_CSP_BLOCK = r'stage(\d)\.\d+\.blocks\.(\d+)\.conv([12])\.'
_CSP_NET = {
    r'stages\.(\d)\.blocks\.(\d+)\.conv(\d)(\.conv)?': (
        r'stage\1_layer\2_conv\3'
    ),
}
_UNIT = r'layers\.(\d)\.(\d+)\.'


def _by_blocks(block: str, depthwise: str, pointwise: str) -> Dict[str, str]:
    """Name warehouses as KernelWarehouse's authors do in MobileNetV2.

    The first block of a stage, which expands the width of the one before,
    belongs to that one's warehouses.

    Args:
        block: Regular expression of a block's name, its number of a stage
            and of a block in the stage left out as ``{}``.
        depthwise: What follows it in names of depthwise layers.
        pointwise: Likewise, of those that mix channels.
    """
    kinds = {depthwise: 'dwconv', pointwise: 'pwconv'}
    names = {
        block.format(stage, 0) + layer: f'stage{stage - 1}_layernext_{kind}'
        for stage in range(1, _STAGES)
        for layer, kind in kinds.items()
    }
    for layer, kind in kinds.items():
        number = block.format(r'(\d+)', r'(\d+)')
        names[number + layer] = rf'stage\1_layer\2_{kind}'
    return names


#: Regular expression -> name, by the class of the backbone. In a U-Net a
#: level, on both sides of the U, is a stage. MobileNetV3's and VGG's names do
#: not say where a stage ends: their layers share by their widths alone.
WAREHOUSE_NAMES = {
    'UNet': {
        r'encoder\.(\d+)\.\d+\.convs\.(\d+)\.conv': r'stage\1_layerenc_conv\2',
        r'decoder\.(\d+)\.conv_block\.convs\.(\d+)\.conv': (
            r'stage\1_layerdec_conv\2'
        ),
    },
    'HRNet': {
        r'layer1\.(\d+)\.conv(\d)': r'stage1_layer\1_conv\2',
        r'stage(\d)\.(\d+)\.branches\.(\d)\.(\d+)\.conv(\d)': (
            r'stage\1branch\3_layer\2x\4_conv\5'
        ),
    },
    'SwinTransformer': {
        r'stages\.(\d)\.blocks\.(\d+)\.ffn\..*': r'stage\1_layer\2_conv',
    },
    'VisionTransformer': {
        r'layers\.(\d+)\.(ffn|mlp)\..*': r'stage0_layer\1_conv',
    },
    'MixVisionTransformer': {
        _FFN_CONV + r'[04]': r'stage\1_layer\2_pwconv',
        _FFN_CONV + r'1': r'stage\1_layer\2_dwconv',
    },
    'MSCAN': {
        r'block(\d)\.(\d+)\.mlp\.fc[12]': r'stage\1_layer\2_pwconv',
        r'block(\d)\.(\d+)\.mlp\.dwconv': r'stage\1_layer\2_dwconv',
    },
    'PCPVT': {
        r'(layers|stages)\.(\d)\.(\d+)\.ffn\..*': r'stage\2_layer\3_conv',
    },
    'MobileNetV3': {
        r'layer(\d+)\.depthwise_conv\.conv': r'stage0_layer\1_dwconv',
        r'layer(\d+)\.(expand|linear)_conv\.conv': r'stage0_layer\1_pwconv',
        r'layer(\d+)\.conv': r'stage0_layer\1_pwconv',
    },
    'VGG': {r'features\.(\d+)(\.conv)?': r'stage0_layer\1_conv'},
    'DenseNet': {
        r'stages\.(\d)\.block\.(\d+)\.conv([12])': (r'stage\1_layer\2_conv\3'),
    },
    'ShuffleNetV1': {
        _UNIT + r'g_conv_1x1_\w+\.conv': r'stage\1_layer\2_pwconv',
        _UNIT + r'depthwise\w+\.conv': r'stage\1_layer\2_dwconv',
    },
    'ShuffleNetV2': {
        _UNIT + r'branch(1\.0|2\.1)\.conv': r'stage\1_layer\2_dwconv',
        _UNIT + r'branch\d\.\d\.conv': r'stage\1_layer\2_pwconv',
        r'layers\.(\d)\.conv': r'stage\1_layerlast_pwconv',
    },
    'Darknet': {
        r'conv_res_block(\d)\.res(\d+)\.conv([12])\.conv': (
            r'stage\1_layer\2_conv\3'
        ),
    },
    'CSPDarknet': {
        _CSP_BLOCK + r'conv': r'stage\1_layer\2_conv\3',
        _CSP_BLOCK + r'pointwise_conv\.conv': r'stage\1_layer\2_pwconv\3',
        _CSP_BLOCK + r'depthwise_conv\.conv': r'stage\1_layer\2_dwconv',
    },
    'RepVGG': {
        r'stage_(\d)\.(\d+)\.branch_reparam': r'stage\1_layer\2_conv',
    },
    'MobileOne': {
        r'stage(\d)\.(\d+)\.branch_reparam': r'stage\1_layer\2_conv',
    },
    'EfficientNet': _by_blocks(
        r'layers\.{}\.{}\.',
        depthwise=r'depthwise_conv\.conv',
        pointwise=r'((expand|linear)_conv|conv[12]?)\.conv',
    ),
    'TIMMBackbone': _by_blocks(  # its EfficientNets and MobileNets
        r'timm_model\.blocks[._]{}\.{}\.conv_',
        depthwise='dw',
        pointwise='(pwl?|exp)',
    ),
}
for _name in ('SwinTransformerV2', 'SimMIMSwinTransformer'):
    WAREHOUSE_NAMES[_name] = WAREHOUSE_NAMES['SwinTransformer']
WAREHOUSE_NAMES['SVT'] = WAREHOUSE_NAMES['PCPVT']
WAREHOUSE_NAMES['EfficientNetV2'] = WAREHOUSE_NAMES['EfficientNet']
WAREHOUSE_NAMES['SSDVGG'] = WAREHOUSE_NAMES['VGG']
WAREHOUSE_NAMES['CSPNeXt'] = WAREHOUSE_NAMES['CSPDarknet']
for _name in ('CSPDarkNet', 'CSPResNet', 'CSPResNeXt'):
    WAREHOUSE_NAMES[_name] = _CSP_NET
for _name in (
    'BEiT',
    'BEiTPretrainViT',
    'BEiTViT',
    'CAEPretrainViT',
    'DeiT3',
    'DistilledVisionTransformer',
    'MAE',
    'MAEViT',
    'MFFViT',
    'MILANViT',
    'MaskFeatViT',
    'MoCoV3ViT',
    'RevVisionTransformer',
    'ViTEVA02',
    'ViTSAM',
):
    WAREHOUSE_NAMES[_name] = WAREHOUSE_NAMES['VisionTransformer']
for _name in ('PyramidVisionTransformer', 'PyramidVisionTransformerV2'):
    WAREHOUSE_NAMES[_name] = WAREHOUSE_NAMES['MixVisionTransformer']
