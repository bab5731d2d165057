"""Which class is cropland, and what the values of a map are called."""

import pytest

from mmfdconv.cropland.legend import (
    find_cropland,
    number_classes,
    parse_classes,
)

pytestmark = pytest.mark.core


def legend(*names):
    return dict(enumerate(names))


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        (['water', 'cropland'], {0: 'water', 1: 'cropland'}),
        (['40=cropland', '10=tree cover'], {40: 'cropland', 10: 'tree cover'}),
        (['11=crops', '12=crops'], {11: 'crops', 12: 'crops'}),
        (['-1=none', '5=a=b'], {-1: 'none', 5: 'a=b'}),
    ],
)
def test_words_of_the_command_line(words, expected):
    assert parse_classes(words) == expected


def test_wrong_words_are_told():
    with pytest.raises(ValueError, match="--after-classes: 'water' has no va"):
        parse_classes(['40=cropland', 'water'], '--after-classes')
    with pytest.raises(ValueError, match='the value 40 comes twice, as a and'):
        parse_classes(['40=a', '40=b'])


@pytest.mark.parametrize(
    ('names', 'wanted', 'expected'),
    [
        (['water', 'Cropland'], None, 'Cropland'),
        (['water', 'farmland'], None, 'farmland'),
        (['Rice', 'cropland', 'farmland'], 'rice', 'Rice'),
        (['cropland', 'farmland'], 'FARMLAND', 'farmland'),
        (['cropland', 'water', 'cropland'], None, 'cropland'),
    ],
)
def test_cropland(names, wanted, expected):
    assert find_cropland(legend(*names), 'a.tif', wanted) == expected


@pytest.mark.parametrize(
    ('names', 'wanted', 'said'),
    [
        (['water'], None, 'a.tif: no class is called cropland or farmland'),
        (['water', 'ice'], 'rice', 'is called rice; .* are water, ice$'),
        (['cropland', 'farmland'], None, 'cropland and farmland may both be'),
        (['Farmland', 'farmland'], None, 'Farmland and farmland may both be'),
        (['Rice', 'rice'], 'rice', 'one name with --before-classes'),
    ],
)
def test_no_cropland_or_two(names, wanted, said):
    with pytest.raises(ValueError, match=said):
        find_cropland(legend(*names), 'a.tif', wanted)


def test_numbers():
    names, numbers = number_classes({9: 'Water', 3: 'crops', 5: 'WATER'})
    assert names == ['crops', 'WATER']
    assert numbers == {3: 0, 5: 1, 9: 1}
