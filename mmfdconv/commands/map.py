"""Map satellite scenes: classes, polygons and hectares from a checkpoint.

Writes <scene>_classes.tif, _polygons.gpkg, _quicklook.png and _hectares.csv,
and of several scenes hectares.csv. Several scenes go on where they were
stopped, and may be shared out over processes that torchrun or srun start.
"""

import argparse
from pathlib import Path
from typing import Any, Dict, List, Tuple

from ..cropland import area, many, options, session
from ..cropland.predictor import Predictor, load_predictor
from ..cropland.products import Products, name_files
from ..engine.launch import close_process_group
from ..engine.options import add_launcher_options

# Options that change where and how fast a map is made, and not the map.
_HOW = ('scenes', 'out_dir', 'launcher', 'local_rank', 'batch', 'device')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line takes."""
    parser.add_argument(
        'scenes',
        nargs='+',
        metavar='scene',
        help='GeoTIFF, or any raster GDAL reads, by any of its names; a '
        'folder of them; or a .txt file with a name in each line',
    )
    parser.add_argument('config', help='config file, of mmseg')
    parser.add_argument('checkpoint', help='checkpoint of that config')
    parser.add_argument(
        '--out-dir',
        default='.',
        help='folder for the results (default: the current one)',
    )
    parser.add_argument(
        '--probabilities',
        action='store_true',
        help="write the classes' probabilities, in percent, too",
    )
    parser.add_argument(
        '--confidence',
        action='store_true',
        help='write the probability of the class on the map, in percent',
    )
    parser.add_argument(
        '--min-confidence',
        type=float,
        metavar='PERCENT',
        help="pixels below become a class of their own, 'unsure'",
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
        session.check_scenes(scenes, args)
        rank, ranks = many.join_ranks(args.launcher)
        predictor = load_predictor(
            args.config, args.checkpoint, **options.predictor_options(args)
        )
        products = Products(
            args.probabilities,
            args.confidence,
            args.min_confidence,
            args.mmu,
            not args.no_polygons,
            args.min_area,
            args.simplify,
            args.polygon_format,
        )
        if len(scenes) == 1 and ranks == 1:
            session.map_with_bar(
                scenes[0],
                predictor,
                prefixes[0],
                args,
                print,
                products=products,
            )
            return
        pairs = [*zip(scenes, prefixes)]
        failed = _map_all(
            pairs[rank::ranks], predictor, products, args, rank == 0
        )
        close_process_group()  # when all have come here
        if rank == 0:
            _write_table(pairs, products, args)
        if failed:
            raise ValueError(
                f'{len(failed)} scenes were not mapped: {"; ".join(failed)}'
            )


def _choices(args: argparse.Namespace) -> Dict[str, Any]:
    return {k: v for k, v in vars(args).items() if k not in _HOW}


def _map_all(
    pairs: List[Tuple[str, Path]],
    predictor: Predictor,
    products: Products,
    args: argparse.Namespace,
    show: bool,
) -> List[str]:
    """Map what is not mapped yet; return what went wrong with which."""
    marks = {
        scene: many.fingerprint([scene, args.checkpoint], _choices(args))
        for scene, _ in pairs
    }
    left = [
        (scene, prefix)
        for scene, prefix in pairs
        if not many.is_done(name_files(prefix, products), marks[scene])
    ]
    print(f'{len(left)} scenes to map; {len(pairs) - len(left)} are done')
    failed = []
    total = session.count_all_windows(
        [scene for scene, _ in left], predictor, args
    )
    with session.windows_bar(total, show) as bar:
        for scene, prefix in left:
            try:
                session.map_with_bar(
                    scene,
                    predictor,
                    prefix,
                    args,
                    bar.write,
                    bar,
                    products=products,
                    tags={many.TAG: marks[scene]},
                )
            except options.FAILURES as error:
                failed.append(f'{scene}: {error}')
    return failed


def _write_table(
    pairs: List[Tuple[str, Path]],
    products: Products,
    args: argparse.Namespace,
) -> None:
    """Write the table of all scenes that are mapped, and print their sum."""
    tables = []
    for scene, prefix in pairs:
        files = name_files(prefix, products)
        mark = many.fingerprint([scene, args.checkpoint], _choices(args))
        if many.is_done(files, mark):
            tables.append((scene, files['hectares']))
    if tables:
        path = Path(args.out_dir, 'hectares.csv')
        hectares = many.merge_tables(tables, path, 'scene', 'class')
        print(f'{len(tables)} scenes together:')
        print(area.format_hectares(hectares))
        print(f'wrote {path}')
