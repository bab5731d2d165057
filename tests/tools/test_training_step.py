"""tools/analysis/training_step.py, in this process."""

import json

import pytest

pytest.importorskip('mmdet')

from mmfdconv.commands import main

QUICK = '--batch 1 --shape 64x64 --rounds 2'.split()


def test_detectors_of_different_classes_are_timed(tmp_path, capsys):
    """Six classes of objects, and the stock eighty."""
    configs = [
        'mmfdconv::mmdet/shapes/mask-rcnn_r18-fdconv_fpn_shapes.py',
        'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    ]
    out = tmp_path / 'step.json'
    main('step', [*configs, *QUICK, '--out', str(out)])
    rows = json.loads(out.read_text())['results']
    assert [row['method'] for row in rows] == ['stock', configs[1]]
    assert f'stock: {configs[0]}' in capsys.readouterr().out


def test_a_method_is_compared_with_the_config_as_it_is(tmp_path):
    config = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
    out = tmp_path / 'step.json'
    quick = [*QUICK, '--conv', 'dcd']
    main('step', [config, *quick, '--out', str(out)])
    rows = json.loads(out.read_text())['results']
    methods = ['stock', f'{config} --conv dcd']
    assert [row['method'] for row in rows] == methods
    assert rows[0]['memory_bytes'] < rows[1]['memory_bytes']


def test_a_model_of_another_toolbox_is_refused():
    pytest.importorskip('mmseg')
    name = 'mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py'
    with pytest.raises(SystemExit, match=f'must be of mmdet, got {name}'):
        main('step', [name])


def test_a_detector_of_one_class(tmp_path, capsys):
    config = tmp_path / 'people.py'
    config.write_text(
        "_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'\n"
        'model = dict(bbox_head=dict(num_classes=1))'
    )
    main('step', [str(config), *QUICK, '--conv', 'dcd'])
    assert f'stock: {config}' in capsys.readouterr().out


TEACHER = """
_base_ = 'mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py'
detector = dict(
    backbone=dict(depth=18, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512]))
model = dict(detector=detector)
"""  # noqa: E501
VIDEO = """
_base_ = 'mmdet::mask2former_vis/mask2former_r50_8xb2-8e_youtubevis2021.py'
model = dict(
    backbone=dict(depth=18, init_cfg=None),
    track_head=dict(in_channels=[64, 128, 256, 512]))
"""


@pytest.mark.parametrize(
    'text, kind', [(TEACHER, 'SoftTeacher'), (VIDEO, 'Mask2FormerVideo')]
)
def test_what_trains_on_other_things_than_images_is_refused(
    tmp_path, text, kind
):
    config = tmp_path / 'other.py'
    config.write_text(text)
    with pytest.raises(SystemExit, match=f'{kind} gives no loss of images'):
        main('step', [str(config), *QUICK])
