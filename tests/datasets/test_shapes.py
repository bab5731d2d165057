"""The made-up dataset: valid COCO, reproducible, never half-written."""

import shutil
from collections import Counter

import numpy as np
import pytest

pytest.importorskip('pycocotools')

from mmfdconv.datasets import SHAPES_CLASSES, make_shapes, shapes
from mmfdconv.datasets.shapes_drawing import draw_image

SMALL = dict(num_train=5, num_val=3, image_size=96)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """One dataset for all tests that only read."""
    return make_shapes(tmp_path_factory.mktemp('data') / 'shapes', **SMALL)


@pytest.fixture
def own_dataset(dataset, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(dataset, tmp_path / 'shapes')


def files(folder):
    """Every file of a folder, with its content and time of writing."""
    return {
        path.relative_to(folder).as_posix(): (
            path.read_bytes(),
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob('*')
        if path.is_file()
    }


def contents(folder):
    return {name: data for name, (data, _) in files(folder).items()}


@pytest.mark.core
@pytest.mark.parametrize('split', ['train', 'val'])
def test_coco_tools_read_it(dataset, split):
    coco = pytest.importorskip('pycocotools.coco')
    api = coco.COCO(str(dataset / f'annotations/instances_{split}.json'))

    names = [category['name'] for category in api.dataset['categories']]
    assert names == list(SHAPES_CLASSES)
    assert len(api.imgs) == SMALL[f'num_{split}']
    assert len(api.anns) == len(api.dataset['annotations'])
    for image_id, image in api.imgs.items():
        assert (dataset / split / image['file_name']).is_file()
        size = image['height'], image['width']
        owners = np.zeros(size, dtype=int)
        assert api.imgToAnns[image_id]
        for ann in api.imgToAnns[image_id]:
            mask = api.annToMask(ann)
            assert mask.shape == size
            assert ann['area'] == mask.sum() >= 64
            rows, columns = np.nonzero(mask)
            x, y, width, height = ann['bbox']
            assert (x, y) == (columns.min(), rows.min())
            assert x + width == columns.max() + 1
            assert y + height == rows.max() + 1
            assert ann['category_id'] in api.cats
            assert ann['iscrowd'] == 0
            owners += mask
        # Of shapes that overlap, only the one in front owns the pixel.
        assert owners.max() == 1


@pytest.mark.core
def test_images_show_what_the_annotations_say(dataset):
    cv2 = pytest.importorskip('cv2')
    image = cv2.imread(str(dataset / 'val' / '000000.jpg'))[..., ::-1]
    drawn, _ = draw_image(np.random.default_rng([0, 1, 0]), 96)
    assert image.shape == drawn.shape
    # JPEG changes pixels a little, another picture would by much more.
    assert abs(image.astype(float) - drawn).mean() < 8


@pytest.mark.core
def test_same_settings_give_the_same_bytes(dataset, tmp_path):
    again = make_shapes(tmp_path / 'again', **SMALL)
    assert contents(again) == contents(dataset)


@pytest.mark.core
def test_another_seed_gives_other_images(dataset, tmp_path):
    other = contents(make_shapes(tmp_path / 'other', **SMALL, seed=1))
    images = {k for k in other if k.endswith('.jpg')}
    assert all(other[k] != contents(dataset)[k] for k in images)


def test_a_larger_dataset_starts_with_the_smaller_one(dataset, tmp_path):
    settings = dict(SMALL, num_train=SMALL['num_train'] + 1)
    larger = contents(make_shapes(tmp_path / 'larger', **settings))
    for name, data in contents(dataset).items():
        if name.endswith('.jpg') or name.endswith('_val.json'):
            assert larger[name] == data


@pytest.mark.core
def test_no_image_is_in_both_splits(tmp_path):
    folder = make_shapes(
        tmp_path / 'shapes', num_train=20, num_val=20, image_size=64
    )
    images = [data for k, data in contents(folder).items() if k[-4:] == '.jpg']
    assert len(images) == len(set(images)) == 40


def test_all_classes_occur_and_shapes_overlap():
    labels = Counter()
    overlaps = 0
    for index in range(40):
        _, drawn = draw_image(np.random.default_rng(index), 96)
        labels.update(label for label, _ in drawn)
        boxes = np.zeros((96, 96), dtype=int)
        for _, mask in drawn:
            boxes += mask.any(1)[:, None] & mask.any(0)
        overlaps += boxes.max() > 1
    assert set(labels) == set(range(len(SHAPES_CLASSES)))
    assert min(labels.values()) > 10
    assert overlaps > 20


@pytest.mark.core
def test_a_complete_dataset_is_kept(own_dataset, monkeypatch):
    before = files(own_dataset)
    said = []
    monkeypatch.setattr(shapes, 'print_log', lambda *args: said.append(args))
    assert make_shapes(own_dataset, **SMALL) == own_dataset
    assert files(own_dataset) == before
    assert said == [
        (f'{own_dataset}: kept, it is complete already', 'current')
    ]


@pytest.mark.core
@pytest.mark.parametrize(
    'name', ['val/000000.jpg', 'annotations/instances_train.json']
)
def test_a_dataset_that_lost_a_file_is_not_complete(own_dataset, name):
    before = contents(own_dataset)
    (own_dataset / name).unlink()
    with pytest.raises(ValueError, match=f'lacks 1 .*{name}.*overwrite=True'):
        make_shapes(own_dataset, **SMALL)
    make_shapes(own_dataset, **SMALL, overwrite=True)
    assert contents(own_dataset) == before


@pytest.mark.core
def test_other_settings_replace_only_when_asked(own_dataset):
    settings = dict(SMALL, num_val=1)
    before = files(own_dataset)
    with pytest.raises(ValueError, match='overwrite=True'):
        make_shapes(own_dataset, **settings)
    assert files(own_dataset) == before

    make_shapes(own_dataset, **settings, overwrite=True)
    assert len(list((own_dataset / 'val').iterdir())) == 1
    assert [path.name for path in own_dataset.parent.iterdir()] == ['shapes']


@pytest.mark.core
@pytest.mark.parametrize('overwrite', [False, True])
def test_foreign_files_are_never_touched(tmp_path, overwrite):
    (tmp_path / 'thesis.txt').write_text('the only copy')
    before = files(tmp_path)
    with pytest.raises(ValueError, match='not a shapes dataset'):
        make_shapes(tmp_path, **SMALL, overwrite=overwrite)
    with pytest.raises(ValueError, match='not a shapes dataset'):
        make_shapes(tmp_path / 'thesis.txt', **SMALL, overwrite=overwrite)
    assert files(tmp_path) == before


@pytest.mark.core
def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def interrupted(*args):
        calls.append(args)
        if len(calls) > SMALL['num_train'] + 1:  # in the middle of val
            raise KeyboardInterrupt
        return draw_image(*args)

    monkeypatch.setattr(shapes, 'draw_image', interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_shapes(tmp_path / 'shapes', **SMALL)
    assert list(tmp_path.iterdir()) == []

    monkeypatch.undo()
    make_shapes(tmp_path / 'shapes', **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ['shapes']


def test_an_interrupted_replacement_keeps_the_old(own_dataset, monkeypatch):
    before = files(own_dataset)

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(shapes, 'draw_image', interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_shapes(own_dataset, **SMALL, **dict(seed=9, overwrite=True))
    assert files(own_dataset) == before
    assert [path.name for path in own_dataset.parent.iterdir()] == ['shapes']


def test_a_link_to_another_disk_stays_a_link(own_dataset, tmp_path):
    link = tmp_path / 'link'
    link.symlink_to(own_dataset)
    make_shapes(link, **dict(SMALL, num_val=1), overwrite=True)
    assert link.is_symlink()
    assert len(list((own_dataset / 'val').iterdir())) == 1


@pytest.mark.core
@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('num_train', 0),
        ('num_train', 2.5),
        ('num_val', -1),
        ('num_val', True),
        ('image_size', 63),
        ('image_size', '128'),
        ('seed', -1),
        ('seed', None),
    ],
)
def test_wrong_arguments_are_named(tmp_path, name, value):
    with pytest.raises(ValueError, match=f'{name} must be .* got {value!r}'):
        make_shapes(tmp_path / 'shapes', **dict(SMALL, **{name: value}))
    assert list(tmp_path.iterdir()) == []


def test_numpy_integers_are_integers(dataset, tmp_path):
    settings = {name: np.int64(value) for name, value in SMALL.items()}
    folder = make_shapes(tmp_path / 'shapes', **settings)
    assert contents(folder) == contents(dataset)
