"""Small raw scenes in the layouts of the published data sets."""

import warnings

import numpy as np

from mmfdconv.datasets.landcover import GID_PALETTE

SIDE = 16  # of the tiles that the tests cut


def write_tif(path, bands, **profile):
    """Write (bands, H, W) as it is."""
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with rasterio.open(
            path,
            'w',
            driver='GTiff',
            count=bands.shape[0],
            height=bands.shape[1],
            width=bands.shape[2],
            dtype=bands.dtype,
            **profile,
        ) as file:
            file.write(bands)
    return path


def gid_scene(index, height=2 * SIDE + 5, width=3 * SIDE + 7):
    """One scene's image (3, H, W) and ids (H, W)."""
    rng = np.random.default_rng(index)
    image = rng.integers(0, 256, (3, height, width), dtype=np.uint8)
    ids = rng.integers(0, 6, (height, width), dtype=np.uint8)
    return image, ids


def gid_name(index):
    return f'GF2_PMS1__L1A{index:010d}-MSS1'


def write_gid(folder, number=5, **size):
    """Write scenes of 2 x 3 tiles and a rest, as GID is published."""
    for index in range(number):
        image, ids = gid_scene(index, **size)
        colours = np.array(GID_PALETTE, np.uint8)[ids].transpose(2, 0, 1)
        name = gid_name(index)
        write_tif(folder / 'image_RGB' / f'{name}.tif', image)
        write_tif(folder / 'label_5classes' / f'{name}_label.tif', colours)
    return folder


def hi_cna_pair(index, date, dtype=np.uint16):
    """One image (4, H, W) and its mask (H, W) of 0 and 255."""
    rng = np.random.default_rng([index, date])
    top = 1 + np.iinfo(dtype).max // 8
    image = rng.integers(0, top, (4, SIDE, SIDE)).astype(dtype)
    mask = 255 * rng.integers(0, 2, (SIDE, SIDE)).astype(np.uint8)
    return image, mask


def write_hi_cna(folder, number=10, dtype=np.uint16):
    """Write pairs in the layout that the converter assumes."""
    for index in range(number):
        for date in (1, 2):
            image, mask = hi_cna_pair(index, date, dtype)
            name = f'county{index // 2}_{index % 2}.tif'
            write_tif(folder / f'image{date}' / name, image)
            write_tif(folder / f'mask{date}' / name, mask[None])
    return folder


def contents(folder):
    """Every file below a folder, with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }
