"""Mask DINO: what needs no vectors of the published code."""

import copy
import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet')
pytest.importorskip('mmcv.ops')

from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData

from mmfdconv.commands import main
from mmfdconv.models.maskdino.boxes import boxes_around_masks
from mmfdconv.models.maskdino.checkpoint import HEADS, convert_maskdino
from mmfdconv.models.maskdino.denoising import make_denoising
from mmfdconv.models.maskdino.pixel_decoder import MaskDINOPixelDecoder
from mmfdconv.models.maskdino.structures import Target

REPO = Path(__file__).resolve().parents[2]
CONFIGS = REPO / 'configs'
INSTANCES = 'mmdet/maskdino/eight/maskdino_r18_1xb4-90e_coco-eight.py'
SEMANTIC = 'mmseg/maskdino/eight/maskdino_r18_1xb4-65e_ade20k-eight.py'
SIDE = 64


read_once = functools.lru_cache(maxsize=None)(Config.fromfile)


def read(name):
    """The model's config, smaller still; its toolbox becomes the scope."""
    scope = name.split('/')[0]
    pytest.importorskip(scope)
    init_default_scope(scope)
    cfg = copy.deepcopy(read_once(CONFIGS / name).model)
    cfg.backbone.update(base_channels=8, stem_channels=8)
    head = cfg.panoptic_head if scope == 'mmdet' else cfg.decode_head
    head.update(in_channels=[8, 16, 32, 64], feat_channels=32)
    head.update(out_channels=32)
    # a fourth level would have one cell, of which 32 groups make no norm
    head.pixel_decoder.update(num_extra_levels=0, num_layers=2, num_heads=2)
    head.decoder.update(num_queries=10, num_layers=2, num_heads=2)
    return cfg


def build(cfg, scope):
    if scope == 'mmdet':
        from mmdet.registry import MODELS
    else:
        from mmseg.registry import MODELS
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def detector(**head):
    cfg = read(INSTANCES)
    cfg.panoptic_head.update(head)
    things = cfg.panoptic_head.num_things_classes
    stuff = cfg.panoptic_head.num_stuff_classes
    cfg.panoptic_fusion_head.update(
        num_things_classes=things, num_stuff_classes=stuff
    )
    cfg.test_cfg.panoptic_on = stuff > 0
    return build(cfg, 'mmdet')


def rectangles(numbers, stuff=False, side=SIDE):
    """Images with as many rectangles, and what mmdet says about them."""
    rng = np.random.default_rng(0)
    inputs, samples = [], []
    for number in numbers:
        low = rng.integers(0, side // 2, (number, 2))
        high = low + rng.integers(8, side // 2, (number, 2))
        masks = np.zeros((number, side, side), np.uint8)
        for mask, (x1, y1), (x2, y2) in zip(masks, low, high):
            mask[y1:y2, x1:x2] = 1
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(side, side),
                ori_shape=(side, side),
                batch_input_shape=(side, side),
                pad_shape=(side, side),
                scale_factor=(1.0, 1.0),
            )
        )
        boxes = np.concatenate([low, high], 1)
        sample.gt_instances = InstanceData(
            bboxes=torch.as_tensor(boxes).float(),
            labels=torch.as_tensor(rng.integers(0, 3, number)),
            masks=BitmapMasks(masks, side, side),
        )
        if stuff:
            ground = torch.full((1, side, side), 3)
            ground[:, : side // 2] = 4
            sample.gt_sem_seg = PixelData(sem_seg=ground)
        inputs.append(torch.as_tensor(rng.normal(size=(3, side, side))))
        samples.append(sample)
    return torch.stack(inputs).float(), samples


def total(losses):
    return sum(v for k, v in losses.items() if 'loss' in k)


def finite_step(model, inputs, samples):
    """Losses of a batch, whose sum gives every parameter a gradient."""
    losses = model.train().loss(inputs, samples)
    assert all(value.isfinite() for value in losses.values()), losses
    total(losses).backward()
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, f'no gradient for {name}'
            assert weight.grad.isfinite().all(), name
    return losses


# ----------------------------------------------------------------- training


@pytest.mark.core
@pytest.mark.parametrize('numbers', [(2, 3), (2, 0), (0, 0)])
def test_images_with_and_without_objects(numbers):
    losses = finite_step(detector(), *rectangles(numbers))
    learned = losses['loss_mask'] > 0 and losses['dn_loss_mask'] > 0
    assert learned == (sum(numbers) > 0)


def test_more_objects_than_queries_of_any_kind():
    # 25 targets: ten queries, twenty denoising queries
    losses = finite_step(detector(), *rectangles([25, 1]))
    assert losses['dn_loss_cls'] == 0 and losses['loss_mask'] > 0


def test_the_names_of_losses_do_not_depend_on_the_batch():
    model = detector().train()
    names = [set(model.loss(*rectangles(n))) for n in ([2, 1], [0, 0], [25])]
    assert names[0] == names[1] == names[2]


def test_a_step_lowers_the_loss():
    model = detector()
    inputs, samples = rectangles([2, 3])
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    seen = []
    for _ in range(4):
        losses = model.train().loss(inputs, samples)
        seen.append(total(losses).item())
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
    assert seen[-1] < 0.9 * seen[0]


def test_stuff_has_boxes_around_its_masks():
    model = detector(num_things_classes=3, num_stuff_classes=2)
    inputs, samples = rectangles([2], stuff=True)
    (target,) = model.panoptic_head._targets(samples)
    assert target.labels[2:].tolist() == [3, 4]
    half = torch.tensor([[0.5, 0.75, 1.0, 0.5], [0.5, 0.25, 1.0, 0.5]])
    torch.testing.assert_close(target.boxes[2:], half)
    finite_step(model, inputs, samples)


def test_stuff_without_boxes():
    model = detector(
        num_things_classes=3, num_stuff_classes=2, stuff_boxes=False
    )
    inputs, samples = rectangles([0], stuff=True)
    losses = finite_step(model, inputs, samples)
    assert losses['loss_bbox'] == 0 and losses['loss_mask'] > 0


def test_encoder_computed_anew_gives_the_same_gradients():
    torch.manual_seed(0)
    plain = MaskDINOPixelDecoder([8, 16], 32, 8, [0, 1], 1, num_layers=2)
    plain.init_weights()
    anew = copy.deepcopy(plain)
    anew.encoder.with_cp = True
    feats = [torch.randn(2, 8, 16, 16), torch.randn(2, 16, 8, 8)]
    for decoder in (plain, anew):
        mask_features, outs = decoder(feats)
        (mask_features.sum() + sum(x.pow(2).sum() for x in outs)).backward()
    gradients = zip(plain.parameters(), anew.parameters())
    assert all(torch.equal(a.grad, b.grad) for a, b in gradients)


@pytest.mark.core
def test_bfloat16():
    model = detector()
    with torch.autocast('cpu', torch.bfloat16):
        losses = finite_step(model, *rectangles([2, 1]))
    assert losses['loss_cls'].dtype == torch.float32
    inputs, samples = rectangles([2])
    with torch.autocast('cpu', torch.bfloat16), torch.no_grad():
        (result,) = model.eval().predict(inputs, samples)
    assert result.pred_instances.scores.isfinite().all()


# --------------------------------------------------------------- prediction


@pytest.mark.core
def test_results_have_the_size_of_the_original_image():
    model = detector(num_things_classes=3, num_stuff_classes=2).eval()
    inputs, (sample,) = rectangles([1])
    sample.set_metainfo(dict(img_shape=(48, 60), ori_shape=(96, 120)))
    with torch.no_grad():
        (result,) = model.predict(inputs, [sample])
    found = result.pred_instances
    assert len(found) <= 100 and found.labels.max() < 3
    assert found.masks.shape[1:] == (96, 120)
    limit = torch.tensor([120, 96, 120, 96])
    assert (found.bboxes >= 0).all() and (found.bboxes <= limit).all()
    assert result.pred_panoptic_seg.sem_seg.shape == (1, 96, 120)


def test_semantic_head_in_a_segmentor():
    pytest.importorskip('mmseg')
    from mmseg.structures import SegDataSample

    cfg = read(SEMANTIC)
    cfg.decode_head.num_classes = 4
    model = build(cfg, 'mmseg')
    inputs = torch.randn(2, 3, SIDE, SIDE)
    samples = []
    for labels in (torch.arange(SIDE) // 16, torch.full((SIDE,), 255)):
        sample = SegDataSample(
            metainfo=dict(
                img_shape=(SIDE, SIDE),
                ori_shape=(30, 40),
                padding_size=[0] * 4,
            )
        )
        ground = labels.expand(1, SIDE, SIDE).clone()
        sample.gt_sem_seg = PixelData(data=ground)
        samples.append(sample)
    finite_step(model, inputs, samples)
    with torch.no_grad():
        results = model.eval().predict(inputs, samples)
    for result in results:
        scores = result.seg_logits.data
        assert scores.shape == (4, 30, 40) and scores.isfinite().all()
        assert result.pred_sem_seg.data.max() < 4


def test_boxes_hold_their_masks():
    masks = torch.zeros(2, 8, 10, dtype=torch.bool)
    masks[0, 2:5, 4:10] = True
    around = boxes_around_masks(masks, whole_pixels=True)
    torch.testing.assert_close(
        around, torch.tensor([[0.7, 3.5 / 8, 0.6, 3 / 8], [0.0] * 4])
    )


def test_noise_stays_near_its_boxes():
    boxes = torch.tensor([[0.5, 0.4, 0.2, 0.1]])
    target = Target(torch.zeros(1).long(), boxes, None)
    queries = make_denoising([target], 5, 200, noise_scale=0.4)
    assert queries.groups == 200
    moved = (queries.boxes - boxes).abs()
    limit = torch.tensor([0.04, 0.02, 0.08, 0.04])
    assert (moved <= limit + 1e-6).all() and (moved > 0.9 * limit).any()
    # a fifth is drawn anew, a fifth of which is right again
    assert 0.06 < (queries.labels != 0).float().mean() < 0.28


# -------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(feature_order='fine'), "feature_order must be .* got 'fine'"),
        (dict(num_extra_levels=3), 'num_extra_levels must be .* got 3'),
        (dict(num_extra_levels=2), 'num_extra_levels must be 0 or 1'),
        (dict(feat_channels=40), 'multiple of 32.* got 40'),
        (dict(encoder_levels=[1, 2]), r'encoder_levels .* got \(1, 2\)'),
    ],
)
def test_wrong_pixel_decoder(options, message):
    arguments = dict(in_channels=[8, 16], feat_channels=32)
    arguments.update(encoder_levels=[0, 1], num_layers=1)
    with pytest.raises(ValueError, match=message):
        MaskDINOPixelDecoder(**{**arguments, **options})


@pytest.mark.parametrize(
    ('head', 'message'),
    [
        (
            dict(decoder=dict(initialize_box_type='mask')),
            "initialize_box_type must be one of .* got 'mask'",
        ),
        (
            dict(decoder=dict(two_stage=False)),
            "two_stage=False, got 'mask2box'",
        ),
        (dict(loss_weights=dict(iou=1.0)), "weights must have .*'iou'"),
        (dict(num_things_classes=0), 'at least 1, got 0'),
    ],
)
def test_wrong_head(head, message):
    with pytest.raises(ValueError, match=message):
        detector(**head)


def test_too_few_tokens():
    model = detector(decoder=dict(num_queries=85)).train()
    with pytest.raises(ValueError, match='84 tokens.* got 85'):
        model.loss(*rectangles([1]))


# -------------------------------------------------------------- checkpoints


NAMES = (
    Path(
        os.environ.get(
            'MMFDCONV_MASKDINO_VECTORS',
            Path(os.environ.get('MMFDCONV_SHARED', REPO.parent / 'shared'))
            / 'reference/maskdino',
        )
    )
    / 'names'
)
#: Which config a published model has, and what it changes.
PUBLISHED = {
    'r50_coco_instance_3s_down1_2048': (
        'mmdet/maskdino/maskdino_r50_8xb2-lsj-50e_coco.py',
        {},
    ),
    'r50_coco_panoptic_3s_down1_2048': (
        'mmdet/maskdino/maskdino_r50_8xb2-lsj-50e_coco-panoptic.py',
        {},
    ),
    'r50_ade20k_semantic_3s': (
        'mmseg/maskdino/maskdino_r50_8xb2-160k_ade20k-512x512.py',
        {},
    ),
    'r50_coco_instance_3s': (
        'mmdet/maskdino/maskdino_r50_8xb2-lsj-50e_coco.py',
        {
            'panoptic_head.pixel_decoder.num_extra_levels': 0,
            'panoptic_head.pixel_decoder.feature_order': 'high2low',
            'panoptic_head.pixel_decoder.feedforward_channels': 1024,
        },
    ),
    'swinl_coco_instance_4s_down1_2048': (
        'mmdet/maskdino/maskdino_r50_8xb2-lsj-50e_coco.py',
        {
            'backbone': dict(
                _delete_=True,
                type='SwinTransformer',
                pretrain_img_size=384,
                embed_dims=192,
                depths=[2, 2, 18, 2],
                num_heads=[6, 12, 24, 48],
                window_size=12,
            ),
            'panoptic_head.in_channels': [192, 384, 768, 1536],
            'panoptic_head.pixel_decoder.encoder_levels': [0, 1, 2, 3],
        },
    ),
}


@pytest.mark.skipif(
    not NAMES.is_dir(),
    reason=f'no {NAMES}: no name of a published checkpoint is compared',
)
def test_every_list_of_names_has_its_model():
    assert {path.stem for path in NAMES.glob('*.json')} == set(PUBLISHED)


@pytest.mark.parametrize('name', sorted(PUBLISHED))
def test_published_names_and_shapes(name, monkeypatch):
    path = NAMES / f'{name}.json'
    if not path.is_file():
        pytest.skip(f'no {path}: its names are not compared')
    config, changes = PUBLISHED[name]
    scope = config.split('/')[0]
    pytest.importorskip(scope)
    init_default_scope(scope)
    cfg = copy.deepcopy(read_once(CONFIGS / config))
    cfg.merge_from_dict({f'model.{k}': v for k, v in changes.items()})
    if scope == 'mmdet':
        from mmdet.registry import MODELS
    else:
        from mmseg.registry import MODELS
    # Swin's constructor reads these numbers, which meta tensors do not have
    monkeypatch.setattr(
        torch, 'linspace', functools.partial(torch.linspace, device='cpu')
    )
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
        shapes = json.loads(path.read_text())['shapes']
        state = {k: torch.empty(shape) for k, shape in shapes.items()}
    ours = {
        key: value.shape
        for key, value in model.state_dict().items()
        if not key.endswith('num_batches_tracked')
    }
    state = convert_maskdino(state, HEADS[scope])
    assert {key: value.shape for key, value in state.items()} == ours


def published(model):
    """A model's state by the published names, every module once per use."""
    out = {}
    for key, value in model.state_dict().items():
        if key.startswith('panoptic_head.pixel_decoder.mask_feature.'):
            key = key.replace('panoptic_head', 'sem_seg_head')
            out[key.replace('mask_feature.', 'mask_features.')] = value
        elif key.startswith('panoptic_head.decoder.bbox_embed.'):
            layer = key.partition('bbox_embed.')[2]
            for use in ('_bbox_embed', 'bbox_embed.0', 'decoder.bbox_embed.0'):
                out[f'sem_seg_head.predictor.{use}.{layer}'] = value
    out['backbone.stem.conv1.weight'] = model.state_dict()[
        'backbone.conv1.weight'
    ]
    out['criterion.empty_weight'] = torch.ones(81)
    return out


@pytest.mark.core
def test_published_checkpoint_on_the_command_line(tmp_path, capsys):
    model = detector()
    state = published(model)
    source, out = tmp_path / 'source.pth', tmp_path / 'out.pth'
    torch.save(dict(model=state), source)
    main('maskdino', [str(source), str(out)])
    converted = torch.load(out)['state_dict']
    # two of the mask features, six of the box head, one of the backbone
    assert len(converted) == 9
    assert '9 parameters' in capsys.readouterr().out
    ours = model.state_dict()
    for key, value in converted.items():
        assert torch.equal(value, ours[key]), key
    torch.save(dict(model={'head.weight': torch.ones(1)}), source)
    with pytest.raises(SystemExit, match="'head.weight', which no published"):
        main('maskdino', [str(source), str(out)])
    for content in ([1], None):
        torch.save(content, source)
        with pytest.raises(SystemExit, match='is no checkpoint of tensors'):
            main('maskdino', [str(source), str(out)])
    for wrong in (source, tmp_path / 'none' / 'out.pth'):
        with pytest.raises(SystemExit, match='error: out: '):
            main('maskdino', [str(source), str(wrong)])


# --------------------------------------------------- beside other detectors


def test_steps_of_detectors_beside_each_other(capsys):
    config = str(CONFIGS / INSTANCES)
    main('step', [config, config, '--shape', '64x64', '--rounds', '2'])
    said = capsys.readouterr().out
    rows = [line.split('|') for line in said.splitlines() if '2x64x64' in line]
    assert [row[2].strip() for row in rows] == ['stock', config]
    kept = [float(row[-3]) for row in rows]
    assert kept[0] == kept[1] > 1  # MiB
    with pytest.raises(SystemExit, match='configs must be of mmdet, got'):
        main('step', [str(CONFIGS / SEMANTIC)])
