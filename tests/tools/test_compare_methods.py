"""tools/cropland/compare_methods.py: what is said when it cannot begin."""

import pytest

pytest.importorskip('mmseg')

pytestmark = pytest.mark.slow


def test_data_that_are_not_there(tool):
    result = tool('cropland/compare_methods.py', '--data-root', 'absent')
    assert result.returncode == 1
    assert "error: data_root: 'absent' must have" in result.stdout
    assert 'Traceback' not in result.stdout
