"""Print which layers of a config's backbone become dynamic, and why not."""

import argparse
import sys

from mmengine.config import DictAction
from mmengine.registry import init_default_scope

from mmfdconv.analysis import conversion
from mmfdconv.engine import launch


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', help='write the rows to this CSV file too')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='replace values of the config, as in '
        'model.backbone.conv_cfg.kernel_num=16',
    )
    return parser.parse_args()


def main() -> None:
    """Print a table per dynamic backbone, or say what is wrong."""
    args = parse_args()
    try:
        cfg = launch.load_config(args.config, args.cfg_options)
        init_default_scope(cfg.default_scope)
        reports = conversion.conversion_reports(cfg)
    except ValueError as error:
        sys.exit(f'print_layers.py: error: {error}')
    for place, report in reports.items():
        print(f'{place}\n{report}')
    if args.out:
        conversion.write_csv(reports, args.out)


if __name__ == '__main__':
    main()
