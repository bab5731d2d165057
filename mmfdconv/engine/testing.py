"""What ``tools/test.py`` asks of a toolbox, in that toolbox's own terms.

mmdet, mmseg and mmpretrain each have their way to write predictions, to draw
them, and to average them over flipped images. The functions edit a loaded
config; its ``default_scope`` names the toolbox.
"""

from copy import deepcopy
from pathlib import Path
from typing import Optional

from mmengine.config import Config, ConfigDict

from ..convert.nodes import innermost_datasets, type_name

_PICKLES = ('.pkl', '.pickle')


def dump_predictions(cfg: Config, out: str) -> None:
    """Write the predictions beside evaluating them.

    mmdet and mmpretrain write one pickle file; mmseg's metrics write one PNG
    per image into a folder.
    """
    metrics = cfg.test_evaluator
    if not isinstance(metrics, (list, tuple)):
        metrics = [metrics]
    metrics = list(metrics)

    if cfg.default_scope == 'mmseg':
        if Path(out).is_file() or Path(out).suffix in _PICKLES:
            raise ValueError(
                f'--out: {out!r} must be a folder, into which mmseg writes '
                'one PNG per image'
            )
        if type_name(metrics[0]) == 'CroplandMetric':  # which writes none
            metrics.insert(0, ConfigDict(type='IoUMetric', format_only=True))
        metrics[0].update(output_dir=out, keep_results=True)
    else:
        if Path(out).suffix not in _PICKLES:
            raise ValueError(
                f'--out: {out!r} must end with .pkl or .pickle: '
                f'{cfg.default_scope} writes one pickle file'
            )
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        kind = {'mmdet': 'DumpDetResults', 'mmpretrain': 'DumpResults'}
        metrics.append(
            ConfigDict(type=kind[cfg.default_scope], out_file_path=out)
        )
    cfg.test_evaluator = metrics


def draw_predictions(
    cfg: Config,
    show: bool = False,
    show_dir: Optional[str] = None,
    wait_time: float = 2.0,
) -> None:
    """Draw every tested image, in a window or into a folder.

    A relative ``show_dir`` lies where the toolbox puts it: mmdet, in
    ``<work_dir>/<timestamp>/``; mmseg and mmpretrain, in the current folder.
    """
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        option = '--show' if show else '--show-dir'
        raise ValueError(
            f'{option}: the config must have default_hooks.visualization, '
            'the hook that draws; the stock default_runtime.py has it'
        )
    if show:
        hook.update(show=True, wait_time=wait_time)
    if cfg.default_scope == 'mmdet':
        hook.update(draw=True, test_out_dir=show_dir)
    elif cfg.default_scope == 'mmseg':
        # mmseg 1.2 draws one of 50 images unless told otherwise
        hook.update(draw=True, interval=1)
        (dataset, *_) = innermost_datasets(cfg.test_dataloader.dataset)
        for step in dataset.get('pipeline', ()):
            if type_name(step) == 'LoadGeoTIFF':
                hook.update(
                    type='BandsVisualizationHook',
                    bands=step.get('bands'),
                    band_names=step.get('band_names'),
                )
                # Black, which many classes are, would hide the image.
                cfg.visualizer.setdefault('alpha', 0.4)
        if show_dir is not None:
            cfg.visualizer.save_dir = show_dir
    else:
        hook.update(enable=True, interval=1, out_dir=show_dir)


def use_tta(cfg: Config) -> None:
    """Test-time augmentation: the config's own, else left-right flips.

    mmseg has no default of its own; there the config must say what to do.
    """
    datasets = innermost_datasets(cfg.test_dataloader.dataset)
    if 'tta_model' not in cfg:
        cfg.tta_model = _default_tta_model(cfg)
    if 'tta_pipeline' not in cfg:
        cfg.tta_pipeline = _flip_pipeline(cfg, datasets[0].pipeline)
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    for dataset in datasets:
        dataset.pipeline = cfg.tta_pipeline


def _default_tta_model(cfg: Config) -> ConfigDict:
    if cfg.default_scope == 'mmseg':
        raise ValueError('--tta: an mmseg config must have tta_model')
    if cfg.default_scope == 'mmpretrain':
        return ConfigDict(type='AverageClsScoreTTA')
    if cfg.model.get('roi_head', {}).get('mask_head') is not None:
        raise ValueError(
            '--tta: mmdet merges the boxes of several views, but not their '
            'masks; test a model with a mask head without --tta'
        )
    return ConfigDict(
        type='DetTTAModel',
        tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
    )


def _flip_pipeline(cfg: Config, pipeline: list) -> list:
    if cfg.default_scope == 'mmseg':
        raise ValueError('--tta: an mmseg config must have tta_pipeline')
    pack = deepcopy(pipeline[-1])
    if cfg.default_scope == 'mmdet':
        # merging needs to know which views are flipped
        pack.meta_keys = (
            *pack.get('meta_keys', _DET_META_KEYS),
            'flip',
            'flip_direction',
        )
    flips = [dict(type='RandomFlip', prob=prob) for prob in (1.0, 0.0)]
    views = ConfigDict(type='TestTimeAug', transforms=[flips, [pack]])
    return [*deepcopy(pipeline[:-1]), views]


_DET_META_KEYS = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
)
