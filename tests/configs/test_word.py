"""An experiment's file and its word on the stock config say the same."""

import ast
import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmfdconv.convert import config_path, with_dynamic_convolutions

from .experiments import CONFIGS, FILES, WORDS, read, scope_of

#: Names that a file needs to write a config down, and nothing reads later.
HELPERS = (
    'dynamic_conv_cfg',
    'dynamic_temperature',
    'pretraining_temperature',
    'gate_norm',
)


def bases_of(name):
    text = (CONFIGS / name).read_text()
    bases = ast.literal_eval(
        re.search(r'^_base_ = (\[.*?\])', text, re.M | re.S)[1]
    )
    return [base for base in bases if not base.endswith('import_mmfdconv.py')]


def is_dynamic(name):
    # The demo's backbone is its own, and no stock config's.
    return '/shapes/' not in name and 'Dynamic' in (CONFIGS / name).read_text()


DYNAMIC = [name for name in FILES if is_dynamic(name)]


def stock_of(name):
    """What an experiment makes dynamic."""
    if name in WORDS:
        return Config.fromfile(config_path(name.split(' --conv ')[0]))
    base = bases_of(name)[0]
    path = (CONFIGS / name).parent / base
    return Config.fromfile(config_path(base) if '::' in base else path)


def plain(cfg):
    """A config as plain values, without marks that MMEngine leaves."""

    def plain_node(node):
        if isinstance(node, dict):
            return {
                k: plain_node(v) for k, v in node.items() if k != '_scope_'
            }
        if isinstance(node, (list, tuple)):
            return [plain_node(item) for item in node]
        return node

    values = plain_node(cfg.to_dict())
    return {k: v for k, v in values.items() if k not in HELPERS}


@pytest.mark.core
@pytest.mark.parametrize('name', DYNAMIC)
def test_the_word_gives_the_same_config(name):
    scope_of(name)
    _, method = bases_of(name)
    cfg = with_dynamic_convolutions(stock_of(name), Path(method).stem)
    assert plain(cfg) == plain(read(name))


@pytest.mark.parametrize('name', [*DYNAMIC, *WORDS])
def test_all_but_the_backbone_is_the_stock_config(name):
    """Data, schedule and optimizer: what a method brings can be taken out."""
    cfg = read(name)
    assert cfg.model.backbone.type == 'DynamicBackbone'
    found = plain(with_dynamic_convolutions(cfg, 'stock'))
    stock = plain(stock_of(name))
    for values in (found, stock):
        values.pop('custom_imports', None)
    assert found == stock
