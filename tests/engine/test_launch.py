import pytest

pytest.importorskip('mmengine')

from mmengine.config import Config
from mmengine.optim import OptimWrapper

from mmfdconv.engine import launch


@pytest.fixture
def write(tmp_path):
    def write(text, name='experiment.py'):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.core
def test_load_config_applies_the_options(write):
    pytest.importorskip('mmdet')
    path = write("default_scope = 'mmdet'\na = dict(b=1)\n")
    assert launch.load_config(path).a == dict(b=1)
    assert launch.load_config(path, {'a.c': 2}).a == dict(b=1, c=2)


@pytest.mark.core
def test_load_config_imports_nothing_that_a_config_names(write):
    pytest.importorskip('mmdet')
    path = write(
        'from mmfdconv.none import Metric\n'
        "default_scope = 'mmdet'\n"
        'val_evaluator = dict(type=Metric)\n'
    )
    assert launch.load_config(path).default_scope == 'mmdet'


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmpretrain'])
def test_load_config_finds_the_stock_configs(write, scope):
    """On either stack: the fork's packages have other names."""
    pytest.importorskip(scope)
    path = write(f"_base_ = ['{scope}::_base_/default_runtime.py']\n")
    assert launch.load_config(path).default_scope == scope


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = 1\n', "default_scope=None, which must be one of 'mmdet'"),
        ("default_scope = 'mmdog'\n", "default_scope='mmdog', which must be"),
        ("_base_ = './none.py'\n", 'cannot be read: .*none.py'),
        ('model = dict(\n', 'cannot be read: .* was never closed'),
        ('model = dict(type=Net)\n', "cannot be read: .*'Net' is not"),
        ('model = {{_base_.none.a}}\n', "cannot be read: 'none'"),
        (
            'from mmengine.config import read_base\n'
            'with read_base():\n    from .none import *\n',
            'cannot be read: .*none.py',
        ),
    ],
)
def test_load_config_says_what_is_wrong(write, text, message):
    path = write(text)
    with pytest.raises(ValueError, match=message) as error:
        launch.load_config(path)
    assert path in str(error.value)


@pytest.mark.parametrize('key', ['a.b.c', 'steps.5.type', 'steps.first'])
def test_load_config_names_options_that_lead_nowhere(write, key):
    path = write("default_scope = 'mmdet'\na = dict(b=1)\nsteps = [dict()]\n")
    with pytest.raises(ValueError, match=f'--cfg-options: .*{key}'):
        launch.load_config(path, {key: 2})


def test_load_config_names_a_missing_file():
    with pytest.raises(ValueError, match="config: 'none.py' is not a file"):
        launch.load_config('none.py')


def test_load_config_names_a_missing_toolbox(write, monkeypatch):
    path = write("default_scope = 'mmdet'\n")
    monkeypatch.setattr(launch.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='install .*onedl-mmdetection'):
        launch.load_config(path)


def test_work_dir_option_goes_before_config_before_name():
    cfg = Config(dict(work_dir='from_config'))
    launch.set_work_dir(cfg, 'configs/name.py', 'from_option')
    assert cfg.work_dir == 'from_option'
    cfg = Config(dict(work_dir='from_config'))
    launch.set_work_dir(cfg, 'configs/name.py', None)
    assert cfg.work_dir == 'from_config'
    cfg = Config({})
    launch.set_work_dir(cfg, 'configs/name.py', None)
    assert cfg.work_dir == 'work_dirs/name'


def test_amp_replaces_the_plain_wrapper_alone():
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD'))))
    launch.enable_amp(cfg)
    assert cfg.custom_imports.imports == ['mmfdconv']  # for stock tools
    assert cfg.optim_wrapper == dict(
        type='AutoAmpOptimWrapper',
        loss_scale='dynamic',
        optimizer=dict(type='SGD'),
    )
    cfg = Config(dict(optim_wrapper=dict(type=OptimWrapper)))  # pure Python
    launch.enable_amp(cfg)
    assert cfg.optim_wrapper.type == 'AutoAmpOptimWrapper'
    own = dict(type='AmpOptimWrapper', loss_scale=512.0)
    cfg = Config(dict(optim_wrapper=own))
    launch.enable_amp(cfg)
    assert cfg.optim_wrapper == own
    cfg = Config(dict(optim_wrapper=dict(type='ApexOptimWrapper')))
    with pytest.raises(ValueError, match="--amp: .*'ApexOptimWrapper'"):
        launch.enable_amp(cfg)


def test_auto_scale_lr_needs_the_base_batch_size():
    cfg = Config(dict(auto_scale_lr=dict(base_batch_size=16)))
    launch.enable_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr.enable is True
    with pytest.raises(ValueError, match='--auto-scale-lr: .*base_batch_siz'):
        launch.enable_auto_scale_lr(Config({}))


def test_resume_from_the_latest_or_from_a_file(tmp_path):
    cfg = Config(dict(load_from='weights.pth', work_dir=str(tmp_path)))
    launch.resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (False, 'weights.pth')
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    launch.resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, None)
    path = tmp_path / 'a.pth'
    path.touch()
    launch.resume(cfg, str(path))
    assert (cfg.resume, cfg.load_from) == (True, str(path))
    with pytest.raises(ValueError, match="--resume: 'none.pth' is not a file"):
        launch.resume(cfg, 'none.pth')


def test_a_checkpoint_may_be_an_address():
    address = 'https://example.com/a.pth'
    assert launch.check_checkpoint('checkpoint', address) == address


def test_slurm_and_mpi_need_accelerators(monkeypatch):
    monkeypatch.setattr(launch, 'accelerator_available', lambda: False)
    for launcher in ('slurm', 'mpi'):
        with pytest.raises(ValueError, match=f"--launcher: '{launcher}'"):
            launch.set_launcher(Config({}), launcher)


def test_with_accelerators_the_launcher_is_left_to_mmengine(monkeypatch):
    monkeypatch.setattr(launch, 'accelerator_available', lambda: True)
    cfg = Config({})
    launch.set_launcher(cfg, 'slurm')
    assert dict(cfg) == dict(launcher='slurm')


def test_mmpretrain_dataloaders_are_completed_not_overruled():
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            train_dataloader=dict(num_workers=2, pin_memory='own'),
            val_dataloader=dict(num_workers=0),
            test_dataloader=None,
        )
    )
    launch.complete_dataloaders(cfg)
    collate = dict(type='default_collate')
    assert cfg.train_dataloader == dict(
        num_workers=2,
        pin_memory='own',
        persistent_workers=True,
        collate_fn=collate,
    )
    assert cfg.val_dataloader.collate_fn == collate
    assert cfg.val_dataloader.persistent_workers is False
    assert cfg.test_dataloader is None


@pytest.mark.core
@pytest.mark.parametrize(
    'conv_cfg, hooks, warned',
    [
        (dict(type='KWConv'), [], True),
        (dict(type='KWConv', temperature=1.0), [dict(type='EMAHook')], True),
        (dict(type='KWConv'), [dict(type='TemperatureHook')], False),
        (dict(type='KWConv', temperature=0.0), [], False),
        (dict(type='FDConv'), [], False),
    ],
)
def test_idle_routers_are_told(conv_cfg, hooks, warned, monkeypatch):
    said = []
    monkeypatch.setattr(
        launch, 'print_log', lambda text, **_: said.append(text)
    )
    backbone = dict(type='DynamicBackbone', conv_cfg=conv_cfg)
    model = dict(detector=dict(backbone=backbone), heads=[dict(type='Head')])
    launch.warn_of_idle_routers(Config(dict(model=model, custom_hooks=hooks)))
    assert bool(said) is warned
    assert not warned or 'TemperatureHook' in said[0]
