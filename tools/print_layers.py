"""Print which layers of a config's backbone become dynamic, and why not."""

import argparse
import sys

from mmengine.registry import init_default_scope

from mmfdconv.analysis import conversion
from mmfdconv.analysis.outputs import check_folder
from mmfdconv.engine import launch
from mmfdconv.engine.options import add_config_options


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_options(parser, 'model.backbone.conv_cfg.kernel_num=16')
    parser.add_argument('--out', help='write the rows to this CSV file too')
    return parser.parse_args()


def main() -> None:
    """Print a table per dynamic backbone, or say what is wrong."""
    args = parse_args()
    try:
        if args.out:
            check_folder(args.out)
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
