"""From command-line options to a runner, for mmdet, mmseg and mmpretrain.

The functions edit a loaded config; ``tools/train.py`` and ``tools/test.py``
parse their options and call them. A wrong option is a ``ValueError`` whose
message names the option, its value and what would be right.
"""

import datetime
import importlib.util
import logging
import time
from pathlib import Path
from typing import Optional, Union

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from ..convert import METHODS, config_path, with_dynamic_convolutions
from ..convert.nodes import nodes, type_name
from ..convert.word import import_mmfdconv_
from ..convert.words import merge_values_
from .fitting import FittingHook
from .optim_wrapper import accelerator_available

# The toolboxes that the tools know, each with its package names in the
# package index: the maintained fork's and the original one's.
TOOLBOXES = {
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
}


def load_config(
    config: str,
    cfg_options: Optional[dict] = None,
    conv: Optional[str] = None,
    conv_options: Optional[dict] = None,
    conv_rule: Union[dict, str, None] = None,
) -> Config:
    """Read a config and make sure that this environment can run it.

    Args:
        config: The config file, or ``mmdet::...``, the name of an installed
            one.
        cfg_options: Values that replace or complete those of the file.
        conv: A method: the backbone of the config, with ``cfg_options``, gets
            its layers, see :func:`with_dynamic_convolutions`.
        conv_options: What to change of the method's options.
        conv_rule: Which layers; a preset's name or a rule's arguments.

    Raises:
        ValueError: An option is wrong; the message names it.
    """
    path = str(config_path(config))
    try:
        cfg = Config.fromfile(path)
    except (
        ImportError,
        KeyError,
        NameError,
        OSError,
        RuntimeError,
        SyntaxError,
        TypeError,
    ) as error:
        raise ValueError(
            f'config: {config!r} cannot be read: {error}'
        ) from error
    merge_values_(cfg, cfg_options or {}, '--cfg-options')
    _check_toolbox(cfg, config)
    if conv is None:
        for option, value in (('options', conv_options), ('rule', conv_rule)):
            if value:
                raise ValueError(
                    f'--conv-{option}: {value!r} needs a method; give --conv, '
                    f'one of {", ".join(METHODS)}'
                )
        return cfg
    try:
        return with_dynamic_convolutions(cfg, conv, conv_options, conv_rule)
    except ValueError as error:
        raise ValueError(f'--conv {conv}: {error}') from error


def _check_toolbox(cfg: Config, path: str) -> None:
    """The config's ``default_scope`` decides which toolbox runs it."""
    scope = cfg.get('default_scope')
    kind = (cfg.get('model') or {}).get('type')
    if scope is None and isinstance(kind, type):
        # A pure Python config has no need of a scope; its model has one.
        scope = cfg.default_scope = kind.__module__.partition('.')[0]
    if scope not in TOOLBOXES:
        raise ValueError(
            f'config: {path!r} has default_scope={scope!r}, which must be '
            f'one of {", ".join(map(repr, TOOLBOXES))}'
        )
    if importlib.util.find_spec(scope) is None:
        fork, original = TOOLBOXES[scope]
        raise ValueError(
            f'config: {path!r} has default_scope={scope!r}, but {scope} is '
            f'not installed; install the package {fork} (or {original})'
        )


def check_checkpoint(option: str, path: str) -> str:
    """Return ``path`` if it is a file or an address to download from."""
    if '://' not in path and not Path(path).is_file():
        raise ValueError(
            f'{option}: {path!r} is not a file; give the path or the URL of '
            'a checkpoint (.pth)'
        )
    return path


def set_work_dir(
    cfg: Config, path: str, work_dir: Optional[str], suffix: str = ''
) -> None:
    """Option, else the config's own, else ``work_dirs/<config name>``.

    Args:
        cfg: The config.
        path: Where it was read.
        work_dir: The option, if it was given.
        suffix: Added to a name that is not the option's.
    """
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(path).stem) + suffix
    else:
        cfg.work_dir = cfg.work_dir.rstrip('/') + suffix


def enable_amp(cfg: Config) -> None:
    """Train in mixed precision where an accelerator allows it."""
    kind = type_name({'type': 'OptimWrapper', **cfg.optim_wrapper})
    if kind in ('AmpOptimWrapper', 'AutoAmpOptimWrapper'):
        print_log(
            f'--amp: the config already trains with {kind}.', logger='current'
        )
        return
    if kind != 'OptimWrapper':
        raise ValueError(
            f'--amp: optim_wrapper.type is {kind!r}, but it must be '
            "'OptimWrapper' for mixed precision to replace it"
        )
    cfg.optim_wrapper.type = 'AutoAmpOptimWrapper'
    import_mmfdconv_(cfg)
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def enable_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate with the batch size that really is used."""
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise ValueError(
            '--auto-scale-lr: the config must give the batch size of its '
            'learning rate, such as auto_scale_lr=dict(base_batch_size=16)'
        )
    cfg.auto_scale_lr.enable = True


def resume(cfg: Config, checkpoint: str) -> None:
    """Go on from ``checkpoint``, or with ``'auto'`` from the latest one.

    Where the work dir has none yet, training starts as the config says, from
    its ``load_from``, too.
    """
    cfg.resume = True
    if checkpoint != 'auto':
        cfg.load_from = check_checkpoint('--resume', checkpoint)
    elif find_latest_checkpoint(cfg.work_dir) is None:  # which says so
        cfg.resume = False
    else:
        cfg.load_from = None


def warn_of_idle_routers(cfg: Config) -> None:
    """Say it if nothing in a config lets KernelWarehouse's routers learn.

    Their gradients are exactly 0 as long as their temperature is 1.
    """
    idle = any(
        type_name(node) == 'KWConv' and node.get('temperature', 1) == 1
        for _, node in nodes(cfg.get('model'), 'model')
    )
    hooks = [type_name(hook) for hook in cfg.get('custom_hooks') or []]
    if 'TemperatureHook' in hooks or not idle:
        return
    print_log(
        "custom_hooks: KWConv's routers do not learn while their "
        'temperature is 1, and no TemperatureHook lowers it; add '
        "dict(type='TemperatureHook', start=1.0, end=0.0, by='share', "
        'length=0.1)',
        logger='current',
        level=logging.WARNING,
    )


def set_launcher(cfg: Config, launcher: str) -> None:
    """Set the launcher; without accelerator, let the processes talk by gloo.

    MMEngine selects a CUDA device before it opens the process group and
    passes a device id to DDP, both also with ``backend='gloo'``. So on a
    machine without accelerator the group is opened here, and DDP is told
    that there is no device id.
    """
    cfg.launcher = launcher
    if launcher == 'none' or accelerator_available():
        return
    if launcher != 'pytorch':
        raise ValueError(
            f'--launcher: {launcher!r} needs accelerators, and none is '
            "available here; use 'pytorch' (tools/dist_train.sh) to run "
            'several processes on CPUs'
        )
    dist_cfg = dict(cfg.get('env_cfg', {}).get('dist_cfg', {}))
    options = {}
    if 'timeout' in dist_cfg:
        options['timeout'] = datetime.timedelta(seconds=dist_cfg['timeout'])
    torch.distributed.init_process_group(backend='gloo', **options)
    print_log(
        'No accelerator is available: the processes communicate through '
        f'gloo instead of {dist_cfg.get("backend", "nccl")}.',
        logger='current',
        level=logging.WARNING,
    )
    if cfg.get('model_wrapper_cfg') is None:
        # As MMEngine's runner does when the config says nothing, and with
        # synchronised batch norm for CPUs.
        cfg.model_wrapper_cfg = dict(
            type='CpuDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
        import_mmfdconv_(cfg)
    cfg.model_wrapper_cfg.setdefault('device_ids', None)


def close_process_group() -> None:
    """End the process group together, if there is one.

    A process that leaves while another still talks to it can make that one
    fail after all its work is done.

    And a thread of gloo may still hold a Python tensor of the last collective,
    for which it needs the interpreter's lock to let go. Were the group
    destroyed or the interpreter ended before that, this thread would wait for
    the lock and its owner for this thread, or the process would abort
    ("terminate called without an active exception"). So the lock is given up
    for a moment in between.
    """
    group = torch.distributed
    if group.is_available() and group.is_initialized():
        group.barrier()
        time.sleep(0.2)
        group.destroy_process_group()


def build_runner(cfg: Config) -> Runner:
    """Build the config's runner.

    mmpretrain's configs leave options of their dataloaders to its command
    line, which fills them in; so does this. A checkpoint with other layers
    than the model's is an error when it is loaded.
    """
    complete_dataloaders(cfg)
    build = RUNNERS.build if 'runner_type' in cfg else Runner.from_cfg
    runner = build(cfg)
    runner.register_hook(FittingHook())
    return runner


def complete_dataloaders(cfg: Config) -> None:
    """Fill in what mmpretrain's own command line does, in place."""
    if cfg.default_scope == 'mmpretrain':
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            if cfg.get(name) is not None:
                cfg[name] = _complete_dataloader(cfg[name])


def _complete_dataloader(dataloader: ConfigDict) -> ConfigDict:
    return ConfigDict(
        {
            'collate_fn': dict(type='default_collate'),
            'pin_memory': accelerator_available(),
            # torch refuses persistent workers where there are none
            'persistent_workers': dataloader.get('num_workers', 0) > 0,
            **dataloader,
        }
    )
