"""Walks through what a config nests."""

from typing import Any, Iterator, List, Mapping, Tuple


def nodes(tree: Any, place: str) -> Iterator[Tuple[str, Any]]:
    """Yield every dict of a tree and its place, before those inside of it.

    What the caller puts into a dict, or takes out, is what is walked on.

    Args:
        tree: Dicts and lists.
        place: What the tree is called, ``'model'``; its parts are then
            ``'model.backbone'`` and, in a list, ``'model.heads.0'``.
    """
    if isinstance(tree, Mapping):
        yield place, tree
        children = list(tree.items())
    elif isinstance(tree, (list, tuple)):
        children = list(enumerate(tree))
    else:
        return
    for name, child in children:
        yield from nodes(child, f'{place}.{name}')


def type_name(node: Any) -> str:
    """The class that a dict names, by name, class or dotted path.

    Of anything else its own class.
    """
    kind = node.get('type') if isinstance(node, Mapping) else type(node)
    return str(getattr(kind, '__name__', kind)).rpartition('.')[2]


def innermost_datasets(dataset: Mapping[str, Any]) -> List[Any]:
    """The data sets that wrappers and concatenations hold, or the one given.

    Args:
        dataset: Of a data loader's config.
    """
    if 'datasets' in dataset:
        parts = dataset['datasets']
    elif 'dataset' in dataset:
        parts = [dataset['dataset']]
    else:
        return [dataset]
    return [leaf for part in parts for leaf in innermost_datasets(part)]


def dynamic_backbones(model: Any) -> Iterator[Tuple[str, Mapping[str, Any]]]:
    """Yield the place and the config of every ``DynamicBackbone``.

    Args:
        model: ``model`` of a config, or None.
    """
    for place, node in nodes(model, 'model'):
        if type_name(node) == 'DynamicBackbone':
            yield place, node
