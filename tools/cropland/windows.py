"""Measure how much a map changes if the scene is cut into windows.

The scene is mapped as a whole, and then with the windows of --windows, once
with gates per window and once with gates per scene. It must be small enough
for one forward pass.
"""

import argparse

import rasterio

from mmfdconv.cropland import options, session
from mmfdconv.cropland.mapping import Tiling
from mmfdconv.cropland.windows_compared import compare_windows, format_scores
from mmfdconv.engine.options import add_conv_options


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('scene', help='any raster that GDAL reads')
    parser.add_argument('config', help='config of mmseg')
    parser.add_argument('checkpoint', help='checkpoint of that config')
    parser.add_argument(
        '--labels',
        metavar='MAP',
        help='raster with the true classes of the scene, 255 for none',
    )
    parser.add_argument(
        '--windows',
        nargs='+',
        default=['128-64', '256-64', '512-128'],
        metavar='SIDE-OVERLAP',
        help='in pixels (default: 128-64 256-64 512-128)',
    )
    parser.add_argument(
        '--device',
        help='cuda, cuda:1 or cpu (default: the GPU if there is one)',
    )
    options.add_scene_options(parser)
    add_conv_options(parser)
    args = parser.parse_args()
    args.amp = False
    return args


def main() -> None:
    """Measure, or say what is wrong."""
    args = parse_args()
    with options.stoppable('windows.py'):
        tilings = []
        for word in args.windows:
            try:
                side, overlap = map(int, word.split('-'))
            except ValueError:
                raise ValueError(
                    f'--windows: must be like 512-128, not {word!r}'
                ) from None
            tilings.append(Tiling(side, overlap, batch=1))
        predictor = session.load_model(args.config, args.checkpoint, args)
        labels = None
        with session.open_scene(args.scene, predictor, args) as scene:
            if args.labels:
                with rasterio.open(args.labels) as file:
                    labels = file.read(1)
                if labels.shape != (scene.height, scene.width):
                    raise ValueError(
                        f'--labels: {args.labels} has {labels.shape[1]}x'
                        f'{labels.shape[0]} pixels, the scene {scene.width}x'
                        f'{scene.height}'
                    )
            scores = compare_windows(scene, predictor, tilings, labels)
            print(format_scores([*scores]))


if __name__ == '__main__':
    main()
