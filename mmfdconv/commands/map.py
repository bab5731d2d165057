"""Map satellite scenes: classes, polygons and hectares from a checkpoint.

Writes <scene>_classes.tif, _polygons.gpkg, _quicklook.png and _hectares.csv
and, for several scenes, hectares.csv. If a run with several scenes is
interrupted, run it again and it continues. torchrun or srun can divide the
scenes among processes.
"""

import argparse
import contextlib
import functools
from pathlib import Path
from typing import Callable, Iterator, List

from ..cropland import area, many, options, session, shares
from ..cropland.products import Mapped, Products
from ..cropland.scene import check_scenes
from ..cropland.shares import Result
from ..engine.launch import load_config
from ..engine.options import add_launcher_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        'scenes',
        nargs='+',
        metavar='scene',
        help='GeoTIFF, or any raster that GDAL can open; a folder of them; or '
        'a .txt file with one name per line',
    )
    parser.add_argument('config', help='config of mmseg')
    parser.add_argument('checkpoint', help='checkpoint of that config')
    options.add_out_dir(parser)
    parser.add_argument(
        '--probabilities',
        action='store_true',
        help='also write the probability of each class, in percent',
    )
    parser.add_argument(
        '--confidence',
        action='store_true',
        help='also write the probability of the mapped class, in percent',
    )
    parser.add_argument(
        '--min-confidence',
        type=float,
        metavar='PERCENT',
        help="pixels with a lower probability get the class 'unsure'",
    )
    parser.add_argument(
        '--no-polygons', action='store_true', help='write no polygons'
    )
    options.add_polygon_options(parser)
    options.add_scene_options(parser)
    options.add_model_options(parser)
    add_launcher_options(parser)


def run(args: argparse.Namespace, prog: str) -> None:
    """Map the scenes, or say what is wrong with them."""
    with options.stoppable(prog):
        scenes = many.find_scenes(args.scenes)
        prefixes = many.name_results(scenes, args.out_dir)
        check_scenes(scenes, args.bands, args.crs)
        ranks = shares.join_ranks(args.launcher)
        products = Products(
            args.probabilities,
            args.confidence,
            args.min_confidence,
            not args.no_polygons,
            options.polygon_options(args),
        )
        if len(scenes) == 1 and ranks == 1:
            session.map_with_bar(
                scenes[0],
                session.load_model(args.config, args.checkpoint, args),
                prefixes[0],
                args,
                print,
                products=products,
            )
            return
        args.says = str(load_config(args.config).to_dict())
        results = []
        for scene, prefix in zip(scenes, prefixes):
            mark = shares.fingerprint(
                [scene, args.config, args.checkpoint], vars(args), ['scenes']
            )
            files = products.files(prefix)
            results.append(Result(scene, files, mark, prefix))
        shares.make_results(
            results,
            ('scenes', 'map', 'mapped'),
            functools.partial(_mapper, products, args),
            functools.partial(_write_table, args),
            print,
        )


@contextlib.contextmanager
def _mapper(
    products: Products, args: argparse.Namespace, left: List[Result]
) -> Iterator[Callable[[Result], Mapped]]:
    """One model and one bar for all scenes."""
    predictor = session.load_model(args.config, args.checkpoint, args)
    scenes = [result.name for result in left]
    total = session.count_all_windows(scenes, predictor, args)
    with session.progress_bar('window', total) as bar:
        yield lambda result: session.map_with_bar(
            result.name,
            predictor,
            result.source,
            args,
            bar.write,
            bar,
            products=products,
            tags=result.tags,
        )


def _write_table(args: argparse.Namespace, done: List[Result]) -> None:
    """Write the table of all scenes that are mapped, and print their sum."""
    path = Path(args.out_dir, 'hectares.csv')
    tables = [(result.name, result.files['hectares']) for result in done]
    hectares = shares.merge_tables(tables, path, 'scene', 'class')
    print(area.format_hectares(hectares))
    print(f'wrote {path}')
