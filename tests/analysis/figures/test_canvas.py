"""What the figures have in common."""

import pytest

pytest.importorskip('matplotlib')
pytest.importorskip('mmengine')

from mmfdconv.analysis.figures import canvas

pytestmark = pytest.mark.core


def test_a_name_without_a_format_is_refused():
    with pytest.raises(
        ValueError, match=r"out: 'a.xyz' must end with .*\.png"
    ):
        canvas.check_picture('a.xyz')


def test_pixels_of_a_figure():
    figure = canvas.new_figure(1, 0.5, dpi=60)
    figure.set_facecolor('#ff0000')
    found = canvas.pixels(figure)
    assert found.shape == (30, 60, 3)
    assert (found == [255, 0, 0]).all()
