"""Mask DINO's decoder: queries that become boxes, classes and masks.

Paper: arXiv:2206.02777. Sec. 3.3: masks are inner products of queries and the
pixel embedding map; Sec. 3.4: unified query selection, and boxes around its
masks as anchors; DINO's (arXiv:2203.03605) refinement of boxes from layer to
layer, where the gradient looks forward twice.
"""

from typing import Optional, Sequence, Tuple

import torch
from mmdet.models.detectors import DeformableDETR
from mmdet.models.layers import (
    MLP,
    DeformableDetrTransformerDecoderLayer,
    coordinate_to_encoding,
    inverse_sigmoid,
)
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from .boxes import boxes_around_masks
from .denoising import DenoisingQueries
from .pixel_decoder import flatten_levels
from .structures import DecoderOutput, Prediction


class MaskDINODecoder(BaseModule):
    """Transformer decoder with one box, one class and one mask head for all.

    What differs from mmdet's ``DinoTransformerDecoder`` and heads, as in the
    published code: heads are shared by all layers, the proposals and the
    denoising queries; ``inverse_sigmoid`` has 1e-5, not 1e-3; the queries
    before the first layer predict, too; ``norm`` comes once before the box
    head and twice before the others, but not before refinement and not before
    the proposals' scores; the levels come in the pixel decoder's order and
    are reversed here.

    Args:
        num_classes: Classes of the targets.
        num_levels: Levels that the pixel decoder gives.
        feat_channels: Width of queries and levels.
        mask_channels: Width of the mask features.
        num_queries: Matching queries, Q.
        two_stage: Whether the queries are encoder tokens, selected by their
            class scores (unified query selection), or learned.
        initialize_box_type: Where the first boxes of selected queries come
            from: ``'no'`` their own box, ``'mask2box'`` or ``'bitmask'`` their
            own mask (``boxes_around_masks`` tells these two apart).
        background_class: Whether the classes, for a softmax, have one more
            logit for no object.
        num_layers: Layers.
        num_heads: Heads of both attentions.
        feedforward_channels: Hidden width of the feed-forward networks.
        num_points: Sampling points per head and level.

    Raises:
        ValueError: ``initialize_box_type`` is none of these, or asks for
            masks of learned queries.
    """

    #: Box priors and features of tokens, as in two-stage Deformable DETR.
    gen_encoder_output_proposals = DeformableDETR.gen_encoder_output_proposals

    def __init__(
        self,
        num_classes: int,
        num_levels: int,
        feat_channels: int = 256,
        mask_channels: int = 256,
        num_queries: int = 300,
        two_stage: bool = True,
        initialize_box_type: str = 'mask2box',
        background_class: bool = False,
        num_layers: int = 9,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        num_points: int = 4,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        types = ('no', 'mask2box', 'bitmask') if two_stage else ('no',)
        if initialize_box_type not in types:
            raise ValueError(
                f'initialize_box_type must be one of {types} with two_stage='
                f'{two_stage}, got {initialize_box_type!r}'
            )
        self.num_queries = num_queries
        self.two_stage = two_stage
        self.initialize_box_type = initialize_box_type
        width = feat_channels
        if two_stage:
            self.memory_trans_fc = nn.Linear(width, width)
            self.memory_trans_norm = nn.LayerNorm(width)
        else:
            self.query_feat = nn.Embedding(num_queries, width)
            self.query_embed = nn.Embedding(num_queries, 4)  # box logits
        self.label_embedding = nn.Embedding(num_classes, width)
        attention = dict(embed_dims=width, num_heads=num_heads, dropout=0.0)
        self.layers = ModuleList(
            DeformableDetrTransformerDecoderLayer(
                self_attn_cfg=dict(attention, batch_first=True),
                cross_attn_cfg=dict(
                    attention,
                    num_levels=num_levels,
                    num_points=num_points,
                    batch_first=True,
                ),
                ffn_cfg=dict(
                    embed_dims=width, feedforward_channels=feedforward_channels
                ),
            )
            for _ in range(num_layers)
        )
        self.ref_point_head = MLP(2 * width, width, width, 2)
        self.norm = nn.LayerNorm(width)
        self.cls_embed = nn.Linear(width, num_classes + int(background_class))
        self.mask_embed = MLP(width, width, mask_channels, 3)
        self.bbox_embed = MLP(width, width, 4, 3)

    def init_weights(self) -> None:
        """Start with Xavier's weights, and without refinement of boxes."""
        super().init_weights()
        for weight in self.layers.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)
        for layer in self.layers:
            layer.cross_attn.init_weights()
        nn.init.zeros_(self.bbox_embed.layers[-1].weight)
        nn.init.zeros_(self.bbox_embed.layers[-1].bias)

    def forward(
        self,
        mask_features: Tensor,
        feats: Sequence[Tensor],
        denoising: Optional[DenoisingQueries] = None,
    ) -> DecoderOutput:
        """Decode the levels.

        In evaluation masks are those of the last layer and of the proposals.

        Args:
            mask_features: ``(B, mask_channels, H, W)``.
            feats: Levels ``(B, feat_channels, H_l, W_l)``, as the pixel
                decoder gives them.
            denoising: Queries with noise to put in front.

        Returns:
            The predictions of all layers.

        Raises:
            ValueError: There are fewer tokens than queries to select.
        """
        memory, shapes, starts = flatten_levels(feats[::-1])
        proposals = None
        if self.two_stage:
            query, boxes, proposals = self._select(
                memory, shapes, mask_features
            )
        else:
            query = self.query_feat.weight.expand(len(memory), -1, -1)
            boxes = self.query_embed.weight.expand(len(memory), -1, -1)
        attention_mask = None
        if denoising is not None:
            query, boxes = self._prepend(denoising, query, boxes)
            attention_mask = denoising.attention_mask(self.num_queries)
        elif self.training:
            # no parameter without gradient: DDP waits for all of them
            query = query + 0 * self.label_embedding.weight[0, 0]
        # learned boxes feel the first layer, too; others have no gradient
        anchors = reference = boxes.sigmoid()
        predictions = [
            self._predict(
                query, reference, mask_features if self.training else None
            )
        ]
        for index, layer in enumerate(self.layers, 1):
            query_pos = self.ref_point_head(
                coordinate_to_encoding(anchors, query.size(-1) // 2)
            )
            query = layer(
                query,
                query_pos=query_pos,
                value=memory,
                self_attn_mask=attention_mask,
                reference_points=anchors[:, :, None].expand(
                    -1, -1, len(feats), -1
                ),
                spatial_shapes=shapes,
                level_start_index=starts,
            )
            state = self.norm(query)
            # the gradient reaches the refinement by the layer before
            refined = self.bbox_embed(state) + inverse_sigmoid(reference)
            wanted = self.training or index == len(self.layers)
            predictions.append(
                self._predict(
                    state,
                    refined.sigmoid(),
                    mask_features if wanted else None,
                )
            )
            reference = self.bbox_embed(query) + inverse_sigmoid(anchors)
            reference = reference.sigmoid()
            anchors = reference.detach()
        if denoising is None:
            return DecoderOutput(predictions, proposals, [])
        noised, layers = zip(*(p.split(denoising.size) for p in predictions))
        return DecoderOutput(list(layers), proposals, list(noised))

    def _predict(
        self, query: Tensor, boxes: Tensor, mask_features: Optional[Tensor]
    ) -> Prediction:
        """Put the class head and, given features, the mask head on queries."""
        query = self.norm(query)
        masks = None
        if mask_features is not None:
            masks = torch.einsum(
                'bqc,bchw->bqhw', self.mask_embed(query), mask_features
            )
        return Prediction(self.cls_embed(query), masks, boxes)

    def _select(
        self, memory: Tensor, shapes: Tensor, mask_features: Tensor
    ) -> Tuple[Tensor, Tensor, Prediction]:
        """Unified query selection: tokens, their box logits and predictions.

        Tokens and logits carry no gradient; the predictions do.
        """
        if memory.size(1) < self.num_queries:
            raise ValueError(
                f'num_queries must not exceed the {memory.size(1)} tokens of '
                f'the encoder for an input of this size, got '
                f'{self.num_queries}; take fewer queries or larger images'
            )
        tokens, priors = self.gen_encoder_output_proposals(
            memory, None, shapes
        )
        scores = self.cls_embed(tokens).max(-1)[0]
        index = scores.topk(self.num_queries, dim=1)[1][..., None]
        query = tokens.gather(1, index.expand(-1, -1, tokens.size(-1)))
        boxes = self.bbox_embed(query) + priors.gather(
            1, index.expand(-1, -1, 4)
        )
        proposals = self._predict(query, boxes.sigmoid(), mask_features)
        if self.initialize_box_type != 'no':
            around = boxes_around_masks(
                proposals.masks > 0, self.initialize_box_type == 'bitmask'
            )
            boxes = inverse_sigmoid(around)
        return query.detach(), boxes.detach(), proposals

    def _prepend(
        self, denoising: DenoisingQueries, query: Tensor, boxes: Tensor
    ) -> Tuple[Tensor, Tensor]:
        """Put denoising queries in front; those without target are zero."""
        place = (denoising.image, denoising.slot)
        size = (len(query), denoising.size)
        content = query.new_zeros(*size, query.size(-1))
        content[place] = self.label_embedding(denoising.labels).to(query.dtype)
        logits = boxes.new_zeros(*size, 4)
        logits[place] = inverse_sigmoid(denoising.boxes).to(boxes.dtype)
        return torch.cat([content, query], 1), torch.cat([logits, boxes], 1)
