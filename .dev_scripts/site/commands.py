"""Write the page of all commands and their options, from their parsers.

Its own step of `make docs`: parsers import torch, which the environment that
builds the site does not have.
"""

import argparse
import os
from pathlib import Path

import mmfdconv_cli
from mmfdconv import commands


def main():
    """Write the page to the file that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, help='Markdown file')
    out = parser.parse_args().out
    os.environ['COLUMNS'] = '80'  # argparse wraps its help by it
    parts = [
        '# Commands\n\nAll commands and their options. In a clone, `python'
        ' tools/train.py` is the same as `mmfdconv train`, and so on.\n'
    ]
    for name, purpose in mmfdconv_cli.COMMANDS.items():
        command = commands.build_parser(
            name.replace('-', '_'), f'mmfdconv {name}'
        )[0]
        parts.append(
            f'## {name}\n\n{purpose[0].upper()}{purpose[1:]}.\n\n'
            f'```text\n{command.format_help()}```\n'
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text('\n'.join(parts), encoding='utf-8')


if __name__ == '__main__':
    main()
