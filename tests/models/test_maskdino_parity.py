"""Mask DINO against vectors made with the published code.

``MMFDCONV_MASKDINO_VECTORS`` names their folder. Every file in it has a test
here; a file without one fails.
"""

import os
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmdet')
pytest.importorskip('mmcv.ops')

from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.models.detectors import DeformableDETR
from mmdet.models.layers import (
    DeformableDetrTransformerEncoder,
    SinePositionalEncoding,
    coordinate_to_encoding,
    inverse_sigmoid,
)
from mmdet.structures import DetDataSample

from mmfdconv.models.maskdino import criterion as criterion_module
from mmfdconv.models.maskdino import denoising as denoising_module
from mmfdconv.models.maskdino import matching as matching_module
from mmfdconv.models.maskdino.boxes import (
    boxes_around_masks,
    generalized_box_iou,
)
from mmfdconv.models.maskdino.checkpoint import convert_part
from mmfdconv.models.maskdino.criterion import MaskDINOCriterion
from mmfdconv.models.maskdino.decoder import MaskDINODecoder
from mmfdconv.models.maskdino.denoising import (
    DenoisingQueries,
    make_denoising,
)
from mmfdconv.models.maskdino.detector import MaskDINOFusionHead
from mmfdconv.models.maskdino.inference import (
    instances,
    panoptic_segments,
    semantic_map,
)
from mmfdconv.models.maskdino.matching import HybridMatcher
from mmfdconv.models.maskdino.pixel_decoder import MaskDINOPixelDecoder
from mmfdconv.models.maskdino.structures import (
    DecoderOutput,
    Prediction,
    Target,
)

REPO = Path(__file__).resolve().parents[2]
FOLDER = Path(
    os.environ.get(
        'MMFDCONV_MASKDINO_VECTORS',
        Path(os.environ.get('MMFDCONV_SHARED', REPO.parent / 'shared'))
        / 'reference/maskdino',
    )
)
FILES = {path.stem for path in FOLDER.glob('*.pt')}
OUTPUT = 1e-4  # relative to the largest value of a tensor
LOSS = 1e-3  # likewise of losses and gradients

pytestmark = pytest.mark.skipif(
    not FILES,
    reason=f'no vectors in {FOLDER}: nothing compares Mask DINO with the '
    'published code',
)


def files(kind):
    """Parametrize over the files of a kind."""
    names = sorted(name for name in FILES if name.startswith(kind))
    return pytest.mark.parametrize('name', names)


def read(name):
    """Read a file; its lists are dicts with keys '0', '1', ..."""
    return torch.load(FOLDER / f'{name}.pt', weights_only=True)


def in_order(items):
    return [items[str(i)] for i in range(len(items))]


def close(ours, theirs, tolerance=OUTPUT):
    """Within a share of the largest finite value; infinities alike."""
    theirs = theirs.to(ours.dtype)
    assert ours.shape == theirs.shape
    finite = theirs.isfinite()
    assert torch.equal(ours[~finite], theirs[~finite])
    ours, theirs = ours[finite], theirs[finite]
    if theirs.numel():
        scale = max(theirs.abs().max().item(), 1e-6)
        error = (ours - theirs).abs().max().item() / scale
        assert error < tolerance, f'{error:.2g} of {scale:.2g}'


def load(module, state, part):
    """Load published names, whole; return the module's name of each."""
    state = {name: value.float() for name, value in state.items()}
    module.load_state_dict(convert_part(state, part), strict=True)
    return module


def parameter(module, name, part):
    """The parameter that the published code has under a name."""
    (ours,) = convert_part({name: None}, part)
    return module.get_parameter(ours)


def targets_of(inputs):
    return [
        Target(t['labels'], t['boxes'], t['masks'])
        for t in in_order(inputs['targets'])
    ]


def prediction(outputs):
    return Prediction(
        outputs['pred_logits'],
        outputs.get('pred_masks'),
        outputs['pred_boxes'],
    )


def check_prediction(ours, theirs):
    close(ours.logits, theirs['pred_logits'])
    close(ours.boxes, theirs['pred_boxes'])
    if 'pred_masks' in theirs:
        close(ours.masks, theirs['pred_masks'])


class Queue:
    """Hands out stored values in place of random ones."""

    def __init__(self, values):
        self.values = list(values)

    def __call__(self, *args, **kwargs):
        return self.values.pop(0)


def test_every_file_is_read():
    """Files by the beginning or the end of their names, as below."""
    kinds = ('encoder_', 'matcher_', 'criterion_')
    known = {name for name in FILES if name.startswith(kinds)}
    known |= {name for name, _ in EVALUATIONS} | set(TRAININGS)
    known |= {'postprocess_functions', 'postprocess_model', 'units'}
    assert known == FILES


# ------------------------------------------------------------ pixel decoder


def pixel_decoder(config, levels):
    names = config['in_features'].split(',')
    chosen = config['transformer_in_features'].split(',')
    return MaskDINOPixelDecoder(
        [int(width) for width in config['feature_channels'].split(',')],
        feat_channels=config['conv_dim'],
        out_channels=config['mask_dim'],
        encoder_levels=[names.index(name) for name in chosen],
        num_extra_levels=levels - len(chosen),
        feature_order=config['feature_order'],
        num_layers=config['transformer_enc_layers'],
        num_heads=config['transformer_nheads'],
        feedforward_channels=config['transformer_dim_feedforward'],
        dropout=config['transformer_dropout'],
    )


@files('encoder_')
def test_pixel_decoder(name):
    data = read(name)
    levels = in_order(data['outputs']['multi_scale_features'])
    decoder = pixel_decoder(data['config'], len(levels))
    load(decoder, data['state_dict'], 'pixel_decoder')
    feats = data['inputs']['features']
    for feat in feats.values():
        feat.requires_grad_()
    masks = data['inputs'].get('masks')
    mask_features, outs = decoder(
        list(feats.values()), None if masks is None else in_order(masks)
    )
    close(mask_features, data['outputs']['mask_features'])
    assert len(outs) == len(levels)
    for ours, theirs in zip(outs, levels):
        close(ours, theirs)
    if 'grads' not in data:
        return
    loss = sum(x.pow(3).mean() for x in (mask_features, *outs))
    close(loss, data['losses']['loss'], LOSS)
    loss.backward()
    for level, theirs in data['grads']['features'].items():
        close(feats[level].grad, theirs, LOSS)
    for key, theirs in data['grads']['parameters'].items():
        ours = parameter(decoder, key, 'pixel_decoder').grad
        close(ours, theirs, LOSS)


# ------------------------------------------------------------------ decoder


def decoder_of(data, box_type=None):
    config = data['config']
    decoder = MaskDINODecoder(
        num_classes=config['num_classes'],
        num_levels=config['total_num_feature_levels'],
        feat_channels=config['hidden_dim'],
        mask_channels=config['mask_dim'],
        num_queries=config['num_queries'],
        two_stage=config['two_stage'],
        initialize_box_type=box_type or config['initialize_box_type'],
        background_class=config['semantic_ce_loss'],
        num_layers=config['dec_layers'],
        num_heads=config['nhead'],
        feedforward_channels=config['dim_feedforward'],
        num_points=config['dec_n_points'],
    )
    return load(decoder, data['state_dict'], 'predictor')


EVALUATIONS = [
    (name, kind)
    for name in sorted(n for n in FILES if n.endswith('_eval'))
    for kind in read(name)['variants'].split(',')
]


@pytest.mark.parametrize(('name', 'kind'), EVALUATIONS)
def test_decoder_in_evaluation(name, kind):
    data = read(name)
    decoder = decoder_of(data, kind).eval()
    inputs = data['inputs']
    with torch.no_grad():
        output = decoder(
            inputs['mask_features'], in_order(inputs['multi_scale_features'])
        )
    theirs = data['outputs'][kind]
    layers = [*in_order(theirs['aux_outputs']), theirs]
    assert len(output.layers) == len(layers)
    for ours, reference in zip(output.layers, layers):
        check_prediction(ours, reference)
    assert output.denoising == []
    if 'interm_outputs' in theirs:
        check_prediction(output.proposals, theirs['interm_outputs'])
    else:
        assert output.proposals is None


def stored_denoising(noise):
    if not noise:
        return None
    return DenoisingQueries(
        noise['noised_labels'],
        noise['noised_boxes'],
        noise['known_bid'],
        noise['map_known_indice'],
        noise['scalar'],
        noise['single_pad'],
    )


TRAININGS = sorted(n for n in FILES if n.endswith(('_train', '_no_dn')))


@pytest.mark.parametrize('name', TRAININGS)
def test_decoder_in_training(name, monkeypatch):
    data = read(name)
    inputs, theirs = data['inputs'], data['outputs']
    decoder = decoder_of(data)
    levels = in_order(inputs['multi_scale_features'])
    for feat in (*levels, inputs['mask_features']):
        feat.requires_grad_()
    denoising = stored_denoising(inputs.get('dn_noise'))
    output = decoder(inputs['mask_features'], levels, denoising)
    layers = [*in_order(theirs['aux_outputs']), theirs]
    for ours, reference in zip(output.layers, layers):
        check_prediction(ours, reference)
    if 'interm_outputs' in theirs:
        check_prediction(output.proposals, theirs['interm_outputs'])
    if denoising is None:
        assert 'dn_outputs' not in theirs and output.denoising == []
    else:
        noised = theirs['dn_outputs']
        noised = [*in_order(noised['aux_outputs']), noised]
        for ours, reference in zip(output.denoising, noised):
            check_prediction(ours, reference)
    losses = run_criterion(data, output, denoising, monkeypatch)
    check_losses(losses, data)
    sum(losses.values()).backward()
    for feat, grad in zip(
        levels, in_order(data['grads']['multi_scale_features'])
    ):
        close(feat.grad, grad, LOSS)
    close(inputs['mask_features'].grad, data['grads']['mask_features'], LOSS)
    for key, grad in data['grads']['parameters'].items():
        close(parameter(decoder, key, 'predictor').grad, grad, LOSS)


# ------------------------------------------------ denoising queries' layout


@pytest.mark.parametrize('name', TRAININGS)
def test_noise(name, monkeypatch):
    data = read(name)
    noise = data['inputs'].get('dn_noise')
    config = data['config']
    if not noise:
        assert (
            make_denoising(
                targets_of(data['inputs']),
                config['num_classes'],
                config['dn_num'],
                config['noise_scale'],
            )
            is None
        )
        return
    drawn = noise['known_labels'].clone()
    drawn[noise['label_chosen_index']] = noise['label_new']
    monkeypatch.setattr(
        denoising_module.torch,
        'rand',
        Queue([noise['label_rand'], noise['box_rand']]),
    )
    monkeypatch.setattr(denoising_module.torch, 'randint', Queue([drawn]))
    ours = make_denoising(
        targets_of(data['inputs']),
        config['num_classes'],
        config['dn_num'],
        config['noise_scale'],
    )
    monkeypatch.undo()
    assert torch.equal(ours.labels, noise['noised_labels'])
    close(ours.boxes, noise['noised_boxes'])
    assert torch.equal(ours.image, noise['known_bid'])
    assert torch.equal(ours.slot, noise['map_known_indice'])
    mask = ours.attention_mask(config['num_queries'])
    assert torch.equal(mask, data['internals']['attn_mask'])


@pytest.mark.parametrize(
    'layout', sorted(read('units')['dn_attention']) if FILES else []
)
def test_layout_of_groups(layout):
    data = read('units')['dn_attention'][layout]
    inputs, theirs = data['inputs'], data['outputs']
    targets = [
        Target(torch.zeros(int(n)).long(), torch.zeros(int(n), 4), None)
        for n in inputs['targets_per_image'].split(',')
    ]
    ours = make_denoising(targets, 3, inputs['dn_num'], 0.4)
    assert ours.size == theirs['pad_size'] and ours.groups == theirs['scalar']
    assert torch.equal(ours.slot, theirs['map_known_indice'])
    mask = ours.attention_mask(inputs['num_queries'])
    assert torch.equal(mask, theirs['attn_mask'])


# ----------------------------------------------------- matching and losses


KINDS = dict(cls='class', mask='mask', dice='dice', bbox='box', giou='giou')


def weights(config, suffix):
    """The published weights by our names: ``cost`` or ``weight``."""
    form = 'cost_{}' if suffix == 'cost' else '{}_weight'
    return {k: config[form.format(v)] for k, v in KINDS.items()}


@files('matcher_')
def test_matcher(name, monkeypatch):
    data = read(name)
    config, inputs, theirs = data['config'], data['inputs'], data['outputs']
    matcher = HybridMatcher(
        weights(config, 'cost'),
        config['num_points'],
        80 if config['matcher_panoptic_on'] else None,
    )
    points = [p[None] for p in in_order(inputs['points'])]
    targets = targets_of(inputs)
    whole = prediction(inputs['outputs'])
    monkeypatch.setattr(matching_module.torch, 'rand', Queue(points * 2))
    pairs = matcher(whole, targets)
    for i, (target, (query, index)) in enumerate(zip(targets, pairs)):
        assert torch.equal(query, theirs['query_index'][str(i)])
        assert torch.equal(index, theirs['target_index'][str(i)])
        costs = matcher.costs(Prediction(*(x[i] for x in whole)), target)
        close(sum(costs.values()), theirs['cost'][str(i)])
        for kind, cost in costs.items():
            part = theirs['cost_parts_unweighted'][f'cost_{KINDS[kind]}']
            close(cost / matcher.weights[kind], part[str(i)])


def run_criterion(data, output, denoising, monkeypatch):
    """Losses at the stored points, which our sampling must choose, too."""
    config = data.get('criterion_config', data['config'])
    criterion = MaskDINOCriterion(
        config['num_classes'],
        config['semantic_ce_loss'],
        weights(config, 'weight'),
        weights(config, 'cost'),
        config['eos_coef'],
        config['num_points'],
        config['oversample_ratio'],
        config['importance_sample_ratio'],
        80 if config['panoptic_on'] else None,
    )
    if not config['matcher_panoptic_on']:
        criterion.matcher.num_things = None
    inputs = data['inputs']
    targets = targets_of(inputs)
    aux = [f'aux_{i}' for i in range(len(output.layers) - 1)]
    tags = ['final', *aux]
    if output.proposals is not None:
        tags.append('interm')
    monkeypatch.setattr(
        matching_module.torch,
        'rand',
        Queue(
            image['points'][None]
            for tag in tags
            for image in in_order(inputs['matcher'][tag])
        ),
    )
    if output.denoising:
        first = 0 if output.proposals is not None else 1
        tags += [f'dn_{tag}' for tag in (*aux[first:], 'final')]
    stored = [inputs['mask_points'][tag] for tag in tags]
    stored = [s for s in stored if len(s['point_coords'])]
    sampler = criterion_module.get_uncertain_point_coords_with_randomness

    def sample(logits, labels, *sampling):
        points = stored.pop(0)
        if 'candidates' in points:
            rand = torch.rand
            torch.rand = Queue([points['candidates'], points['random']])
            ours = sampler(logits, labels, *sampling)
            torch.rand = rand
            close(ours.sort(1)[0], points['point_coords'].sort(1)[0])
        return points['point_coords']

    monkeypatch.setattr(
        criterion_module, 'get_uncertain_point_coords_with_randomness', sample
    )
    losses = criterion(output, targets, denoising)
    assert not stored
    monkeypatch.undo()
    return losses


def published_name(name):
    """``d0.dn_loss_cls`` -> ``loss_ce_dn_0``, and so on."""
    term = name.rpartition('loss_')[2].replace('cls', 'ce')
    suffix = '_dn' if 'dn_loss' in name else ''
    suffix += '_interm' if name.startswith('enc_') else ''
    layer = name.partition('.')[0]
    suffix += f'_{layer[1:]}' if '.' in name else ''
    return f'loss_{term}{suffix}'


def check_losses(losses, data):
    theirs = {k: v for k, v in data['losses'].items() if k != 'total_weighted'}
    table = data['weight_dict']
    ours = {published_name(name): loss for name, loss in losses.items()}
    assert set(ours) == set(theirs)
    for name, loss in ours.items():
        close(loss / table[name], theirs[name], LOSS)
    total = data['losses']['total_weighted']
    close(sum(losses.values()), total, LOSS)


@files('criterion_')
def test_criterion(name, monkeypatch):
    data = read(name)
    given = data['inputs']['outputs']
    for tensors in given.values():
        for tensor in tensors.values():
            tensor.requires_grad_()
    aux = sorted(tag for tag in given if tag.startswith('aux_'))
    noised = sorted(tag for tag in given if tag.startswith('dn_aux_'))
    dn = data['inputs'].get('dn')
    denoising = None
    if 'dn_final' in given and dn:
        sizes = torch.tensor(
            [len(t.labels) for t in targets_of(data['inputs'])]
        )
        size, groups = int(sizes.max()), dn['scalar']
        slots = [
            (i, g * size + t)
            for g in range(groups)
            for i, number in enumerate(sizes.tolist())
            for t in range(number)
        ]
        image, slot = torch.tensor(slots).T
        denoising = DenoisingQueries(None, None, image, slot, groups, size)
    output = DecoderOutput(
        [prediction(given[tag]) for tag in (*aux, 'final')],
        prediction(given['interm']) if 'interm' in given else None,
        [prediction(given[t]) for t in (*noised, 'dn_final')]
        if denoising
        else [],
    )
    losses = run_criterion(data, output, denoising, monkeypatch)
    check_losses(losses, data)
    final = dict(
        zip(('pred_logits', 'pred_masks', 'pred_boxes'), output.layers[-1])
    )
    kinds = dict(
        cls='pred_logits',
        mask='pred_masks',
        dice='pred_masks',
        bbox='pred_boxes',
        giou='pred_boxes',
    )
    single = data['grads']['of_single_terms_final']
    for term, kind in kinds.items():
        loss = losses[f'loss_{term}']
        loss = loss / data['weight_dict'][published_name(f'loss_{term}')]
        (grad,) = torch.autograd.grad(loss, final[kind], retain_graph=True)
        close(grad, single[published_name(f'loss_{term}')], LOSS)
    sum(losses.values()).backward()
    for tag, grads in data['grads']['of_total_weighted'].items():
        for kind, theirs in grads.items():
            ours = given[tag][kind].grad
            close(
                torch.zeros_like(theirs) if ours is None else ours,
                theirs,
                LOSS,
            )


# ---------------------------------------------------------------- inference


def check_instances(ours, theirs, boxes):
    """Compare sets of instances whose order does not count."""
    scores, labels, query, masks = ours
    order, reference = scores.argsort(), theirs['scores'].argsort()
    close(scores[order], theirs['scores'][reference])
    assert torch.equal(labels[order], theirs['pred_classes'][reference])
    assert torch.equal(masks[order], theirs['pred_masks'][reference])
    close(boxes[query][order], theirs['pred_boxes_xyxy'][reference])


def check_panoptic(ours, theirs, things):
    segments, classes = ours
    assert torch.equal(segments, theirs['panoptic_seg'])
    info = in_order(theirs.get('segments_info', {}))
    assert [i['category_id'] for i in info] == classes
    assert [i['isthing'] for i in info] == [c < things for c in classes]


def settings_of(config):
    things = len(config['thing_classes'].split(','))
    temperature = config['pano_temp'] if config['transform_eval'] else None
    return dict(
        temperature=temperature,
        panoptic=(
            things,
            config['object_mask_threshold'],
            config['overlap_threshold'],
            temperature,
        ),
        instance=(
            config['test_topk_per_image'],
            things if config['panoptic_on'] else None,
            config['focus_on_box'],
        ),
    )


def pixels(boxes, height, width):
    cx, cy, w, h = boxes.unbind(-1)
    corners = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
    return torch.stack(corners, -1) * torch.tensor([width, height] * 2)


def same(masks):
    return masks


def test_inference_functions():
    data = read('postprocess_functions')
    inputs = data['inputs']
    logits, masks = inputs['mask_cls'], inputs['mask_pred']
    boxes = pixels(
        inputs['pred_boxes'], inputs['box_height'], inputs['box_width']
    )
    for variant, changes in data['variants'].items():
        theirs = data['outputs'][variant]
        settings = settings_of({**data['config'], **changes})
        semantic = semantic_map(
            logits[None], masks[None], False, settings['temperature']
        )
        close(semantic[0], theirs['semantic'])
        segments = panoptic_segments(
            logits, masks, same, *settings['panoptic']
        )
        check_panoptic(segments, theirs['panoptic'], 3)
        found = instances(logits, masks, same, *settings['instance'])
        # the published function converts boxes relative to one, not to pixels
        check_instances(found, theirs['instance'], boxes)
    nothing = panoptic_segments(logits - 5, masks, same, 3, 0.999, 0.8, 0.06)
    check_panoptic(nothing, data['outputs']['nothing_kept'], 3)
    softmax = semantic_map(inputs['mask_cls_ce'][None], masks[None], True)
    close(softmax[0], data['outputs']['semantic_ce'])


def sample_of(image, padded):
    size = (image['input_height'], image['input_width'])
    return DetDataSample(
        metainfo=dict(
            img_shape=size,
            ori_shape=(image['output_height'], image['output_width']),
            batch_input_shape=padded,
        )
    )


def test_inference_of_a_batch():
    """The fusion head's results of a padded batch."""
    data = read('postprocess_model')
    inputs = data['inputs']
    padded = (inputs['padded_height'], inputs['padded_width'])
    samples = [
        sample_of(image, padded) for image in in_order(inputs['images'])
    ]
    for variant in ('panoptic_model', 'instance_model'):
        config = {**data['config'], **data['variants'][variant]}
        panoptic = config['panoptic_on']
        head = MaskDINOFusionHead(
            num_things_classes=3 if panoptic else 6,
            num_stuff_classes=3 if panoptic else 0,
            test_cfg=dict(
                panoptic_on=panoptic,
                instance_on=True,
                max_per_image=config['test_topk_per_image'],
                object_mask_thr=config['object_mask_threshold'],
                iou_thr=config['overlap_threshold'],
                temperature=config['pano_temp'],
            ),
        )
        results = head.predict(prediction(inputs), samples, rescale=True)
        for ours, theirs in zip(results, in_order(data['outputs'][variant])):
            found = ours['ins_results']
            given = theirs['instance']
            order, reference = (
                found.scores.argsort(),
                given['scores'].argsort(),
            )
            close(found.scores[order], given['scores'][reference])
            assert torch.equal(
                found.labels[order], given['pred_classes'][reference]
            )
            assert torch.equal(
                found.masks[order], given['pred_masks'][reference]
            )
            # mmdet's boxes end at the image's border, the published may not
            height, width = found.masks.shape[-2:]
            limit = torch.tensor([width, height] * 2)
            boxes = given['pred_boxes_xyxy'][reference].clamp(min=0)
            close(found.bboxes[order], boxes.minimum(limit))
            assert panoptic == ('pan_results' in ours)
            if panoptic:
                check_coded(ours['pan_results'].sem_seg[0], theirs['panoptic'])


def check_coded(ours, theirs):
    """A panoptic map whose numbers hold class and instance."""
    segments = theirs['panoptic_seg']
    assert (ours[segments == 0] == 6).all()
    for info in in_order(theirs['segments_info']):
        (code,) = ours[segments == info['id']].unique().tolist()
        assert code % INSTANCE_OFFSET == info['category_id']
        assert (code >= INSTANCE_OFFSET) == info['isthing']


def test_semantic_inference_of_a_batch(monkeypatch):
    """mmseg's head and segmentor, whose map has the padded size first."""
    pytest.importorskip('mmseg')
    from mmseg.models.segmentors import EncoderDecoder
    from mmseg.structures import SegDataSample

    from mmfdconv.models.maskdino.seg_head import MaskDINOSegHead

    data = read('postprocess_model')
    inputs = data['inputs']
    padded = (inputs['padded_height'], inputs['padded_width'])
    head = MaskDINOSegHead(
        [32],
        6,
        feat_channels=32,
        pixel_decoder=dict(
            encoder_levels=[0], num_extra_levels=0, num_layers=1, num_heads=2
        ),
        decoder=dict(num_queries=12, num_layers=1, num_heads=2),
    )
    outputs = dict(inputs, pred_logits=inputs['pred_logits_ce'])
    monkeypatch.setattr(
        head,
        'forward',
        lambda feats: DecoderOutput([prediction(outputs)], None, []),
    )
    scores = head.predict(None, [dict(img_shape=padded)])
    segmentor = EncoderDecoder.__new__(EncoderDecoder)
    torch.nn.Module.__init__(segmentor)
    segmentor.align_corners, segmentor.out_channels = False, 6
    samples = []
    for image in in_order(inputs['images']):
        sample = sample_of(image, padded)
        height, width = sample.img_shape
        padding = (0, padded[1] - width, 0, padded[0] - height)
        samples.append(
            SegDataSample(metainfo=dict(sample.metainfo, padding_size=padding))
        )
    results = segmentor.postprocess_result(scores, samples)
    theirs = in_order(data['outputs']['semantic_ce_model'])
    for ours, reference in zip(results, theirs):
        close(ours.seg_logits.data, reference['semantic'])


# -------------------------------------------------------------------- units


def test_boxes_around_masks():
    data = read('units')['masks_to_boxes']
    masks, theirs = data['inputs']['masks'], data['outputs']
    for kind in ('mask2box', 'bitmask'):
        ours = boxes_around_masks(masks, kind == 'bitmask')
        filled = masks.flatten(1).any(1)
        close(ours[filled], theirs[f'{kind}_cxcywh_normalised'][filled])
        logits = inverse_sigmoid(ours)
        close(logits, theirs[f'{kind}_refpoint_unsigmoid'])


def test_generalized_box_iou():
    data = read('units')['generalized_box_iou']

    def centred(boxes):
        low, high = boxes[:, :2], boxes[:, 2:]
        return torch.cat([(low + high) / 2, high - low], 1)

    boxes1 = centred(data['inputs']['boxes1_xyxy'])
    boxes2 = centred(data['inputs']['boxes2_xyxy'])
    close(generalized_box_iou(boxes1[:, None], boxes2), data['outputs'])


class _Proposals:
    memory_trans_fc = memory_trans_norm = staticmethod(same)


def test_what_is_borrowed():
    """The functions of mmdet and mmcv that stand for the published ones."""
    units = read('units')
    sigmoid = units['inverse_sigmoid']
    close(
        inverse_sigmoid(sigmoid['inputs']['x'], sigmoid['eps']),
        sigmoid['outputs'],
    )
    sine = units['sine_of_boxes']
    for key, features in (
        ('outputs_128', 128),
        ('outputs_small', sine['small_features']),
    ):
        close(
            coordinate_to_encoding(sine['inputs']['pos'], features), sine[key]
        )
    position = units['position_embedding']
    encoding = SinePositionalEncoding(16, normalize=True)
    mask = position['inputs']['mask']
    close(encoding(torch.zeros_like(mask[:1])), position['outputs'])
    close(encoding(mask), position['outputs_masked'])
    given = units['encoder_reference_points']
    close(
        DeformableDetrTransformerEncoder.get_encoder_reference_points(
            given['inputs']['spatial_shapes'],
            given['inputs']['valid_ratios'],
            'cpu',
        ),
        given['outputs'],
    )
    given = units['encoder_proposals']
    memory, priors = DeformableDETR.gen_encoder_output_proposals(
        _Proposals(),
        given['inputs']['memory'],
        given['inputs']['padding_mask'],
        given['inputs']['spatial_shapes'],
    )
    close(memory, given['outputs']['output_memory'])
    close(priors, given['outputs']['output_proposals'])
    given = units['point_sample']
    close(
        matching_module.point_sample(
            given['inputs']['image'], given['inputs']['point_coords_xy']
        ),
        given['outputs'],
    )
