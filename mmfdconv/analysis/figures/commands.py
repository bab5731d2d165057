"""From a config, a checkpoint and an image to each figure.

What ``tools/analysis/figures.py`` calls. Each function writes a picture, or
a page, and returns what it shows in numbers, as lines of text.
"""

from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
)

import torch
from mmengine.config import Config
from torch import nn

from .. import attention, config_data, gates, kernels, spectra, subject
from ..attention import frequency_attention
from ..canvas import check_picture
from ..outputs import PathLike
from .attention import draw_attention, kept_share
from .bands import band_energies, draw_bands
from .frequency import Change, draw_frequency
from .gates import draw_gates
from .kernels import draw_responses, draw_similarity
from .pages import gate_entries, is_page, similarity_entry, write_page

__all__ = ['PAGES', 'Model', 'check_out', 'commands']

Lines = List[str]


class Model(NamedTuple):
    """A config's model and what to call it."""

    cfg: Config
    module: nn.Module
    state: str  # trained or not, by which checkpoint

    @classmethod
    def load(
        cls,
        cfg: Config,
        checkpoint: Optional[str] = None,
        device: str = 'cpu',
    ) -> 'Model':
        """Build it, see :func:`~mmfdconv.analysis.subject.load_model`."""
        module = subject.load_model(cfg, checkpoint, device)
        state = 'untrained'
        if checkpoint is not None:
            state = f'trained ({Path(checkpoint).name})'
        return cls(cfg, module, state)

    def title(self, name: str, layer: nn.Module) -> str:
        """Say which layer a figure shows, of which model."""
        size = 'x'.join(map(str, layer.kernel_size))
        return (
            f'{name}: {type(layer).__name__} {layer.in_channels} to '
            f'{layer.out_channels} channels, {size}, {self.state}'
        )

    def see(self, image: str, names: Sequence[str]) -> Any:
        """Run on an image; what the layers took and gave, and the image."""
        batch, picture = config_data.read_image(self.cfg, image)
        modules = dict(self.module.named_modules())
        with subject.watch({name: modules[name] for name in names}) as seen:
            data = subject.extract(self.module, batch, names)
        return seen, config_data.pad_picture(picture, data['inputs'].shape[2:])


def check_out(figure: str, out: PathLike) -> None:
    """Refuse a name that this figure cannot have, before the work is done.

    Raises:
        ValueError: It ends with no format of pictures, or it is a page's and
            the figure has none.
    """
    if not is_page(out):
        check_picture(out)
    elif figure not in PAGES:
        raise ValueError(
            f'out: {str(out)!r}: {figure} is a picture only (.png, .svg); '
            f'pages are {" and ".join(PAGES)}'
        )


def responses(
    model: Model, out: PathLike, layer: Optional[str] = None, number: int = 6
) -> Lines:
    """Frequency responses of a layer's parallel kernels."""
    name, found = subject.pick_layer(
        model.module, layer, kernels.kernels_misfit
    )
    parallel = kernels.parallel_kernels(found)
    noun = kernels.kernel_noun(found)
    draw_responses(parallel, out, model.title(name, found), noun, number)
    return [f'{name}: {len(parallel)} {noun}s']


def similarity(
    model: Model,
    out: PathLike,
    layer: Optional[str] = None,
    embedding: str = 'pca',
    every: bool = False,
) -> Lines:
    """How similar a layer's parallel kernels are; with a table of all.

    A page (``.html``) has all layers of the table to choose from.
    """
    name, found = subject.pick_layer(
        model.module, layer, kernels.kernels_misfit
    )
    layers = {name: found}
    if every:
        for key, other in subject.dynamic_layers(model.module).items():
            if kernels.kernels_misfit(other) is None:
                layers.setdefault(key, other)
    page = is_page(out)
    shown, entries = {}, []
    for key, other in layers.items():
        parallel = kernels.parallel_kernels(other).cpu()
        alike = shown[key] = kernels.similarity(parallel)
        if not page and key != name:
            continue  # a picture shows one layer
        plane = kernels.principal_plane(parallel, embedding)
        title, noun = model.title(key, other), kernels.kernel_noun(other)
        if page:
            entries.append(similarity_entry(title, alike, plane, noun))
        else:
            draw_similarity(alike, plane, out, title, noun)
    if page:
        write_page(out, 'How alike the parallel kernels are', entries)
    return _similarity_table(shown)


def _similarity_table(shown: Dict[str, kernels.Similarity]) -> Lines:
    """Mean and largest cosines by layer."""
    width = max(map(len, shown))
    lines = [
        f'{"cosines off the diagonal":{width}}  {"responses":>16}  '
        f'{"magnitudes":>16}',
        f'{"":{width}}  {"mean":>7} {"largest":>8}  {"mean":>7} '
        f'{"largest":>8}',
    ]
    for key, alike in shown.items():
        a, b, c, d = (value + 0.0 for value in alike.summary())
        lines.append(f'{key:{width}}  {a:7.3f} {b:8.3f}  {c:7.3f} {d:8.3f}')
    return lines


def bands(
    model: Model, out: PathLike, image: str, layer: Optional[str] = None
) -> Lines:
    """Frequency bands of a layer's input and FBM's maps of them."""
    name, found = subject.pick_layer(model.module, layer, spectra.bands_misfit)
    seen, picture = model.see(image, [name])
    x = _of(seen, name).before
    split = spectra.split_bands(found, x)
    names = spectra.band_names(found)
    draw_bands(split, names, picture, out, model.title(name, found))
    lines = [f'{name}: input {x.shape[3]} x {x.shape[2]}']
    for i, (band, energy) in enumerate(zip(names, band_energies(split))):
        maps = split.maps[i, 0]
        lines.append(
            f'{band:>18} cycles/pixel: {energy:6.1%} of the energy, map '
            f'{float(maps.min()):.3f} to {float(maps.max()):.3f}'
        )
    return lines


def gates_over_data(
    model: Model,
    out: PathLike,
    layer: Optional[str] = None,
    split: str = 'val',
    number: Optional[int] = None,
    below: float = 0.1,
    progress: Callable[[Sequence], Iterable] = iter,
) -> Lines:
    """Gates over a data set: use, entropy, dead kernels, classes."""
    if layer is not None:
        layer, _ = subject.pick_layer(model.module, layer, gates.gates_misfit)
    subject.dynamic_layers(model.module)  # before the data are read
    data = config_data.build_data(model.cfg, split)
    study = gates.study_gates(model.module, data, number, progress)
    title = f'Gates on {split}, {model.state}'
    if is_page(out):
        write_page(out, title, gate_entries(study, below))
    else:
        draw_gates(study, out, title, layer, below)
    width = max(map(len, study.layers))
    lines = [
        f'{"":{width}}    K  entropy/log K  sd over images  least used  '
        'most used  dead'
    ]
    for name, found in study.layers.items():
        usage = found.usage
        deviation = float(found.entropy.std()) if len(found.entropy) > 1 else 0
        lines.append(
            f'{name:{width}}  {len(usage):3d}  '
            f'{float(found.entropy.mean()):13.4f}  {deviation:14.4f}  '
            f'{float(usage.min()):10.3f}  {float(usage.max()):9.3f}  '
            f'{len(found.dead(below)):4d}'
        )
    return lines


def attention_of_image(
    model: Model, out: PathLike, image: str, layer: Optional[str] = None
) -> Lines:
    """Coefficients of FAT, and what FAT and GAP keep of the features."""
    name, found = subject.pick_layer(
        model.module, layer, attention.attention_misfit
    )
    seen, picture = model.see(image, [name])
    x = _of(seen, name).before
    looked = frequency_attention(found.descriptor, x)
    draw_attention(
        looked, found.descriptor, picture, out, model.title(name, found)
    )
    return [
        f'{name}: FAT keeps {kept_share(looked):.1%} of the variation of the '
        'pooled features, GAP 0%'
    ]


def frequency(
    model: Model,
    out: PathLike,
    images: Sequence[str],
    layer: Optional[str] = None,
) -> Lines:
    """Effective frequencies of features before and after layers."""
    layers = subject.dynamic_layers(model.module)
    if layer is not None:
        # Any module that maps features may be asked for by its name.
        modules = dict(model.module.named_modules())
        if layer in modules and layer not in layers:
            layers = {**layers, layer: modules[layer]}
        layer, _ = subject.pick_layer(
            model.module, layer, lambda found: None, layers
        )
    ends = {name: ([], []) for name in layers}
    spectrum = {'before': [], 'after': []}
    chosen = layer
    for image in images:
        seen, _ = model.see(image, list(layers))
        maps = [n for n in layers if n in seen and seen[n].before.dim() == 4]
        chosen = chosen or next(iter([*maps, *layers]))
        for name in maps:
            for side, x in zip(ends[name], seen[name]):
                side.append(spectra.effective_frequency(x).cpu())
        for side, x in zip(spectrum, _of(seen, chosen)):
            spectrum[side].append(spectra.power_profile(x.cpu()))
    changes = {
        name: Change(*map(torch.cat, sides))
        for name, sides in ends.items()
        if sides[0]
    }
    profiles = {
        side: (parts[0][0], torch.cat([power for _, power in parts]))
        for side, parts in spectrum.items()
    }
    number = len(images)
    title = (
        f'Effective frequency of features, {model.state}, {number} '
        f'image{"s" if number > 1 else ""}'
    )
    labels = {name: name + _stride(layers[name]) for name in changes}
    draw_frequency(
        {labels[name]: change for name, change in changes.items()},
        profiles,
        chosen,
        out,
        title,
    )
    width = max(map(len, labels.values()))
    lines = [f'{"cycles per pixel":{width}}  before   after']
    for name, (before, after) in changes.items():
        values = float(before.nanmean()), float(after.nanmean())
        lines.append(
            f'{labels[name]:{width}}  {values[0]:6.4f}  {values[1]:6.4f}'
        )
    return lines


def _stride(layer: nn.Module) -> str:
    stride = max(getattr(layer, 'stride', None) or (1,))
    return f' (stride {stride})' if stride > 1 else ''


def _of(seen: Any, name: str) -> subject.Seen:
    """What was seen of a layer; plain words where nothing was."""
    if name not in seen:
        raise ValueError(
            f'layer: {name!r} does not run when the model extracts features'
        )
    if seen[name].before.dim() != 4:
        raise ValueError(
            f'layer: {name!r} takes tokens without positions, of shape '
            f'{tuple(seen[name].before.shape)}; its features have no '
            'frequencies'
        )
    return seen[name]


commands = {
    'responses': responses,
    'similarity': similarity,
    'bands': bands,
    'gates': gates_over_data,
    'attention': attention_of_image,
    'frequency': frequency,
}
"""The figures by the names under which the command line makes them."""

PAGES = ('similarity', 'gates')
"""Those that may also be interactive pages (``.html``)."""
