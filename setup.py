"""Build script of mmfdconv; settings of the tools are in pyproject.toml."""

import os
import runpy
import shutil
from pathlib import Path

from setuptools import Command, find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = 'mmfdconv'
# OpenMMLab's convention: what a package carries beside its modules stands in
# `<package>/.mim`, where MMEngine resolves `mmfdconv::mmdet/...` and MIM
# finds the tools.
MIM_DIR = '.mim'
MIM_CONTENT = ('configs', 'tools', 'model-index.yml')

# What parts need beside a toolbox; nothing here brings torch.
EXTRAS = {
    'cropland': [
        'fiona>=1.9',
        'jinja2',
        'pyproj>=3',
        'rasterio>=1.3',
        'scipy',
        'shapely>=2.1',
        'tqdm',
    ],
    'deploy': [
        'onnx>=1.16',
        'onnxruntime>=1.17',
        'onnxscript',
        'openvino>=2024',
    ],
    'geoparquet': ['pyarrow'],
    'figures': ['matplotlib>=3.5', 'scipy', 'tqdm'],
}


class LinkMim(Command):
    """Link configs and tools into the source tree's `mmfdconv/.mim`.

    For work from a checkout: an edited config is seen at once. The links are
    relative, so a moved checkout stays whole, and git ignores them.
    """

    description = 'link configs and tools into mmfdconv/.mim'
    user_options = []

    def initialize_options(self):
        """Nothing to set: the command has no options."""

    def finalize_options(self):
        """Nothing to check: the command has no options."""

    def run(self):
        """Create the links that are missing or point elsewhere."""
        mim = ROOT / PACKAGE / MIM_DIR
        mim.mkdir(exist_ok=True)
        for name in MIM_CONTENT:
            link = mim / name
            target = os.path.join(os.pardir, os.pardir, name)
            if link.is_symlink() and os.readlink(link) == target:
                continue
            if link.is_symlink() or link.is_file():
                link.unlink()
            elif link.is_dir():
                shutil.rmtree(link)
            link.symlink_to(target)


class BuildPy(build_py):
    """Put configs and tools into the wheel, or link them when editable.

    The copies go straight into the build folder: the source tree stays clean.
    """

    def run(self):
        """Build the modules, then add the content of `.mim`."""
        super().run()
        if getattr(self, 'editable_mode', False):
            self.run_command('link_mim')
            return
        mim = Path(self.build_lib, PACKAGE, MIM_DIR)
        shutil.rmtree(mim, ignore_errors=True)
        ignore = shutil.ignore_patterns('__pycache__', '*.pyc')
        mim.mkdir(parents=True)
        for name in MIM_CONTENT:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, mim / name, ignore=ignore)
            else:
                shutil.copy2(source, mim / name)


setup(
    name=PACKAGE,
    version=runpy.run_path(str(ROOT / PACKAGE / 'version.py'))['__version__'],
    description='Dynamic convolutions for any OpenMMLab experiment',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='computer vision, dynamic convolution, FDConv, OpenMMLab',
    # Where the methods come from.
    project_urls={
        'FDConv (paper)': 'https://arxiv.org/abs/2503.18783',
        'FADConv (paper)': 'https://arxiv.org/abs/2504.03510',
        'ODConv (paper)': 'https://arxiv.org/abs/2209.07947',
        'KernelWarehouse (paper)': 'https://arxiv.org/abs/2406.07879',
        'OpenMMLab': 'https://github.com/open-mmlab',
    },
    classifiers=[
        'Development Status :: 5 - Production/Stable',
        'Intended Audience :: Developers',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3 :: Only',
        'Programming Language :: Python :: 3.11',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: GIS',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={f'{PACKAGE}.cropland': ['templates/*.html']},
    py_modules=[f'{PACKAGE}_cli'],
    entry_points={'console_scripts': [f'{PACKAGE} = {PACKAGE}_cli:main']},
    python_requires='>=3.8',
    # Nothing more on purpose: installing mmfdconv must never replace someone's
    # torch, mmcv or toolbox. requirements/ holds the two tested sets of
    # versions.
    install_requires=['prettytable>=3'],
    extras_require=EXTRAS,
    cmdclass={'build_py': BuildPy, 'link_mim': LinkMim},
    zip_safe=False,
)
