"""Detections beside the truth: what is drawn, what is refused."""

import subprocess
import sys

import numpy as np
import pytest

from mmfdconv.analysis import plot_detections
from mmfdconv.analysis.detections import _place_caption
from mmfdconv.datasets import make_shapes


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    return make_shapes(folder, num_train=1, num_val=3, image_size=64)


@pytest.fixture(scope='module')
def predictions(dataset):
    """The truth as predictions, in the form of mmdet's DumpDetResults."""
    torch = pytest.importorskip('torch')
    coco = pytest.importorskip('pycocotools.coco')
    api = coco.COCO(str(dataset / 'annotations/instances_val.json'))
    found = []
    for image_id in api.imgs:
        anns = api.imgToAnns[image_id]
        instances = dict(
            labels=torch.tensor([ann['category_id'] - 1 for ann in anns]),
            scores=torch.linspace(0.3, 0.9, len(anns)),
            masks=[api.annToRLE(ann) for ann in anns],
        )
        found.append(dict(img_id=image_id, pred_instances=instances))
    return found


def picture(path):
    cv2 = pytest.importorskip('cv2')
    pixels = cv2.imread(str(path))
    assert pixels is not None
    return pixels


@pytest.mark.core
def test_detections_are_drawn_beside_the_truth(dataset, predictions, tmp_path):
    pytest.importorskip('matplotlib')

    def draw(name, **options):
        return picture(
            plot_detections(
                predictions,
                dataset / 'annotations/instances_val.json',
                dataset / 'val',
                tmp_path / name,
                **options,
            )
        )

    one, two, all_three = (
        draw(f'{n}.png', number=n, score_threshold=0) for n in (1, 2, 9)
    )
    assert one.shape[0] < two.shape[0] < all_three.shape[0]

    # Predictions that are the truth give the same colours in both columns,
    # but for the captions, which are longer where they tell a score.
    third = all_three.shape[1] // 3
    saturation = all_three.max(-1).astype(int) - all_three.min(-1)
    annotated = (saturation[:, third : 2 * third] > 40).mean()
    predicted = (saturation[:, 2 * third :] > 40).mean()
    assert annotated > 0.05
    assert predicted == pytest.approx(annotated, rel=0.25)

    nothing = draw('nothing.png', number=9, score_threshold=1)
    saturation = nothing.max(-1).astype(int) - nothing.min(-1)
    legend = nothing.shape[0] - 100
    assert (saturation[:legend, 2 * third + 20 :] > 40).mean() < 0.001


@pytest.mark.core
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(number=0), 'number must be .* got 0'),
        (dict(number=1.5), 'number must be .* got 1.5'),
        (dict(score_threshold=1.5), r'score_threshold must be .* got 1.5'),
        (dict(predictions=[]), 'predictions must have the img_id'),
        (dict(images='nowhere'), "images must hold .*nowhere/000000.jpg'"),
    ],
)
def test_wrong_arguments_are_named(
    dataset, predictions, tmp_path, options, message
):
    pytest.importorskip('matplotlib')
    arguments = dict(
        predictions=predictions,
        annotations=dataset / 'annotations/instances_val.json',
        images=dataset / 'val',
        out=tmp_path / 'out.png',
    )
    with pytest.raises(ValueError, match=message):
        plot_detections(**dict(arguments, **options))
    assert not (tmp_path / 'out.png').exists()


@pytest.mark.core
def test_captions_keep_apart_and_inside():
    mask = np.zeros((64, 64), dtype=bool)
    mask[:8, :8] = True  # in the corner, where all want to be
    taken = []
    for width in (20, 12, 20, 30, 12):
        extent = np.array([width, 6.0])
        centre = _place_caption(mask, extent, taken)
        assert (centre >= extent / 2).all()
        assert (centre <= 64 - extent / 2).all()
        for other, size in taken:
            assert (abs(centre - other) >= (extent + size) / 2).any()
        taken.append((centre, extent))


@pytest.mark.core
def test_matplotlib_waits_until_a_picture_is_wanted():
    code = (
        'import sys, mmfdconv.analysis, mmfdconv.datasets\n'
        "print({'matplotlib', 'pycocotools', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert 'matplotlib' not in done.stdout
    assert 'pycocotools' not in done.stdout
