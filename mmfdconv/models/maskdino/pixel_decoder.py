"""Mask DINO's pixel decoder: a deformable encoder and the mask features.

Paper: arXiv:2206.02777, Sec. 3.3 ("segmentation branch") and Fig. 2: a pixel
embedding map, made of the backbone's 1/4 map and the encoder's 1/8 map.
"""

from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.layers import (
    DeformableDetrTransformerEncoder,
    SinePositionalEncoding,
)
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...layers.checks import check_choice


def flatten_levels(maps: Sequence[Tensor]) -> Tuple[Tensor, Tensor, Tensor]:
    """Lay the maps of all levels one behind the other.

    Args:
        maps: One map per level, ``(B, C, H_l, W_l)``.

    Returns:
        Tokens ``(B, N, C)``, the levels' ``(H_l, W_l)`` as ``(L, 2)`` and the
        index ``(L,)`` of each level's first token.
    """
    tokens = torch.cat([x.flatten(2) for x in maps], 2).transpose(1, 2)
    shapes = torch.tensor([x.shape[-2:] for x in maps], device=tokens.device)
    ends = shapes.prod(1).cumsum(0)
    return tokens, shapes, torch.cat([ends.new_zeros(1), ends[:-1]])


class DeformableEncoder(DeformableDetrTransformerEncoder):
    """mmdet's encoder, whose layers can be computed anew backwards.

    mmdet's ``num_cp`` asks for fairscale; PyTorch's own checkpointing does.
    """

    def __init__(self, with_cp: bool, **kwargs) -> None:
        super().__init__(**kwargs)
        self.with_cp = with_cp

    def forward(
        self,
        query: Tensor,
        spatial_shapes: Tensor,
        valid_ratios: Tensor,
        **kwargs,
    ) -> Tensor:
        """Encode tokens ``(B, N, C)``; see the base class."""
        kwargs.update(
            spatial_shapes=spatial_shapes,
            reference_points=self.get_encoder_reference_points(
                spatial_shapes, valid_ratios, query.device
            ),
        )
        for layer in self.layers:
            if self.with_cp and torch.is_grad_enabled():
                query = checkpoint(layer, query, use_reentrant=False, **kwargs)
            else:
                query = layer(query, **kwargs)
        return query


class MaskDINOPixelDecoder(BaseModule):
    """Encodes the backbone's maps together and makes the mask features.

    As in the published code: extra levels come from the raw backbone map;
    padding counts as image unless masks are given; there is one step of
    top-down fusion, whatever the levels; all of it runs in float32.

    Args:
        in_channels: Widths of the backbone's maps, fine to coarse.
        feat_channels: Width of the encoder, a multiple of 32.
        out_channels: Width of the mask features.
        encoder_levels: Which of the maps enter the encoder, by index.
        num_extra_levels: How many coarser levels (each of half the size) are
            made of the coarsest map, 0 to 2.
        feature_order: ``'low2high'`` (stride) goes from fine to coarse,
            ``'high2low'`` from coarse to fine. It says what the indices of
            ``input_convs`` and of the level embeddings mean, and, since the
            decoder reverses it, which level gets the largest box prior.
        num_layers: Layers of the encoder.
        num_heads: Heads of its attention.
        feedforward_channels: Hidden width of its feed-forward networks.
        num_points: Sampling points per head and level.
        dropout: Of its attention and feed-forward networks.
        with_cp: Compute the encoder's layers anew in the backward pass; saves
            memory, costs time.

    Raises:
        ValueError: An argument that no such decoder can have.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        feat_channels: int = 256,
        out_channels: int = 256,
        encoder_levels: Sequence[int] = (1, 2, 3),
        num_extra_levels: int = 1,
        feature_order: str = 'low2high',
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 1024,
        num_points: int = 4,
        dropout: float = 0.0,
        with_cp: bool = False,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        check_choice('feature_order', feature_order, ('low2high', 'high2low'))
        if num_extra_levels not in (0, 1, 2):
            raise ValueError(
                f'num_extra_levels must be 0, 1 or 2, got {num_extra_levels}'
            )
        if num_extra_levels == 2 and feature_order == 'low2high':
            raise ValueError(
                "num_extra_levels must be 0 or 1 with feature_order='low2high'"
                ', got 2, for which there is no published model'
            )
        if feat_channels % 32:
            raise ValueError(
                'feat_channels must be a multiple of 32, the groups of its '
                f'norms, got {feat_channels}'
            )
        levels = sorted(encoder_levels)
        if levels != sorted(set(levels) & set(range(len(in_channels)))):
            raise ValueError(
                'encoder_levels must be different indices of in_channels '
                f'({len(in_channels)} maps), got {tuple(encoder_levels)}'
            )
        self.low2high = feature_order == 'low2high'
        self.encoder_levels = levels if self.low2high else levels[::-1]
        self.num_levels = len(levels) + num_extra_levels
        widths = [in_channels[i] for i in self.encoder_levels]

        def conv(width: int, kernel: int, bias: bool, **kwargs) -> ConvModule:
            return ConvModule(
                width,
                feat_channels,
                kernel,
                padding=kernel // 2,
                bias=bias,
                norm_cfg=dict(type='GN', num_groups=32),
                **kwargs,
            )

        strided = [max(widths), feat_channels][:num_extra_levels]
        self.input_convs = ModuleList(
            [conv(width, 1, True, act_cfg=None) for width in widths]
            + [conv(w, 3, True, stride=2, act_cfg=None) for w in strided]
        )
        self.positional_encoding = SinePositionalEncoding(
            feat_channels // 2, normalize=True
        )
        self.level_encoding = nn.Embedding(self.num_levels, feat_channels)
        self.encoder = DeformableEncoder(
            with_cp=with_cp,
            num_layers=num_layers,
            layer_cfg=dict(
                self_attn_cfg=dict(
                    embed_dims=feat_channels,
                    num_heads=num_heads,
                    num_levels=self.num_levels,
                    num_points=num_points,
                    dropout=dropout,
                    batch_first=True,
                ),
                ffn_cfg=dict(
                    embed_dims=feat_channels,
                    feedforward_channels=feedforward_channels,
                    ffn_drop=dropout,
                ),
            ),
        )
        self.lateral_conv = conv(in_channels[0], 1, False, act_cfg=None)
        self.output_conv = conv(feat_channels, 3, False)
        self.mask_feature = nn.Conv2d(feat_channels, out_channels, 1)

    def init_weights(self) -> None:
        """Start with Xavier's weights, and attention around the cells."""
        super().init_weights()
        for name, weight in self.named_parameters():
            if weight.dim() > 1 and 'level_encoding' not in name:
                nn.init.xavier_uniform_(weight)
        for layer in self.encoder.layers:
            layer.self_attn.init_weights()
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(
        self,
        feats: Sequence[Tensor],
        padding_masks: Optional[Sequence[Tensor]] = None,
    ) -> Tuple[Tensor, List[Tensor]]:
        """Encode the maps of a backbone.

        Args:
            feats: Its maps, fine to coarse, ``(B, in_channels[i], H_i, W_i)``.
            padding_masks: True where a level's map is padding, ``(B, H_l,
                W_l)`` in the order of the result. Mask DINO gives none.

        Returns:
            The mask features ``(B, out_channels, H_0, W_0)``, and the encoded
            levels ``(B, feat_channels, H_l, W_l)`` in ``feature_order``.
        """
        with torch.autocast(feats[0].device.type, enabled=False):
            return self._forward([x.float() for x in feats], padding_masks)

    def _forward(
        self, feats: List[Tensor], padding_masks: Optional[Sequence[Tensor]]
    ) -> Tuple[Tensor, List[Tensor]]:
        maps, positions = self._levels(feats)
        tokens, shapes, starts = flatten_levels(maps)
        levels = self.level_encoding.weight[:, None, None]  # (L, 1, 1, C)
        # an own sum for each level: the positions may lie in another order
        query_pos = torch.cat(
            [
                position.flatten(2).transpose(1, 2) + level
                for position, level in zip(positions, levels)
            ],
            1,
        )
        padding = None
        valid_ratios = tokens.new_ones(len(tokens), len(maps), 2)
        if padding_masks is not None:
            padding = torch.cat([m.flatten(1) for m in padding_masks], 1)
            valid_ratios = torch.stack(
                [_valid_ratio(mask) for mask in padding_masks], 1
            )
        memory = self.encoder(
            tokens,
            query_pos=query_pos,
            key_padding_mask=padding,
            spatial_shapes=shapes,
            level_start_index=starts,
            valid_ratios=valid_ratios,
        )
        outs = [
            part.transpose(1, 2).unflatten(2, x.shape[-2:])
            for part, x in zip(
                memory.split([x[0, 0].numel() for x in maps], 1), maps
            )
        ]
        finest = outs[0] if self.low2high else outs[-1]
        lateral = self.lateral_conv(feats[0])
        finest = F.interpolate(
            finest,
            lateral.shape[-2:],
            mode='bilinear',
            align_corners=False,
        )
        mask_features = self.mask_feature(self.output_conv(lateral + finest))
        return mask_features, outs

    def _levels(
        self, feats: Sequence[Tensor]
    ) -> Tuple[List[Tensor], List[Tensor]]:
        """Project the maps, and make the positions of their cells."""
        number = len(self.encoder_levels)
        maps = [
            conv(feats[i])
            for conv, i in zip(self.input_convs, self.encoder_levels)
        ]
        extra = []
        x = max(
            (feats[i] for i in self.encoder_levels), key=lambda x: x.size(1)
        )
        for conv in self.input_convs[number:]:
            x = conv(x)
            extra.append(x)

        def positions(levels: Sequence[Tensor]) -> List[Tensor]:
            return [
                self.positional_encoding(
                    x.new_zeros(x[:, 0].shape, dtype=bool)
                )
                for x in levels
            ]

        if self.low2high:
            return maps + extra, positions(maps + extra)
        # The published code turns the extra maps round, but not their
        # positions, and its checkpoints have learned with that.
        return extra[::-1] + maps, positions(extra + maps)


def _valid_ratio(mask: Tensor) -> Tensor:
    """Shares of width and height that are image, ``(B, 2)``."""
    width = (~mask[:, 0]).float().mean(1)
    height = (~mask[:, :, 0]).float().mean(1)
    return torch.stack([width, height], 1)
