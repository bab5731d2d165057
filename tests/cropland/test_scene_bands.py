"""Which bands a model sees: those that it was trained on, or a refusal."""

import numpy as np
import pytest

from mmfdconv.cropland.scene import Scene

from .helpers import noise, write_scene

pytestmark = pytest.mark.core

NAMES = ('Blue', 'Green', 'Red', 'NIR')


def opaque(side=40):
    """An alpha channel: full, but for a margin with a soft edge."""
    alpha = np.full((side, side), 255, np.uint8)
    alpha[:4], alpha[4] = 0, np.linspace(10, 240, side)
    return alpha


def with_alpha(*bands):
    return np.stack([*bands, opaque()])


SCENES = {
    'described': lambda v: (v, dict(names=NAMES)),
    'described, other order': lambda v: (v, dict(names=NAMES[::-1])),
    'described otherwise': lambda v: (v, dict(names=('B2', 'B3', 'B4', 'B8'))),
    'described in part': lambda v: (
        v,
        dict(names=('Blue', 'Green', None, 'NIR')),
    ),
    'a name twice': lambda v: (v, dict(names=('Red', 'Green', 'Red', 'NIR'))),
    'more, described': lambda v: (
        v[[0, 1, 2, 3, 0]],
        dict(names=('coastal', *NAMES)),
    ),
    'colours': lambda v: (v[:3], dict(photometric='rgb')),
    'colours and more': lambda v: (
        v.astype('uint16'),
        dict(photometric='rgb'),
    ),
    'RGBA': lambda v: (with_alpha(*v[:3]), {}),
    # As rasterio writes them: as red, green, blue, alpha.
    'four of 8 bits, nameless': lambda v: (v, {}),
    'nameless': lambda v: (v.astype('uint16'), {}),
    'three, nameless': lambda v: (v[:3].astype('uint16'), {}),
    'more, nameless': lambda v: (v[[0, 1, 2, 3, 0, 1]], {}),
    'too few': lambda v: (v[:2], {}),
}
MODELS = {
    'names': ('blue', 'green', 'red', 'nir'),
    'rgb': ('red', 'green', 'blue'),  # as of plain images
    'positions': (3, 2, 1),
    'fourth': (4, 3, 2),
    'mixed': ('nir', 3, 2),
    'all of four': 4,
    'all of three': 3,
}
UNNAMED = 'no band is called'
NO_WORD = 'neither its config nor the scene says'
FEW = 'takes 4 bands'
# What each scene gives each model, in the order of MODELS: bands or refusal.
TABLE = {
    'described': ('1234', '321', '321', '432', '432', '1234', NO_WORD),
    'described, other order': (
        *('4321', '234', '321', '432', '132', '1234', NO_WORD),
    ),
    'described otherwise': (
        *(UNNAMED, UNNAMED, '321', '432', UNNAMED, '1234', NO_WORD),
    ),
    'described in part': (
        *(UNNAMED, UNNAMED, '321', '432', '432', '1234', NO_WORD),
    ),
    'a name twice': (
        *(UNNAMED, 'more than one band is', '321'),
        *('432', '432', '1234', NO_WORD),
    ),
    'more, described': (
        *('2345', '432', '321', '432', '532', NO_WORD, NO_WORD),
    ),
    'colours': (
        *(FEW, '123', '321', 'there is no band 4', UNNAMED, FEW, '123'),
    ),
    'colours and more': (
        *(UNNAMED, '123', '321', '432', UNNAMED, '1234', NO_WORD),
    ),
    'RGBA': (
        *(FEW, '123', '321', 'band 4 is no measurement', UNNAMED),
        *('Band 4 is an alpha', '123'),
    ),
    'four of 8 bits, nameless': (
        *(UNNAMED, UNNAMED, '321', '432', UNNAMED, '1234', NO_WORD),
    ),
    'nameless': (*(UNNAMED, UNNAMED, '321', '432', UNNAMED, '1234', NO_WORD),),
    'three, nameless': (
        *(FEW, UNNAMED, '321', 'there is no band 4', UNNAMED, FEW, '123'),
    ),
    'more, nameless': (
        *(UNNAMED, UNNAMED, '321', '432', UNNAMED, NO_WORD, NO_WORD),
    ),
    'too few': (
        *(FEW, 'takes 3', 'takes 3', 'takes 3', 'takes 3', FEW, 'takes 3'),
    ),
}


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('kind', SCENES)
def test_what_a_model_sees_of_a_scene(tmp_path, kind, model):
    values, profile = SCENES[kind](noise(4, 40, 40))
    path = write_scene(tmp_path / 'scene.tif', values, **profile)
    trained = MODELS[model]
    channels = trained if isinstance(trained, int) else len(trained)
    trained = () if isinstance(trained, int) else trained
    expected = TABLE[kind][[*MODELS].index(model)]
    if not expected.isdigit():
        with pytest.raises(ValueError, match=expected) as error:
            Scene(path, channels, trained=trained)
        assert 'the bands of' in str(error.value)
        # The way out is told wherever there is one, and it is one.
        if len(values) >= channels:
            order = str(error.value).partition('such as --bands ')[2]
            order = order.partition('.')[0].split()
            with Scene(path, channels, order, trained=trained) as scene:
                assert scene.bands == (*range(1, channels + 1),)
        return
    with Scene(path, channels, trained=trained) as scene:
        assert ''.join(map(str, scene.bands)) == expected
        rows = scene.read(8, 40)
    picked = [band - 1 for band in scene.bands]
    np.testing.assert_array_equal(rows.values, values[picked, 8:])


def test_a_model_that_takes_more_than_its_pipeline_loads(tmp_path):
    path = write_scene(tmp_path / 'scene.tif', noise(4, 9, 9), names=NAMES)
    with pytest.raises(ValueError, match=r'loads 2 \(red, nir\)'):
        Scene(path, 4, trained=('red', 'nir'))


def test_what_the_user_names_wins(tmp_path):
    path = write_scene(tmp_path / 'scene.tif', noise(4, 9, 9), names=NAMES)
    with Scene(path, 3, ['1', '2', '4'], trained=MODELS['rgb']) as scene:
        assert scene.bands == (1, 2, 4)


def test_an_alpha_is_taken_if_it_is_named(tmp_path):
    values = with_alpha(*noise(3, 40, 40))
    path = write_scene(tmp_path / 'scene.tif', values)
    with Scene(path, 4, ['1', '2', '3', '4']) as scene:
        assert scene.band_names[3] == 'alpha'
        assert scene.read(0, 40).valid.all()


def test_bands_by_colour(tmp_path):
    path = write_scene(tmp_path / 'rgb.tif', noise(3, 9, 9), photometric='rgb')
    with Scene(path, 3, ['blue', 'green', 'red']) as scene:
        assert scene.bands == (3, 2, 1)


@pytest.mark.parametrize(
    ('bands', 'message'),
    [
        (['red', 'green', 'swir'], "no band is called 'swir'; .*3 .Red."),
        (['1', '2', '5'], 'there is no band 5; the bands of .* 4 .NIR.'),
        (['0', '1', '2'], 'there is no band 0'),
        (['red'], 'the model takes 3 bands, not 1 .red.'),
    ],
)
def test_bands_that_are_missing(tmp_path, bands, message):
    path = write_scene(tmp_path / 'scene.tif', noise(4, 9, 9), names=NAMES)
    with pytest.raises(ValueError, match=message):
        Scene(path, 3, bands)


def test_two_bands_of_one_name(tmp_path):
    path = write_scene(
        tmp_path / 'scene.tif', noise(2, 9, 9), names=('red', 'red')
    )
    with pytest.raises(ValueError, match="more than one band is called 'red'"):
        Scene(path, 1, ['red'])
