"""Small scenes and a small segmentor of mmseg's own parts."""

import numpy as np
import rasterio
import torch
from affine import Affine

from mmfdconv.cropland.scene import Rows

CLASSES = ('background', 'built-up', 'farmland', 'forest', 'meadow', 'water')
PALETTE = (
    (0, 0, 0),
    (255, 0, 0),
    (0, 255, 0),
    (0, 255, 255),
    (255, 255, 0),
    (0, 0, 255),
)
BANDS = ('blue', 'green', 'red', 'nir')
UTM = Affine(4, 0, 500000, 0, -4, 3400000)
# Hectares of its pixels. In the middle of its zone UTM shows lengths 0.9996
# times.
PIXEL = 16e-4 / 0.9996**2
# How far a pixel of the U-Net below sees. Two stages: convolutions of 3x3,
# twice at each of (1, 1/2, 1), and the interpolation between.
SIGHT = 16
# Those that tell classes apart, in the heads of mmseg.
LAST_LAYERS = (
    'conv_seg.weight',
    'fc_seg.weight',
    'cls_embed.weight',
    'mask_embed.4.weight',
)

CONFIG = """
default_scope = 'mmseg'
norm_cfg = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor'),
    backbone=dict(
        type='UNet', in_channels={channels}, base_channels=8, num_stages=2,
        strides=(1, 1), enc_num_convs=(2, 2), dec_num_convs=(2, ),
        downsamples=(True, ), enc_dilations=(1, 1), dec_dilations=(1, ),
        norm_cfg=norm_cfg),
    decode_head=dict(
        type='FCNHead', in_channels=8, channels=8, in_index=1, num_convs=0,
        concat_input=False, num_classes=6, norm_cfg=norm_cfg),
    test_cfg=dict(mode='whole'))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadGeoTIFF', band_names={names}),
    dict(type='NormalizeBands', mean={mean}, std={std}),
    dict(type='PackSegInputs')]))
"""


def write_config(folder, channels=4, level=100.0):
    """Write the U-Net's config; the scene's values are about ``level``."""
    path = folder / 'unet.py'
    path.write_text(
        CONFIG.format(
            mean=[level] * channels,
            std=[level / 2] * channels,
            channels=channels,
            names=BANDS[:channels],
        )
    )
    return path


def write_checkpoint(config, path, classes=CLASSES, seed=0):
    """Write weights that tell classes apart, and the classes' names."""
    from mmseg.apis import init_model

    torch.manual_seed(seed)
    model = init_model(str(config), device='cpu')
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    for name, weight in model.named_parameters():
        if name.endswith(LAST_LAYERS):
            torch.nn.init.normal_(weight)
            # What comes before is positive, and no class shall win by that.
            weight.data -= weight.data.mean(1, keepdim=True)
        elif 'query' in name and name.endswith('.weight'):
            torch.nn.init.normal_(weight, std=100)
    meta = dict(dataset_meta=dict(classes=classes, palette=PALETTE))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


def noise(bands, height, width, dtype='uint8', seed=0):
    """Fields of about 20 pixels with some noise, shape (bands, H, W)."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(30, 170, (bands, height // 20 + 1, width // 20 + 1))
    fields = coarse.repeat(20, 1).repeat(20, 2)[:, :height, :width]
    return (
        (fields + rng.normal(0, 10, fields.shape)).clip(1, 250).astype(dtype)
    )


def as_rows(values):
    """A window of pixels that all have data, from shape (bands, h, w)."""
    values = np.asarray(values)
    return Rows(
        values, np.zeros(values.shape, bool), np.ones(values.shape[1:], bool)
    )


def write_scene(path, values, crs='EPSG:32650', names=None, **profile):
    """Write a GeoTIFF of shape (bands, H, W)."""
    count, height, width = values.shape
    profile = {'transform': UTM, **profile}
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        width=width,
        height=height,
        count=count,
        dtype=values.dtype,
        crs=crs,
        **profile,
    ) as file:
        file.write(values)
        if names:
            file.descriptions = names
    return path
