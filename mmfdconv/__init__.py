"""Dynamic convolutions for any OpenMMLab experiment.

``custom_imports = dict(imports=['mmfdconv'])`` in a config registers all of
it. Without MMEngine the layers alone are there: ``mmfdconv.layers``.
"""

from importlib.util import find_spec

from .version import __version__

if find_spec('mmengine') is not None:
    from . import convert, datasets, engine, evaluation, hooks, registry  # noqa: F401

__all__ = ['__version__']
