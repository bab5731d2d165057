"""The cropland scores: against scikit-learn's, by hand, in MMEngine."""

import json
import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import METRICS

from mmfdconv.datasets import GID_CLASSES
from mmfdconv.engine.launch import close_process_group
from mmfdconv.evaluation import CroplandMetric, cropland_scores
from mmfdconv.evaluation.cropland_metric import confusion_matrix

from ..processes import START

pytestmark = pytest.mark.core

COLUMNS = ['OA', 'mIoU', 'Acc', 'P', 'R', 'F1', 'IoU']
FARMLAND = GID_CLASSES.index('farmland')


def sample(label, prediction, **others):
    """What mmseg hands to a metric for one image."""
    return dict(
        gt_sem_seg=dict(data=torch.as_tensor(label)[None]),
        pred_sem_seg=dict(data=torch.as_tensor(prediction)[None]),
        **others,
    )


def random_masks(seed, classes=6, shape=(7, 9)):
    """A label and a prediction that agree on about half of the pixels."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, shape)
    other = rng.integers(0, classes, shape)
    return label, np.where(rng.random(shape) < 0.5, label, other)


def evaluate(metric, samples, classes=GID_CLASSES):
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = dict(classes=classes)
    for one in samples:
        evaluator.process([one], None)
    return evaluator.evaluate(len(samples))


def sklearn_scores(label, prediction, index, labels):
    metrics = pytest.importorskip('sklearn.metrics')
    one, found = label == index, prediction == index
    return [
        metrics.accuracy_score(label, prediction),
        metrics.jaccard_score(
            label, prediction, labels=labels, average='macro'
        ),
        metrics.accuracy_score(one, found),
        metrics.precision_score(one, found),
        metrics.recall_score(one, found),
        metrics.f1_score(one, found),
        metrics.jaccard_score(one, found),
    ]


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('ignored', [(), ('background',)])
@pytest.mark.parametrize('unlabelled', [0.0, 0.3])
def test_scores_are_scikit_learns(seed, ignored, unlabelled):
    masks = [random_masks([seed, k]) for k in range(4)]
    drop = np.random.default_rng(seed)
    for label, _ in masks:
        label[drop.random(label.shape) < unlabelled] = 255
    metric = CroplandMetric('farmland', ignore_classes=ignored)
    result = evaluate(metric, [sample(*pair) for pair in masks])

    label, prediction = (
        np.concatenate([pair[k].ravel() for pair in masks]) for k in (0, 1)
    )
    kept = label != 255
    if ignored:
        kept &= label != 0
    assert list(result) == [f'cropland/{name}' for name in COLUMNS]
    expected = sklearn_scores(
        label[kept],
        prediction[kept],
        FARMLAND,
        list(range(len(ignored), len(GID_CLASSES))),
    )
    assert list(result.values()) == pytest.approx(
        [100 * value for value in expected], abs=1e-9
    )


def test_scores_by_hand():
    #          predicted: field, wood, lake
    confusion = [[6, 1, 1], [2, 5, 0], [0, 0, 5]]
    assert cropland_scores(confusion, 0) == pytest.approx(
        dict(
            OA=16 / 20,
            mIoU=(6 / 10 + 5 / 8 + 5 / 6) / 3,
            Acc=16 / 20,
            P=6 / 8,
            R=6 / 8,
            F1=6 / 8,
            IoU=6 / 10,
        )
    )
    # Lakes' pixels are left out; the field that is taken for one is not.
    assert cropland_scores(confusion, 0, ignore=[2]) == pytest.approx(
        dict(
            OA=11 / 15,
            mIoU=(6 / 10 + 5 / 8) / 2,
            Acc=11 / 15,
            P=6 / 8,
            R=6 / 8,
            F1=6 / 8,
            IoU=6 / 10,
        )
    )


def test_a_score_of_nothing_is_nan():
    scores = cropland_scores([[4, 0], [0, 0]], 1)
    assert (scores['OA'], scores['mIoU'], scores['Acc']) == (1, 1, 1)
    assert all(math.isnan(scores[name]) for name in COLUMNS[3:])
    missed = cropland_scores([[4, 0], [2, 0]], 1)
    assert math.isnan(missed['P'])
    assert (missed['R'], missed['F1'], missed['IoU']) == (0, 0, 0)
    nothing = cropland_scores([[0, 0], [0, 0]], 1)
    assert all(math.isnan(value) for value in nothing.values())


def test_counts_are_whole_numbers_beyond_floats():
    # float32 counts, as histograms give them, stop at 2 ** 24.
    many = 2**40
    scores = cropland_scores([[many, 1], [0, many + 1]], 1)
    assert scores['P'] == (many + 1) / (many + 2)
    label = torch.ones(1, 3, dtype=torch.uint8).numpy()
    matrix = confusion_matrix(label, label.astype(np.int32), 2)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[0, 0], [0, 3]]


def test_an_image_more_counts_by_its_pixels():
    small = sample(np.ones((1, 1), int), np.zeros((1, 1), int))
    large = sample(np.ones((3, 3), int), np.ones((3, 3), int))
    metric = CroplandMetric()
    result = evaluate(metric, [small, large], ('other', 'cropland'))
    assert result['cropland/OA'] == pytest.approx(90)


def test_it_is_found_from_mmsegs_scope_and_logs_the_columns():
    pytest.importorskip('mmseg')
    from mmseg.registry import METRICS as MMSEG_METRICS

    cfg = dict(type='CroplandMetric', class_name='farmland', prefix='val')
    metric = MMSEG_METRICS.build(cfg)
    assert isinstance(metric, METRICS.get('CroplandMetric'))
    logger = MMLogger.get_instance('cropland')
    records = []
    logger.filter = lambda record: bool(records.append(record.getMessage()))
    result = evaluate(metric, [sample(*random_masks(0))])
    assert list(result)[0] == 'val/OA'
    (text,) = (text for text in records if 'farmland' in text)
    head, row = text.splitlines()[1:]
    assert head.split() == COLUMNS
    assert [float(x) for x in row.split()] == pytest.approx(
        list(result.values()), abs=0.005
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(), "no class 'cropland' in the dataset, which has"),
        (
            dict(class_name='farmland', ignore_classes=['sky']),
            "no class 'sky'",
        ),
    ],
)
def test_unknown_classes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(CroplandMetric(**options), [sample(*random_masks(0))])


def test_wrong_masks_are_named():
    metric = CroplandMetric('farmland')
    label, prediction = random_masks(0)
    label[2, 3] = 6
    with pytest.raises(ValueError, match='a.tif: label 6 is none of 6'):
        evaluate(metric, [sample(label, prediction, img_path='a.tif')])
    with pytest.raises(ValueError, match='the prediction of'):
        evaluate(metric, [sample(label, prediction[1:])])
    with pytest.raises(ValueError, match='is among ignore_classes'):
        CroplandMetric('farmland', ignore_classes='farmland')
    with pytest.raises(ValueError, match='prediction -1 is none of 6'):
        confusion_matrix(label * 0, prediction * 0 - 1, 6)


def evaluate_as_rank(rank, folder):
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/met', rank=rank, world_size=2
    )
    metric = CroplandMetric('farmland', ignore_classes='background')
    metric.dataset_meta = dict(classes=GID_CLASSES)
    # As DistributedSampler deals 3 images to 2 processes: the first twice.
    for index in ([0, 2], [1, 0])[rank]:
        metric.process(None, [sample(*random_masks(index))])
    found = list(metric.evaluate(3).values())
    (folder / str(rank)).write_text(json.dumps(found))
    close_process_group()


def test_two_processes_count_every_image_once(tmp_path):
    mp.start_processes(evaluate_as_rank, (tmp_path,), nprocs=2, **START)
    alone = evaluate(
        CroplandMetric('farmland', ignore_classes='background'),
        [sample(*random_masks(index)) for index in range(3)],
    )
    for rank in '01':
        found = json.loads((tmp_path / rank).read_text())
        assert found == pytest.approx(list(alone.values()))
