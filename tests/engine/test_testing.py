import pytest

pytest.importorskip('mmengine')

from mmengine.config import Config

from mmfdconv.commands import build_parser
from mmfdconv.engine import testing

LOAD = dict(type='LoadImageFromFile')


def _cfg(scope, **extra):
    pack = dict(
        mmdet='PackDetInputs', mmseg='PackSegInputs', mmpretrain='PackInputs'
    )[scope]
    return Config(
        dict(
            default_scope=scope,
            model=dict(type='Model'),
            test_dataloader=dict(
                dataset=dict(
                    type='RepeatDataset',
                    dataset=dict(pipeline=[LOAD, dict(type=pack)]),
                )
            ),
            test_evaluator=dict(type='Metric'),
            default_hooks=dict(visualization=dict(type='Hook')),
            visualizer=dict(type='Visualizer'),
            **extra,
        )
    )


@pytest.mark.parametrize(
    ('scope', 'kind'),
    [('mmdet', 'DumpDetResults'), ('mmpretrain', 'DumpResults')],
)
def test_a_pickle_is_one_more_metric(scope, kind, tmp_path):
    out = str(tmp_path / 'new' / 'out.pkl')
    cfg = _cfg(scope)
    testing.dump_predictions(cfg, out)
    assert cfg.test_evaluator == [
        dict(type='Metric'),
        dict(type=kind, out_file_path=out),
    ]
    assert (tmp_path / 'new').is_dir()


def test_mmseg_writes_a_folder(tmp_path):
    cfg = _cfg('mmseg')
    testing.dump_predictions(cfg, str(tmp_path))
    assert cfg.test_evaluator == [
        dict(type='Metric', output_dir=str(tmp_path), keep_results=True)
    ]


def test_what_a_resumed_training_wrote_is_tested_and_not_resumed(tmp_path):
    pytest.importorskip('mmdet')
    config, checkpoint = tmp_path / 'a.py', tmp_path / 'a.pth'
    config.write_text("default_scope = 'mmdet'\nresume = True\n")
    checkpoint.touch()
    parser, command = build_parser('test', 'test')
    words = [str(config), str(checkpoint)]
    with pytest.raises(ValueError, match='config: must have test_dataloader'):
        command.load_config(parser.parse_args(words))
    with config.open('a') as file:
        file.write('test_dataloader = test_evaluator = test_cfg = dict()\n')
    assert command.load_config(parser.parse_args(words)).resume is False


def test_a_metric_that_writes_nothing_gets_company(tmp_path):
    METRICS = pytest.importorskip('mmseg.registry').METRICS
    pytest.importorskip('mmseg.evaluation')
    cfg = _cfg('mmseg')
    cfg.test_evaluator = dict(type='CroplandMetric')
    testing.dump_predictions(cfg, str(tmp_path))
    writer, cropland = map(METRICS.build, cfg.test_evaluator)
    assert (writer.output_dir, writer.format_only) == (str(tmp_path), True)
    assert type(cropland).__name__ == 'CroplandMetric'


@pytest.mark.parametrize(
    ('scope', 'out', 'right'),
    [
        ('mmdet', 'out.json', 'must end with .pkl or .pickle'),
        ('mmpretrain', 'out', 'must end with .pkl or .pickle'),
        ('mmseg', 'out.pkl', 'must be a folder'),
    ],
)
def test_a_wrong_out_is_named(scope, out, right):
    with pytest.raises(ValueError, match=f"--out: '{out}' {right}"):
        testing.dump_predictions(_cfg(scope), out)


def test_show_dir_reaches_what_draws():
    cfg = _cfg('mmdet')
    testing.draw_predictions(cfg, show_dir='drawn')
    assert cfg.default_hooks.visualization == dict(
        type='Hook', draw=True, test_out_dir='drawn'
    )
    cfg = _cfg('mmseg')
    testing.draw_predictions(cfg, show_dir='drawn')
    assert cfg.default_hooks.visualization == dict(
        type='Hook', draw=True, interval=1
    )
    assert cfg.visualizer.save_dir == 'drawn'
    cfg = _cfg('mmpretrain')
    testing.draw_predictions(cfg, show_dir='drawn')
    assert cfg.default_hooks.visualization == dict(
        type='Hook', enable=True, interval=1, out_dir='drawn'
    )


def test_images_of_many_bands_are_drawn_as_they_are_read():
    cfg = _cfg('mmseg')
    cfg.test_dataloader.dataset = dict(
        dataset=dict(
            pipeline=[
                dict(type='LoadGeoTIFF', bands=[3, 2, 1], band_names=[*'abc'])
            ]
        )
    )
    testing.draw_predictions(cfg, show_dir='drawn')
    assert cfg.default_hooks.visualization == dict(
        type='BandsVisualizationHook',
        draw=True,
        interval=1,
        bands=[3, 2, 1],
        band_names=[*'abc'],
    )
    assert cfg.visualizer.alpha == 0.4
    cfg.visualizer.alpha = 0.9
    testing.draw_predictions(cfg, show_dir='drawn')
    assert cfg.visualizer.alpha == 0.9


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmpretrain'])
def test_show_opens_a_window(scope):
    cfg = _cfg(scope)
    testing.draw_predictions(cfg, show=True, wait_time=0.5)
    hook = cfg.default_hooks.visualization
    assert (hook.show, hook.wait_time) == (True, 0.5)


def test_drawing_needs_the_hook():
    cfg = _cfg('mmdet')
    del cfg.default_hooks['visualization']
    with pytest.raises(ValueError, match='--show-dir: .*visualization'):
        testing.draw_predictions(cfg, show_dir='drawn')


def test_tta_flips_where_the_config_says_nothing():
    cfg = _cfg('mmdet')
    testing.use_tta(cfg)
    assert cfg.model.type == 'DetTTAModel'
    assert cfg.model.module == dict(type='Model')
    load, views = cfg.test_dataloader.dataset.dataset.pipeline
    assert load == LOAD
    flips, (pack,) = views.transforms
    assert [flip.prob for flip in flips] == [1.0, 0.0]
    assert pack.meta_keys[-2:] == ('flip', 'flip_direction')

    cfg = _cfg('mmpretrain')
    testing.use_tta(cfg)
    assert cfg.model.type == 'AverageClsScoreTTA'


def test_tta_of_the_config_goes_first():
    views = [LOAD, dict(type='TestTimeAug')]
    cfg = _cfg('mmseg', tta_model=dict(type='Own'), tta_pipeline=views)
    testing.use_tta(cfg)
    assert cfg.model == dict(type='Own', module=dict(type='Model'))
    assert cfg.test_dataloader.dataset.dataset.pipeline == views


def test_tta_says_where_it_cannot_work():
    with pytest.raises(ValueError, match='--tta: .*tta_model'):
        testing.use_tta(_cfg('mmseg'))
    with pytest.raises(ValueError, match='--tta: .*tta_pipeline'):
        testing.use_tta(_cfg('mmseg', tta_model=dict(type='Own')))
    cfg = _cfg('mmdet')
    cfg.model.roi_head = dict(mask_head=dict())
    with pytest.raises(ValueError, match='--tta: .*mask'):
        testing.use_tta(cfg)
