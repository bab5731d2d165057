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
    'train': 'train the experiment of a config',
    'test': 'test a checkpoint of it',
    'compare': 'train it with each method, from several seeds',
    'layers': 'print which layers become dynamic, and why not',
    'config': 'write a short config for the stock tools',
    'flops': 'count parameters and FLOPs, part by part',
    'benchmark': 'time layers or backbones against the stock ones',
    'step': 'time a training step of detectors, beside each other',
    'figures': 'draw what a dynamic model learned',
    'audit': 'say which dynamic layers earn their cost',
    'runs': 'put training curves and metrics of runs beside each other',
    'export-onnx': 'export a trained model to ONNX, and compare',
    'runtimes': 'time exported models beside PyTorch, in a table',
    'fold-static': 'fold a trained model into a stock one',
    'tables': "count the papers' cost columns",
    'map': 'map a satellite scene',
    'change': 'report cropland lost and gained between two maps',
    'sample': 'draw points to label, from a map',
    'estimate': 'estimate hectares and accuracies from labels',
    'gid': 'cut the scenes of GID into tiles',
    'hi-cna': 'sort the images of Hi-CNA into splits',
    'maskdino': 'rename a published Mask DINO checkpoint',
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
        + '\n\nmmfdconv COMMAND --help tells what a command takes.',
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
