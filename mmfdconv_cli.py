"""The command ``mmfdconv``: a subcommand for every tool.

It stands beside the package because importing the package registers all of
it, for which it imports torch and MMEngine; help shall not wait for those.
"""

import argparse
import difflib
import sys
from typing import Optional, Sequence

#: Modules of ``mmfdconv.commands`` by subcommand, and what they do.
COMMANDS = {
    'train': 'train a config',
    'test': 'test a checkpoint of a config',
    'compare': 'train a config with several methods and seeds, and compare',
    'layers': 'print which layers become dynamic, and why others do not',
    'config': "write a short config for the toolboxes' own tools",
    'flops': 'count parameters and FLOPs, part by part',
    'benchmark': 'time dynamic layers or backbones and the stock ones',
    'step': 'time a training step of several detectors',
    'figures': 'draw what a dynamic model learned',
    'audit': 'find the dynamic layers that are worth their cost',
    'runs': 'compare the curves and metrics of trainings',
    'export-onnx': 'export a trained model to ONNX, and check it',
    'runtimes': 'time exported models in onnxruntime and OpenVINO',
    'fold-static': 'fold a trained model into a stock one',
    'tables': "compare parameters and FLOPs with the papers' tables",
    'map': 'map a satellite scene',
    'change': 'report cropland lost and gained between two maps',
    'sample': 'draw points of a map, to label by eye',
    'estimate': 'estimate hectares and accuracies from labels',
    'gid': 'cut the scenes of GID into tiles',
    'hi-cna': 'cut the images of Hi-CNA into tiles',
    'maskdino': 'convert a published Mask DINO checkpoint',
}


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the subcommand that stands first."""
    argv = sys.argv[1:] if argv is None else list(argv)
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog='mmfdconv',
        usage='mmfdconv COMMAND ...',
        description='Dynamic convolutions for any OpenMMLab experiment.\n\n'
        + '\n'.join(f'  {k:{width}}  {v}' for k, v in COMMANDS.items())
        + '\n\nmmfdconv COMMAND --help shows the options of a command.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('command', metavar='COMMAND', help=argparse.SUPPRESS)
    command = parser.parse_args(argv[:1]).command
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS)
        parser.error(
            f'there is no command {command!r}; '
            + (f'did you mean {" or ".join(close)}?' if close else '')
            + ('' if close else f'there are {", ".join(COMMANDS)}')
        )
    from mmfdconv.commands import main as run

    run(command.replace('-', '_'), argv[1:], f'mmfdconv {command}')


if __name__ == '__main__':
    main()
