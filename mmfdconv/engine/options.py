"""Options that the command lines on configs share."""

import argparse
import ast
import re
from typing import Any, Dict, Iterable, Optional, Sequence, Union

from mmengine.config import Config, DictAction

from ..convert import METHODS
from . import launch


def add_config_options(
    parser: argparse.ArgumentParser, example: str, several: bool = False
) -> None:
    """Add the config, what replaces its values, and the word.

    Args:
        parser: The command line's.
        example: A value to replace, ``KEY=VALUE``, for the help.
        several: Ask for several methods, beside each other.
    """
    parser.add_argument(
        'config',
        help='config file, or name of an installed config, such as '
        'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py (also mmseg::, '
        'mmpretrain::, mmfdconv::)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help=f'replace values of the config, such as {example} or '
        'key="[(a,b),(c,d)]" (without spaces)',
    )
    add_conv_options(parser, several)


def add_conv_options(
    parser: argparse.ArgumentParser, several: bool = False
) -> None:
    """Add which method, or methods, the config's backbone gets."""
    group = parser.add_argument_group('dynamic convolutions')
    start = 'fdconv.' if several else ''
    group.add_argument(
        '--conv',
        metavar='METHOD',
        help=f'method whose layers the backbone gets: {", ".join(METHODS)}',
        **dict(nargs='+', required=True) if several else {},
    )
    group.add_argument(
        '--conv-options',
        nargs='+',
        action=DictAction,
        metavar='METHOD.KEY=VALUE' if several else 'KEY=VALUE',
        help=f'change options of the method, such as {start}kernel_num=16 or '
        f'{start}fbm_cfg.mask=nearest64',
    )
    group.add_argument(
        '--conv-rule',
        nargs='+',
        metavar='RULE',
        help='which layers become dynamic: the name of a preset, such as '
        'ResNet, or arguments of LayerRule, such as kernel_sizes=[3] '
        'stages=[3,4] or "patterns={r\'.*conv2\': True}" otherwise=False '
        '(default: the preset of the backbone)',
    )


def add_shape_option(parser: argparse.ArgumentParser) -> None:
    """Add the size of the images that a model is run on."""
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='height and width of the image, or one number for both '
        '(default: 800 1280 for mmdet, the training crop for mmseg, 224 224 '
        'for mmpretrain)',
    )


def add_timing_options(
    parser: argparse.ArgumentParser, clocks: Iterable[str], rounds: int
) -> None:
    """Add on what a benchmark runs, how often, and where it is written.

    Args:
        parser: The command line's.
        clocks: ``'wall'`` and ``'cpu'``.
        rounds: The default.
    """
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument(
        '--rounds',
        type=int,
        default=rounds,
        help='number of turns, of which the median is taken '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--clock',
        choices=clocks,
        default='wall',
        help='wall: elapsed time; cpu: processor time, for a machine with '
        'other jobs (default: %(default)s)',
    )
    parser.add_argument('--out', help='also write to this .csv or .json file')


def load_config(args: argparse.Namespace) -> Config:
    """Load the config that the options describe.

    Raises:
        ValueError: An option is wrong; the message names it.
    """
    return launch.load_config(
        args.config,
        args.cfg_options,
        args.conv,
        args.conv_options,
        parse_rule(args.conv_rule),
    )


def method_suffix(args: argparse.Namespace) -> str:
    """What a method adds to the name of a run, ``'-odconv'``, if one is given.

    Options and rule are part of it: other layers make another experiment.
    """
    if args.conv is None:
        return ''
    parts = [args.conv]
    parts += [f'{k}={v}' for k, v in (args.conv_options or {}).items()]
    parts += args.conv_rule or []
    return ''.join('-' + re.sub(r'[^\w.=-]+', '_', part) for part in parts)


def parse_rule(
    words: Optional[Sequence[str]],
) -> Union[Dict[str, Any], str, None]:
    """Read ``--conv-rule``: a preset's name, or arguments of a rule.

    Raises:
        ValueError: It is neither.
    """
    if not words:
        return None
    if len(words) == 1 and '=' not in words[0]:
        return words[0]
    rule = {}
    for word in words:
        name, _, value = word.partition('=')
        try:
            rule[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            raise ValueError(
                f'--conv-rule: {word!r} must be the name of a preset, alone, '
                'or NAME=VALUE with a Python value, as in kernel_sizes=[3]'
            ) from None
    return rule


def add_launcher_options(parser: argparse.ArgumentParser) -> None:
    """Add who started the process, one of several."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what starts the processes (default: %(default)s)',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='rank on this machine; set by launchers that do not set the '
        'variable LOCAL_RANK',
    )
