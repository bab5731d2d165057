"""Growth of the time of a step: the law, the cliff, the picture."""

import pytest

from mmfdconv.analysis import scaling
from mmfdconv.analysis.workloads import LayerShape


def series(times, sizes=(8, 16, 32, 64), method='stock'):
    return scaling.Series('side', method, sizes, times, times, times)


@pytest.mark.core
def test_exponent_of_a_power_law():
    found = series(tuple(3e-6 * n**1.7 for n in (8, 16, 32, 64)))
    assert scaling.exponent(found) == pytest.approx(1.7)
    assert '| side | stock | side ^ 1.70 | 1.00x at' in scaling.to_text(
        [found]
    )


@pytest.mark.core
def test_an_unlucky_size_stands_out():
    text = scaling.to_text([series((1.0, 4.0, 32.0, 64.0))])
    assert '2.00x at 32' in text


def test_sizes_are_those_of_the_axis(tmp_path):
    shape = LayerShape(4, 4, 3, 6)
    found = []
    for axis in scaling.AXES:
        found += scaling.measure_axis(
            axis, shape, 2, ['DYConv'], {}, sizes=(2, 4), rounds=2
        )
    assert [(s.axis, s.method) for s in found] == [
        (axis, method)
        for axis in scaling.AXES
        for method in ('stock', 'DYConv')
    ]
    for one in found:
        assert all(0 < t < 60 for t in one.median)
        for low, median, high in zip(one.low, one.median, one.high):
            assert low <= median <= high
    scaling.draw(found, 'title', tmp_path / 'out.png')
    assert (tmp_path / 'out.png').stat().st_size > 10_000


def test_the_layer_grows_along_the_axis(monkeypatch):
    seen = []

    def measure(case, modules, x, rounds):
        seen.append((case, modules['stock'].in_channels, tuple(x.shape)))
        return []

    monkeypatch.setattr(scaling, 'measure', measure)
    for axis in scaling.AXES:
        scaling.measure_axis(axis, LayerShape(4, 4, 3, 6), 2, [], {}, [8])
    assert seen == [
        ('batch 8', 4, (8, 4, 6, 6)),
        ('channels 8', 8, (2, 8, 6, 6)),
        ('side 8', 4, (2, 4, 8, 8)),
    ]
    with pytest.raises(ValueError, match="axis must be among .*'depth'"):
        scaling.measure_axis('depth', LayerShape(4, 4, 3, 6), 2, [], {})
