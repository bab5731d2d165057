"""tools/analysis/training_step.py, in this process."""

import json

import pytest

pytest.importorskip('mmdet')

from mmfdconv.commands import main


def test_detectors_of_different_classes_are_timed(tmp_path, capsys):
    """Six classes of objects, and the stock eighty."""
    configs = [
        'mmfdconv::mmdet/shapes/mask-rcnn_r18-fdconv_fpn_shapes.py',
        'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    ]
    out = tmp_path / 'step.json'
    quick = '--batch 1 --shape 64x64 --rounds 2'.split()
    main('step', [*configs, *quick, '--out', str(out)])
    rows = json.loads(out.read_text())['results']
    assert [row['method'] for row in rows] == ['stock', configs[1]]
    assert f'stock: {configs[0]}' in capsys.readouterr().out


def test_a_method_is_compared_with_the_config_as_it_is(tmp_path):
    config = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
    out = tmp_path / 'step.json'
    quick = '--batch 1 --shape 64x64 --rounds 2 --conv dcd'.split()
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
