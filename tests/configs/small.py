"""Experiments brought down to a size that a test can train.

What changes are depths, widths, image sizes and numbers of samples, all by the
options of the stock classes; what the experiment is about stays.
"""

from mmfdconv.datasets import SHAPES_CLASSES

__all__ = ['stock_backbone', 'small_mmdet', 'small_mmpretrain', 'small_mmseg']

#: Height and width of segmented pictures.
SEG_SIZE = (64, 96)


def stock_backbone(cfg):
    """Config of the backbone inside the wrapper, or of a bare one."""
    return cfg.model.backbone.get('backbone', cfg.model.backbone)


def _small_backbone(stock):
    """Shrink it in place; return the widths of its stages, None if as is."""
    kind = stock.type.rpartition('.')[2]
    if kind == 'ConvNeXt':
        widths = [24, 32, 48, 64]
        stock.arch = dict(depths=[1, 1, 4, 1], channels=widths)
    elif kind == 'SwinTransformer':
        stock.update(
            embed_dims=24,
            depths=[1, 1, 2, 1],
            num_heads=[1, 2, 4, 8],
            window_size=4,
        )
        widths = [24, 48, 96, 192]
    elif kind == 'MixVisionTransformer':
        stock.num_layers = [1, 1, 1, 1]
        widths = [32, 64, 160, 256]
    elif kind == 'UNet':
        stock.base_channels = 24
        widths = [384, 192, 96, 48, 24]  # from the bottom of the U up
    else:
        return None
    return widths


def _replace(node, **values):
    """Set keys of transforms, wherever in a pipeline they stand."""
    if isinstance(node, list):
        for item in node:
            _replace(item, **values)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in values:
                node[key] = values[key]
            else:
                _replace(value, **values)


# ----------------------------------------------------------------- mmdet


def small_mmdet(cfg, name, root):
    """Shrink a detector; ``root`` holds the shapes dataset."""
    model, stock = cfg.model, stock_backbone(cfg)
    widths = _small_backbone(stock)
    if stock.type == 'ResNet' and '/shapes/' not in name:
        stock.base_channels = 32
        if 'fdconv' not in name:
            stock.depth = 18
        first = 32 if stock.depth == 18 else 128
        widths = [first, 2 * first, 4 * first, 8 * first]
    if model.type == 'MaskDINO':
        model.data_preprocessor.batch_augments = None
        _small_maskdino(model.panoptic_head, widths)
        model.train_cfg.num_points = 128
        classes = SHAPES_CLASSES
    else:
        if widths is not None:
            model.neck.in_channels = widths
        _narrow_heads(model)
        model.train_cfg.rpn_proposal.max_per_img = 50
        model.train_cfg.rcnn.sampler.num = 32
        model.test_cfg.rpn.max_per_img = 50
        model.test_cfg.rcnn.update(max_per_img=5, score_thr=0.0)
        classes = SHAPES_CLASSES[: model.roi_head.bbox_head.num_classes]
    for split in ('train', 'val'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(
            data_root=str(root),
            ann_file=f'annotations/instances_{split}.json',
            data_prefix=dict(img=f'{split}/'),
            metainfo=dict(classes=classes),
        )
        if dataset.type == 'CocoPanopticDataset':
            # its pipeline needs panopticapi, which PyPI does not have
            dataset.type = 'CocoDataset'
            load = dataset.pipeline[2 if split == 'val' else 1]
            load.update(type='LoadAnnotations', with_mask=True, with_seg=False)
        _replace(
            dataset.pipeline,
            scale=(128, 128),
            scales=[(128, 128)],
            crop_size=(64, 64),
        )


def _narrow_heads(model):
    """All behind the backbone, which is not what the experiments are about."""
    model.neck.out_channels = width = 32
    model.rpn_head.update(in_channels=width, feat_channels=width)
    roi_head = model.roi_head
    roi_head.bbox_roi_extractor.out_channels = width
    roi_head.bbox_head.update(in_channels=width, fc_out_channels=width)
    if roi_head.get('mask_head') is not None:
        roi_head.mask_roi_extractor.out_channels = width
        roi_head.mask_head.update(in_channels=width, conv_out_channels=width)


# ----------------------------------------------------------------- mmseg


def small_mmseg(cfg, name, root):
    """Shrink a segmenter; ``root`` holds pictures in its data's layout."""
    model, stock = cfg.model, stock_backbone(cfg)
    widths = _small_backbone(stock)
    if widths is None and 'depth' in stock:
        stock.update(depth=18, base_channels=32, stem_channels=32)
        widths = [32, 64, 128, 256]
    model.data_preprocessor.size = (64, 64)
    if model.test_cfg.mode == 'slide':
        model.test_cfg.update(crop_size=(64, 64), stride=(42, 42))
    for head in (model.decode_head, model.get('auxiliary_head')):
        if head is None or head.type == 'UNetHead':  # small as it is
            continue
        if head.type == 'Mask2FormerHead':
            _small_mask2former(head, widths)
            continue
        if head.type == 'MaskDINOSegHead':
            _small_maskdino(head, widths)
            head.train_cfg = dict(num_points=128)
            continue
        index = head.in_index
        head.in_channels = (
            widths[index]
            if isinstance(index, int)
            else [widths[i] for i in index]
        )
        head.channels = 16
        if 'c1_in_channels' in head:
            head.c1_in_channels = widths[0]
    for split in ('train', 'val'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = str(root)
        shortest_edge = '/mask' in name and split == 'train'
        _replace(
            dataset.pipeline,
            scale=SEG_SIZE[::-1],
            scales=[64] if shortest_edge else [SEG_SIZE[::-1]],
            crop_size=(64, 64),
        )


def _small_mask2former(head, widths):
    width = 32
    head.update(
        in_channels=widths,
        feat_channels=width,
        out_channels=width,
        num_queries=10,
    )
    head.positional_encoding.num_feats = width // 2
    head.train_cfg.num_points = 128
    pixels = head.pixel_decoder
    pixels.norm_cfg.num_groups = 8
    pixels.positional_encoding.num_feats = width // 2
    pixels.encoder.num_layers = 1
    head.transformer_decoder.num_layers = 2
    layers = (pixels.encoder.layer_cfg, head.transformer_decoder.layer_cfg)
    for layer in layers:
        for part in layer.values():
            part.embed_dims = width
            if 'feedforward_channels' in part:
                part.feedforward_channels = 2 * width


def _small_maskdino(head, widths):
    head.update(in_channels=widths, feat_channels=32, out_channels=32)
    small = dict(num_layers=1, feedforward_channels=64)
    head.pixel_decoder = dict(head.get('pixel_decoder') or {}, **small)
    small = dict(num_queries=10, num_layers=2, feedforward_channels=64)
    head.decoder = dict(head.get('decoder') or {}, **small)


# ------------------------------------------------------------ mmpretrain


def small_mmpretrain(cfg, name, root):
    """Shrink a classifier; ``root`` holds two classes in ImageNet's layout."""
    stock = stock_backbone(cfg)
    # the widest that is quick, and above the published gate of 16 channels
    base, expansion = (32, 1) if stock.depth == 18 else (24, 4)
    stock.update(base_channels=base, stem_channels=base)
    cfg.model.head.in_channels = 8 * base * expansion
    # what the runner does
    cfg.model.data_preprocessor = cfg.data_preprocessor
    for split in ('train', 'val'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = str(root)
        dataset.metainfo = dict(classes=('bright', 'dark'))
        scale = 64 if split == 'train' else 72
        _replace(dataset.pipeline, scale=scale, crop_size=64)
