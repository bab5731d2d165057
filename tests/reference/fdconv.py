"""FDConv in slow, obvious steps, for comparison with the real layer.

Written from the equations of "Frequency Dynamic Convolution for Dense Image
Prediction" (arXiv:2503.18783), Sec. 3.2 to 3.4, and from what the published
code adds to them (scales, temperatures, band masks). It shares no code with
mmfdconv, uses no FFT, no convolution and no normalisation operator, and
computes in float64. All of it is differentiable, so that gradients can be
compared as well.

Parameters come as a state dict under the published names (``dft_weight``,
``KSM_Global.fc.weight``, ...), options under the names of ``FDConv``'s own
arguments. A head that is missing from the state dict gates with 1.
"""

import math

import numpy as np
import torch

from .conv import sample_conv
from .descriptors import average, describe
from .fdw import disjoint_weight, stored_spectra
from .fourier import frequencies, half_frequencies, image_of, spectrum_of

# ------------------------------------------------------------------ KSM


def gate(logits, act, temperature, multiplier):
    """``act(logit / T)``, scaled so that it can be 1 at the start."""
    if act == 'sigmoid':
        return multiplier / (1 + torch.exp(-logits / temperature))
    assert act == 'tanh'
    return 1 + torch.tanh(logits / temperature)


def batch_norm(x, state, prefix, training, eps=1e-5):
    """Normalise ``(B, N)`` over the batch, or by the running statistics.

    A batch of one has no statistics of its own, so it takes the running ones
    in training, too.
    """
    if training and len(x) > 1:
        mean = sum(x) / len(x)
        var = sum((row - mean) ** 2 for row in x) / len(x)
    else:
        mean = state[prefix + '.running_mean']
        var = state[prefix + '.running_var']
    normal = (x - mean) / torch.sqrt(var + eps)
    return normal * state[prefix + '.weight'] + state[prefix + '.bias']


def linear(x, state, prefix):
    """A 1x1 convolution of a pooled feature, ``(B, C) -> (B, N)``."""
    y = x @ state[prefix + '.weight'].flatten(1).t()
    return y + state[prefix + '.bias'] if prefix + '.bias' in state else y


def global_gates(pooled, state, options, training):
    """Four gates from the pooled feature ``(B, C)``.

    Returns:
        Input channel ``(B, C)``, output channel ``(B, O)``, kernel position
        ``(B, kh, kw)``, frequency group ``(B, R, K)``.
    """
    name = 'KSM_Global'
    B, (kh, kw) = len(pooled), options['kernel_size']
    R, K = options['param_ratio'], options['kernel_num']

    hidden = linear(pooled, state, f'{name}.fc')
    hidden = batch_norm(hidden, state, f'{name}.bn', training)
    positive = hidden * (hidden > 0)  # StarReLU: s * relu(x)^2 + b
    hidden = state[f'{name}.relu.scale'] * positive**2
    hidden = hidden + state[f'{name}.relu.bias']

    def head(which, size):
        if f'{name}.{which}_fc.weight' not in state:
            return pooled.new_ones(B, size)
        logits = linear(hidden, state, f'{name}.{which}_fc')
        act = options['ksm_global_act']
        return gate(logits, act, options['temp'], options['att_multi'])

    channel = head('channel', options['in_channels'])
    filters = head('filter', options['out_channels'])
    spatial = head('spatial', kh * kw).reshape(B, kh, kw)

    if f'{name}.kernel_fc.weight' in state:
        logits = linear(hidden, state, f'{name}.kernel_fc')  # (B, R*K)
        if options['ksm_global_act'] == 'softmax':
            power = torch.exp(logits / options['kernel_temp'])
            kernel = power / power.sum(1, keepdim=True)
        else:
            act, temp = options['ksm_global_act'], options['kernel_temp']
            kernel = gate(logits, act, temp, 2) / (R * K)
    else:
        kernel = pooled.new_full((B, R * K), 1 / (R * K))
    return channel, filters, spatial, kernel.reshape(B, R, K)


def eca_kernel_size(channels):
    """Length of the 1-D convolution: ECA's rule, always odd."""
    return round(math.log2(channels) / 2 + 0.5) // 2 * 2 + 1


def local_gate(pooled, state, options, eps=1e-5):
    """Dense gate ``(B, O, C, kh, kw)`` from each channel's neighbours."""
    weight = state['KSM_Local.conv.weight'][:, 0]  # (O*kh*kw, k)
    scale, shift = state['KSM_Local.norm.weight'], state['KSM_Local.norm.bias']
    B, C = pooled.shape
    O, (kh, kw) = options['out_channels'], options['kernel_size']  # noqa: E741
    k = weight.shape[1]
    assert k == eca_kernel_size(C)
    zero = pooled.new_zeros(())

    samples = []
    for b in range(B):
        mean = pooled[b].mean()
        var = ((pooled[b] - mean) ** 2).mean()
        feature = (pooled[b] - mean) / torch.sqrt(var + eps) * scale + shift
        columns = []  # one per input channel
        for c in range(C):
            neighbours = [c + j - (k - 1) // 2 for j in range(k)]
            window = [feature[n] if 0 <= n < C else zero for n in neighbours]
            columns.append(weight @ torch.stack(window))
        logits = torch.stack(columns, dim=1)  # (O*kh*kw, C)
        logits = logits.reshape(O, kh, kw, C).permute(0, 3, 1, 2)
        samples.append(logits)
    logits = torch.stack(samples)
    return gate(logits, options['ksm_local_act'], 1.0, options['att_multi'])


# ------------------------------------------------------------------ FBM


def low_pass(height, width, k, mask):
    """Half-plane mask ``(H, W//2 + 1)`` of ``max(|fy|, |fx|) < 1 / (2 k)``.

    The bound carries the published 1e-8 and is a float32 number like the
    frequencies.
    """
    bound = np.float32(0.5 / k + 1e-8)
    if mask == 'exact':
        fy, fx = frequencies(height), half_frequencies(width)
    else:
        assert mask == 'nearest64'
        rows = nearest_source(height, 64)
        cols = nearest_source(width // 2 + 1, 33)
        fy = [frequencies(64)[i] for i in rows]
        fx = [half_frequencies(64)[i] for i in cols]
    return torch.tensor(
        [[float(max(abs(v), abs(u)) < bound) for u in fx] for v in fy],
        dtype=torch.float64,
    )


def nearest_source(new, old):
    """Which of ``old`` samples each of ``new`` takes; float32 as in torch."""
    ratio = np.float32(old) / np.float32(new)
    return [min(int(np.float32(i) * ratio), old - 1) for i in range(new)]


def modulate_bands(x, state, options):
    """Weigh each octave band of ``x`` by a spatial map of its own."""
    cfg = options['fbm_cfg']
    S = cfg['spatial_group']
    B, C, H, W = x.shape
    spectrum = spectrum_of(x)
    total, previous = 0, x
    for index, k in enumerate(cfg['k_list']):
        mask = low_pass(H, W, k, cfg['mask'])
        low = image_of(spectrum * mask, W)
        band, previous = previous - low, low
        total = total + band * spatial_map(x, state, index, S, cfg['act'])
    if cfg['lowfreq_att']:
        index = len(cfg['k_list'])
        low = low * spatial_map(x, state, index, S, cfg['act'])
    return total + low


def spatial_map(x, state, index, spatial_group, act):
    """One factor per pixel and spatial group, ``(B, C, H, W)``."""
    prefix = f'FBM.freq_weight_conv_list.{index}'
    weight, bias = state[prefix + '.weight'], state[prefix + '.bias']
    margin = weight.shape[-1] // 2
    kernels = weight[None].expand(len(x), *weight.shape)
    logits = sample_conv(
        x, kernels, padding=(margin, margin), groups=spatial_group
    )
    logits = logits + bias.reshape(-1, 1, 1)
    if act == 'softmax':
        power = torch.exp(logits)
        factor = power / power.sum(1, keepdim=True) * spatial_group
    else:
        factor = gate(logits, act, 1.0, 2)
    return factor.repeat_interleave(x.shape[1] // spatial_group, dim=1)


# ---------------------------------------------------------------- layer

DEFAULTS = dict(
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    padding_mode='zeros',
    kernel_num=4,
    kernel_temp=1.0,
    temp=None,
    att_multi=2.0,
    param_ratio=1,
    param_reduction=1.0,
    ksm_local_act='sigmoid',
    ksm_global_act='sigmoid',
    descriptor='gap',
)
FBM_DEFAULTS = dict(
    k_list=(2, 4, 8),
    lowfreq_att=False,
    act='sigmoid',
    spatial_group=1,
    mask='exact',
)


def full_options(args):
    """Fill in defaults; pairs become tuples."""
    options = {**DEFAULTS, **args}
    for key in ('kernel_size', 'stride', 'padding', 'dilation'):
        if isinstance(options[key], int):
            options[key] = (options[key],) * 2
    if options['kernel_num'] is None:
        options['kernel_num'] = max(options['out_channels'] // 2, 1)
        groups = options['kernel_num'] * options['param_ratio']
        options['kernel_temp'] = math.sqrt(groups)
    if options['temp'] is None:
        options['temp'] = options['kernel_temp']
    fbm = {**FBM_DEFAULTS, **(options.get('fbm_cfg') or {})}
    if fbm['spatial_group'] > 64:  # the published code's "one per channel"
        fbm['spatial_group'] = options['in_channels']
    options['fbm_cfg'] = fbm
    return options


def sample_weights(x, state, options, training=False):
    """The kernels ``(B, O, C/G, kh, kw)`` that FDW and KSM give each sample.

    Args:
        x: Input ``(B, C, H, W)``.
        state: State dict in float64.
        options: Result of :func:`full_options`.
        training: Whether the norm uses the statistics of the batch.
    """
    C, O = options['in_channels'], options['out_channels']  # noqa: E741
    G = options['groups']
    inner = C // G
    pooled = average(x)
    seen = describe(x, state, options['descriptor'])
    channel, filters, spatial, kernel = global_gates(
        seen, state, options, training
    )
    dense = None
    if 'KSM_Local.conv.weight' in state:
        dense = local_gate(pooled, state, options)

    spectra = stored_spectra(state, options)
    weights = []
    for b in range(len(x)):
        weight = disjoint_weight(spectra, kernel[b], options)
        gated = []
        for o in range(O):
            first = o // (O // G) * inner  # of this group's input channels
            mine = slice(first, first + inner)
            factor = filters[b, o] * channel[b, mine].reshape(-1, 1, 1)
            factor = factor * spatial[b]
            if dense is not None:
                factor = factor * dense[b, o, mine]
            gated.append(weight[o] * factor)
        weights.append(torch.stack(gated))
    return torch.stack(weights)


def fdconv(x, state, args, training=False):
    """The layer: ``(B, C, H, W) -> (B, O, H', W')`` in float64.

    Args:
        x: Input.
        state: The layer's state dict, published names.
        args: The layer's arguments; what is left out has FDConv's default.
        training: Whether the norm uses the statistics of the batch.
    """
    options = full_options(args)
    weights = sample_weights(x, state, options, training)
    if 'FBM.freq_weight_conv_list.0.weight' in state:
        x = modulate_bands(x, state, options)
    y = sample_conv(
        x,
        weights,
        options['stride'],
        options['padding'],
        options['dilation'],
        options['groups'],
        options['padding_mode'],
    )
    return y + state['bias'].reshape(-1, 1, 1) if 'bias' in state else y
