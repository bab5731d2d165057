"""Every test here runs for both methods."""

import pytest

from .helpers import METHODS


@pytest.fixture(params=sorted(METHODS))
def method(request):
    """Name of the dynamic layer that the backbone is converted to."""
    return request.param
