"""Dynamic convolutions for any OpenMMLab experiment.

``custom_imports = dict(imports=['mmfdconv'])`` in a config registers all of
it. Without MMEngine the layers alone are there: ``mmfdconv.layers``.
"""

from importlib.util import find_spec

from .version import __version__

if find_spec('mmengine') is not None:
    from . import (  # noqa: F401
        convert,
        datasets,
        engine,
        evaluation,
        hooks,
        models,
        registry,
    )

__all__ = ['__version__']
