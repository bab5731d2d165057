"""Draws what a model learned: one function per figure.

Each takes what the modules above computed and a file to write, so that a
figure can be made of any layer, in a notebook as from the command line.
"""

from .attention import draw_attention
from .bands import draw_bands
from .frequency import draw_frequency
from .gates import draw_gates
from .kernels import draw_responses, draw_similarity

__all__ = [
    'draw_attention',
    'draw_bands',
    'draw_frequency',
    'draw_gates',
    'draw_similarity',
    'draw_responses',
]
