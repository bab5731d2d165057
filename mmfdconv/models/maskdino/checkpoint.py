"""Names of published Mask DINO checkpoints, and what they are called here.

The published models are detectron2's: a ResNet or Swin of its names, heads
whose shared modules stand in the checkpoint once for every use, and the
weights of classes as a buffer of the loss.
"""

import re
from typing import Dict, Mapping

import torch
from torch import Tensor

#: Where the head stands in a model of each toolbox.
HEADS = dict(mmdet='panoptic_head', mmseg='decode_head')

#: What stands twice (one module under several names), and the loss's buffer.
_DROPPED = re.compile(
    r'predictor\.(decoder\.)?bbox_embed\.|predictor\.decoder\.norm\.'
    r'|criterion\.'
)
_LAYER = r'^(encoder\.layers\.\d+|layers\.\d+)\.'
#: Names within a part, regular expression by regular expression.
_PARTS = {
    'pixel_decoder': (
        (r'^input_proj\.(\d+)\.0\.', r'input_convs.\1.conv.'),
        (r'^input_proj\.(\d+)\.1\.', r'input_convs.\1.gn.'),
        (r'^transformer\.level_embed$', 'level_encoding.weight'),
        (r'^transformer\.encoder\.', 'encoder.'),
        (r'^adapter_1\.norm\.', 'lateral_conv.gn.'),
        (r'^adapter_1\.', 'lateral_conv.conv.'),
        (r'^layer_1\.norm\.', 'output_conv.gn.'),
        (r'^layer_1\.', 'output_conv.conv.'),
        (r'^mask_features\.', 'mask_feature.'),
        (_LAYER + r'norm1\.', r'\1.norms.0.'),
        (_LAYER + r'norm2\.', r'\1.norms.1.'),
    ),
    'predictor': (
        (r'^decoder\.', ''),
        (r'^decoder_norm\.', 'norm.'),
        (r'^_bbox_embed\.', 'bbox_embed.'),
        (r'^class_embed\.', 'cls_embed.'),
        (r'^label_enc\.', 'label_embedding.'),
        (r'^enc_output\.', 'memory_trans_fc.'),
        (r'^enc_output_norm\.', 'memory_trans_norm.'),
        # self-attention comes first here, though its norm is the second
        (_LAYER + r'norm2\.', r'\1.norms.0.'),
        (_LAYER + r'norm1\.', r'\1.norms.1.'),
        (_LAYER + r'norm3\.', r'\1.norms.2.'),
        (_LAYER + r'self_attn\.', r'\1.self_attn.attn.'),
    ),
}
_FEED_FORWARD = (
    (_LAYER + r'linear1\.', r'\1.ffn.layers.0.0.'),
    (_LAYER + r'linear2\.', r'\1.ffn.layers.1.'),
)
_RESNET = (
    (r'^stem\.', ''),
    (r'^res(\d)\.', lambda match: f'layer{int(match[1]) - 1}.'),
    (r'shortcut\.norm\.', 'downsample.1.'),
    (r'shortcut\.', 'downsample.0.'),
    (r'conv(\d)\.norm\.', r'bn\1.'),
)


def convert_part(state: Mapping[str, Tensor], part: str) -> Dict[str, Tensor]:
    """Rename one part of a published model.

    Args:
        state: Its parameters by their names within the part.
        part: ``'pixel_decoder'`` or ``'predictor'``.
    """
    rules = (*_PARTS[part], *_FEED_FORWARD)
    return {
        _rename(name, rules): value
        for name, value in state.items()
        if not _DROPPED.match(f'{part}.{name}')
    }


def convert_maskdino(
    state: Mapping[str, Tensor], head: str = HEADS['mmdet']
) -> Dict[str, Tensor]:
    """Give a published checkpoint the names of the models here.

    Args:
        state: What the checkpoint has under ``'model'``: parameters (and
            buffers) of a model with a ResNet or Swin backbone.
        head: Where the head stands in the model, see ``HEADS``.

    Returns:
        The same values, whole: every name of the model is there but
        ``num_batches_tracked``, which frozen batch norms do not count.

    Raises:
        ValueError: A name that no published Mask DINO has.
    """
    prefixes = {
        'backbone.': '',
        'sem_seg_head.pixel_decoder.': 'pixel_decoder',
        'sem_seg_head.predictor.': 'predictor',
    }
    parts: Dict[str, Dict[str, Tensor]] = {p: {} for p in prefixes}
    for name, value in state.items():
        if _DROPPED.match(name):
            continue
        prefix = next((p for p in prefixes if name.startswith(p)), None)
        if prefix is None:
            raise ValueError(
                f'state has {name!r}, which no published Mask DINO has; it '
                f'must be the part "model" of such a checkpoint'
            )
        parts[prefix][name[len(prefix) :]] = torch.as_tensor(value)
    converted = _convert_backbone(parts.pop('backbone.'))
    for prefix, part in parts.items():
        kind = prefixes[prefix]
        names = {'pixel_decoder': 'pixel_decoder', 'predictor': 'decoder'}
        for name, value in convert_part(part, kind).items():
            converted[f'{head}.{names[kind]}.{name}'] = value
    return converted


def _convert_backbone(state: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    if any(name.startswith('patch_embed.') for name in state):
        from mmdet.models.backbones.swin import swin_converter

        return dict(swin_converter(state))
    return {
        f'backbone.{_rename(name, _RESNET)}': value
        for name, value in state.items()
    }


def _rename(name: str, rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
