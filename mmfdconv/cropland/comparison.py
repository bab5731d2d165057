"""Train the methods of FADConv's paper alike, each from several seeds.

Every run is ``mmfdconv train`` in a process of its own, on a config written
beside its folder: the experiment of ``configs/mmseg/cropland/gid`` with
the method's word and the recipe put in. A run that is finished is not run
again, one that was stopped goes on from its last epoch.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Sequence

from mmengine.config import Config
from PIL import Image

from ..analysis.compare.runs import RunLog, read_run
from ..engine import launch

__all__ = [
    'DTYPES',
    'METHODS',
    'SCHEDULES',
    'Recipe',
    'Run',
    'plan_runs',
    'train',
]

#: The words of the methods, and what readers know them by.
METHODS = {
    'stock': 'stock conv',
    'dyconv': 'DY-Conv',
    'odconv': 'ODConv',
    'kw1x': 'KW 1x',
    'fadconv': 'FADConv, P = 16',
    'fodconv': 'FODConv',
    'fkw1x': 'FKW 1x',
}

_CONFIG = (
    'mmfdconv::mmseg/cropland/gid/unet_r18-quarter_1xb24-50e_gid-512x512.py'
)
SCHEDULES = ('constant', 'linear')
DTYPES = ('float32', 'bfloat16', 'float16')


class Recipe(NamedTuple):
    """What all runs have in common.

    Attributes:
        data_root: Folder with ``img_dir/{train,val}``, ``ann_dir/...``.
        epochs: Over all training images.
        batch_size: Of training.
        lr: Learning rate.
        schedule: ``'constant'`` as in the paper, or ``'linear'``, to zero.
        resize: Side that images are shrunk to, in training and validation;
            0: none. Scores are at the size of the labels all the same.
        crop: Side of a square drawn from each training image; 0: none.
            Validation is on whole images, one at a time.
        dtype: Precision. Below float32, layers choose by autocast what runs
            in it, in training and in validation.
        val_interval: Epochs from one validation to the next; the last epoch
            is validated in any case.
        workers: Processes that load training images.
    """

    data_root: str
    epochs: int = 50
    batch_size: int = 24
    lr: float = 1e-4
    schedule: str = 'constant'
    resize: int = 0
    crop: int = 0
    dtype: str = 'float32'
    val_interval: int = 1
    workers: int = 0

    def check(self) -> None:
        """Raise what is wrong.

        Raises:
            ValueError: An option is out of range, or the data are not there.
        """
        for name in ('epochs', 'batch_size', 'val_interval'):
            if getattr(self, name) < 1:
                raise ValueError(
                    f'{name} must be at least 1, got {getattr(self, name)}'
                )
        if not self.lr > 0:
            raise ValueError(f'lr must be above 0, got {self.lr}')
        for name, allowed in (('schedule', SCHEDULES), ('dtype', DTYPES)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f'{name} must be one of {", ".join(allowed)}, got '
                    f'{getattr(self, name)!r}'
                )
        for kind in ('img_dir', 'ann_dir'):
            for split in ('train', 'val'):
                if not Path(self.data_root, kind, split).is_dir():
                    raise ValueError(
                        f'data_root: {self.data_root!r} must have the '
                        'folders img_dir/train, img_dir/val, ann_dir/train '
                        f'and ann_dir/val; there is no {kind}/{split}'
                    )
        if not self.images():
            raise ValueError(
                f'data_root: {self.data_root!r} has no images in img_dir/train'
            )
        if len(self.images()) < self.batch_size:
            raise ValueError(
                f'batch_size must be at most {len(self.images())}, the number '
                f'of training images, got {self.batch_size}'
            )
        for name, most in (
            ('resize', min(self.image_size())),
            ('crop', self.resize or min(self.image_size())),
        ):
            side = getattr(self, name)
            if side and not 32 <= side <= most:
                raise ValueError(
                    f'{name} must be 0 (none) or 32 to {most}, the smaller '
                    f'side of the images, got {side}'
                )

    def images(self) -> List[Path]:
        """List the images of training."""
        folder = Path(self.data_root, 'img_dir', 'train')
        suffixes = ('.jpg', '.jpeg', '.png', '.tif', '.tiff')
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes
        )

    def image_size(self) -> Sequence[int]:
        """Width and height of the first image, for all."""
        with Image.open(self.images()[0]) as image:
            return image.size

    def side(self, train: bool = True) -> Sequence[int]:
        """Height and width of what the model sees."""
        side = (self.crop if train else 0) or self.resize
        return (side, side) if side else self.image_size()[::-1]

    def steps(self) -> int:
        """Steps of an epoch; what does not fill a batch is left out."""
        return len(self.images()) // self.batch_size

    def config(self, method: str, seed: int) -> Config:
        """Return the method's experiment with this recipe in it."""
        cfg = launch.load_config(_CONFIG, conv=method)
        root = str(Path(self.data_root).resolve())
        for split in ('train', 'val', 'test'):
            loader = cfg[f'{split}_dataloader']
            workers = self.workers if split == 'train' else 0
            loader.update(num_workers=workers, persistent_workers=workers > 0)
            loader.dataset.data_root = root
        cfg.train_dataloader.batch_size = self.batch_size
        # Batch norm needs more than one image, also in the last step.
        cfg.train_dataloader.drop_last = True
        if self.resize:
            _shrink(cfg, (self.resize, self.resize))
        if self.crop:
            cfg.train_dataloader.dataset.pipeline.insert(
                -1, dict(type='RandomCrop', crop_size=self.side())
            )
        cfg.model.data_preprocessor.size = self.side()
        cfg.optim_wrapper.optimizer.lr = self.lr
        if self.dtype != 'float32':
            launch.enable_amp(cfg)
            cfg.optim_wrapper.dtype = self.dtype
            cfg.val_cfg.fp16 = True  # bfloat16 on a CPU
        if self.schedule == 'linear':
            cfg.param_scheduler = [
                dict(
                    type='PolyLR',
                    power=1.0,
                    eta_min=0.0,
                    begin=0,
                    end=self.epochs,
                    by_epoch=True,
                    convert_to_iter_based=True,
                )
            ]
        cfg.train_cfg.max_epochs = self.epochs
        cfg.train_cfg.val_interval = self.val_interval
        # Every step is in the log, on its own: their median is a step's time.
        cfg.default_hooks.logger.interval = 1
        cfg.log_processor = dict(by_epoch=True, window_size=1)
        cfg.default_hooks.checkpoint = dict(
            type='CheckpointHook', interval=1, max_keep_ckpts=1
        )
        cfg.randomness = dict(seed=seed)
        return cfg


class Run(NamedTuple):
    """One method from one seed, and where it is."""

    method: str
    seed: int
    folder: Path

    def __str__(self) -> str:
        return f'{self.method}, seed {self.seed}'

    @property
    def config(self) -> Path:
        """The config, with the recipe in it.

        Beside the folder: in it MMEngine writes a config of the same name.
        """
        return self.folder.with_suffix('.py')

    def checkpoint(self, epoch: int) -> Path:
        """Where the checkpoint of an epoch is."""
        return self.folder / f'epoch_{epoch}.pth'

    def log(self) -> RunLog:
        """Read what the run logged."""
        return read_run(self.folder)

    def is_finished(self, recipe: Recipe) -> bool:
        """Whether all epochs were trained, saved and validated."""
        if not self.checkpoint(recipe.epochs).is_file():
            return False
        try:
            points = self.log().val
        except ValueError:
            return False
        return any(point['step'] >= recipe.epochs for point in points)


def _shrink(cfg: Config, side: Sequence[int]) -> None:
    """Resize images; labels only where they are trained on."""
    resize = dict(
        type='Resize', scale=side, keep_ratio=False, interpolation='area'
    )
    cfg.train_dataloader.dataset.pipeline.insert(2, resize)
    for split in ('val', 'test'):
        cfg[f'{split}_dataloader'].dataset.pipeline.insert(1, resize)


def plan_runs(
    recipe: Recipe, methods: Sequence[str], seeds: int, work_dir: str
) -> List[Run]:
    """Write the configs of all runs, seed by seed.

    All methods come with the first seed before any comes with the second, so
    that there is something to compare early.

    Raises:
        ValueError: An option is wrong, or a folder holds a run of another
            recipe.
    """
    recipe.check()
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise ValueError(
            f'methods must be among {", ".join(METHODS)}, got '
            f'{", ".join(unknown) or "none"}'
        )
    if seeds < 1:
        raise ValueError(f'seeds must be at least 1, got {seeds}')
    runs = []
    for seed in range(seeds):
        for method in methods:
            folder = Path(work_dir, method, f'seed_{seed}').resolve()
            run = Run(method, seed, folder)
            text = recipe.config(method, seed).pretty_text
            if run.config.is_file():
                _check_recipe(run, text)
            folder.mkdir(parents=True, exist_ok=True)
            run.config.write_text(text, encoding='utf-8')
            runs.append(run)
    return runs


def _check_recipe(run: Run, text: str) -> None:
    """Refuse to go on with another recipe than the one begun with."""
    lines = zip(
        run.config.read_text(encoding='utf-8').split('\n'), text.split('\n')
    )
    for old, new in lines:
        if old != new:
            raise ValueError(
                f'work_dir: {run.folder} holds a run of another recipe '
                f'({old.strip()!r} there, {new.strip()!r} now); name another '
                'folder, or delete that one'
            )


def train(
    run: Run, recipe: Recipe, heard: Callable[[int], Any] = lambda step: None
) -> None:
    """Train a run to its end, unless it is there already.

    Args:
        run: Its output goes to ``train.log`` in its folder.
        recipe: Its recipe.
        heard: Called every two seconds with the number of steps done.

    Raises:
        RuntimeError: Training failed; it names the run, the log and the last
            line of it.
    """
    if run.is_finished(recipe):
        return
    command = [
        sys.executable,
        *('-m', 'mmfdconv_cli', 'train'),
        str(run.config),
        '--work-dir',
        str(run.folder),
    ]
    # A run that was stopped in its last validation has nothing left to train:
    # MMEngine would do nothing, so it begins anew.
    if not run.checkpoint(recipe.epochs).is_file():
        command.append('--resume')
    # The process finds the package where this one found it.
    paths = [str(Path(__file__).parents[2]), os.environ.get('PYTHONPATH')]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, paths)))
    log = run.folder / 'train.log'
    with log.open('a', encoding='utf-8') as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=env
        )
        try:
            while process.poll() is None:
                time.sleep(2)
                heard(_steps_done(run))
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode or not run.is_finished(recipe):
        lines = log.read_text(encoding='utf-8', errors='replace').split('\n')
        last = next((line for line in reversed(lines) if line.strip()), '')
        raise RuntimeError(
            f'{run} failed (exit status {process.returncode}): '
            f'{last.strip()}; see {log}'
        )


def _steps_done(run: Run) -> int:
    try:
        train_points = run.log().train
    except ValueError:  # it has not begun to log
        return 0
    return train_points[-1]['iter'] if train_points else 0
