"""Print which layers of a backbone become dynamic, and why others do not."""

import argparse

from mmengine.registry import init_default_scope

from ..analysis.outputs import check_output, write_csv
from ..convert import ReportRow, conversion_reports
from ..engine.options import add_config_options, load_config
from . import plain_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    add_config_options(parser, 'model.backbone.frozen_stages=0')
    parser.add_argument('--out', help='also write the table to this .csv file')


def run(args: argparse.Namespace, prog: str) -> None:
    """Print a table per dynamic backbone, or say what is wrong."""
    with plain_errors(prog):
        check_output(args.out)
        cfg = load_config(args)
        init_default_scope(cfg.default_scope)
        reports = conversion_reports(cfg)
    for place, report in reports.items():
        print(f'{place}\n{report}')
    added = sum(report.added_params for report in reports.values())
    print(f'parameters added: {added / 1e6:+.3f} M')
    if args.out:
        rows = (
            (place, *row)
            for place, report in reports.items()
            for row in report.rows
        )
        write_csv(args.out, ('backbone', *ReportRow._fields), rows)
