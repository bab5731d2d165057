"""Draws what a model learned: a file for each figure.

A file computes and draws: ``draw_...`` takes what the other functions found
and returns a figure of matplotlib, so that it can be made of any layer, in a
notebook or while a model is trained. The function with the figure's name goes
the whole way, from a model to a picture; it returns what the picture shows in
numbers, as lines of text.
"""

from typing import Callable, Dict, List

from . import attention, bands, gates, kernels, similarity

__all__ = ['FIGURES', 'attention', 'bands', 'gates', 'kernels', 'similarity']

FIGURES: Dict[str, Callable[..., List[str]]] = {
    'responses': kernels.responses,
    'similarity': similarity.similarity,
    'bands': bands.bands,
    'gates': gates.gates,
    'attention': attention.attention,
}
"""The whole way to each figure, by the name that the command line takes."""
