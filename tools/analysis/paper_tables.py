"""Count the papers' parameter columns on models that are really built."""

import argparse

from mmfdconv.analysis import tables


def main() -> None:
    """Print both tables."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print('Parameters added to ResNet-50 in a detector\n')
    print(tables.to_markdown(tables.detector_table()))
    print('\nFADConv: what it adds to the encoders of its paper\n')
    print(tables.to_markdown(tables.fadconv_table()))


if __name__ == '__main__':
    main()
