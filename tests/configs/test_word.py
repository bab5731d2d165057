"""A word gives the config that an experiment's file writes down."""

import ast
import functools
from pathlib import Path

import pytest
from mmengine.config import Config

from mmfdconv.convert import config_path, with_dynamic_convolutions

from .experiments import CONFIGS, TOOLBOXES, read, scope_of

EXPERIMENTS = sorted(
    path.relative_to(CONFIGS).as_posix()
    for toolbox in TOOLBOXES
    for path in (CONFIGS / toolbox).rglob('*.py')
)

#: What files need to write a config down, and the experiment does not.
HELPERS = (
    'dynamic_conv_cfg',
    'dynamic_temperature',
    'pretraining_temperature',
    'gate_norm',
)


def values_of(path):
    """The literals that a config assigns, by name; None for other code."""
    values = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign):
            try:
                code = compile(ast.Expression(node.value), '', 'eval')
                value = eval(code, {'dict': dict})
            except (NameError, TypeError):
                value = None
            values[node.targets[0].id] = value
    return values


def word_of(path):
    """Base, method and options that stand for a file; None if none do."""
    values = values_of(path)
    bases = [
        base
        for base in values.get('_base_') or []
        if not base.endswith('import_mmfdconv.py')
    ]
    methods = [base for base in bases if '/dynamic/' in base]
    others = [base for base in bases if base not in methods]
    if len(others) != 1:
        return None
    (base,) = others
    if methods:
        return where(base, path), Path(methods[0]).stem, {}
    if '::' in base:
        return None
    found = word_of((path.parent / base).resolve())
    if found is None:
        return None
    options = values['model']['backbone']['conv_cfg']
    return found[0], found[1], {**found[2], **options}


def where(base, path):
    return config_path(base) if '::' in base else path.parent / base


def has_a_word(name):
    # The demo's backbone is its own.
    return '/shapes/' not in name and word_of(CONFIGS / name) is not None


def plain(node):
    """Without the marks that MMEngine leaves on what a base gave."""
    if isinstance(node, dict):
        return {k: plain(v) for k, v in node.items() if k != '_scope_'}
    if isinstance(node, (list, tuple)):
        return [plain(item) for item in node]
    return node


def comparable(cfg):
    """A config as plain values, without what only its file needs."""
    values = plain(cfg.to_dict())
    for name in HELPERS:
        values.pop(name, None)
    wrapper = values['optim_wrapper']
    # The same on an accelerator; some files say it so that a CPU does, too.
    if wrapper.get('type') == 'AutoAmpOptimWrapper':
        wrapper['type'] = 'AmpOptimWrapper'
    return values


@functools.lru_cache(maxsize=None)
def load(path):
    return Config.fromfile(path)


WORDS = [name for name in EXPERIMENTS if has_a_word(name)]


def test_every_dynamic_experiment_but_the_demo_is_a_word():
    others = set(EXPERIMENTS) - set(WORDS)
    for name in others:
        if '/shapes/' not in name:
            text = (CONFIGS / name).read_text()
            assert 'DynamicBackbone' not in text, name


@pytest.mark.parametrize('name', WORDS)
def test_the_word_gives_the_same_config(name):
    scope_of(name)
    base, method, options = word_of(CONFIGS / name)
    cfg = with_dynamic_convolutions(load(base), method, options)
    assert comparable(cfg) == comparable(read(name))
