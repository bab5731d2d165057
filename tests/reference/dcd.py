"""DCD in slow, obvious steps, from arXiv:2103.08756, Eq. (8).

``y = Lambda(x) W0 * x + P Phi(x) Q^T x``, with the norms and the shortcut of
the published code in the latent space. Shares no code with mmfdconv; float64.
"""

import torch

from .conv import pad, sample_conv
from .descriptors import pooled_map
from .experts import geometry
from .fdconv import linear


def hard_sigmoid_2(x):
    """0 below -3, 2 above 3, a straight line between them."""
    return (x + 3).clamp(0, 6) / 3


def norm_over_positions(x, state, prefix, training, eps=1e-5):
    """Normalise ``(B, L, N)`` over samples and positions.

    A single value has no statistics, it takes the running ones.
    """
    training = training and x.shape[0] * x.shape[2] > 1
    channels = []
    for c in range(x.shape[1]):
        values = x[:, c]
        if training:
            mean = values.mean()
            var = ((values - mean) ** 2).mean()
        else:
            mean = state[f'{prefix}.running_mean'][c]
            var = state[f'{prefix}.running_var'][c]
        normal = (values - mean) / torch.sqrt(var + eps)
        scale, shift = state[f'{prefix}.weight'], state[f'{prefix}.bias']
        channels.append(normal * scale[c] + shift[c])
    return torch.stack(channels, dim=1)


def under_the_centre(x, size, kernel_size, options):
    """What the padded input has under the kernel's centre, ``(B, C, N)``."""
    before, after = [], []
    for axis, k in enumerate(kernel_size):
        extent = options['dilation'][axis] * (k - 1)
        if options['padding'] == 'same':
            before.append(extent // 2)
            after.append(extent - extent // 2)
        elif options['padding'] == 'valid':
            before.append(0)
            after.append(0)
        else:
            before.append(options['padding'][axis])
            after.append(options['padding'][axis])
    padded = pad(x, before, after, options['padding_mode'])
    columns = []
    for r in range(size[0]):
        for c in range(size[1]):
            position = [
                index * options['stride'][axis]
                + options['dilation'][axis] * (kernel_size[axis] - 1) // 2
                for axis, index in enumerate((r, c))
            ]
            columns.append(padded[:, :, position[0], position[1]])
    return torch.stack(columns, dim=2)


def dcd(x, state, args, training=False):
    side = args.get('squeeze_size', 1)
    options = geometry(args)
    B, O = len(x), args['out_channels']  # noqa: E741

    pooled = torch.stack(
        [
            torch.cat([pooled_map(plane, side).flatten() for plane in sample])
            for sample in x
        ]
    )
    y = linear(pooled, state, 'fc.0')
    y = y * hard_sigmoid_2(linear(y, state, 'fc.1.fc.0'))
    scale = hard_sigmoid_2(linear(y, state, 'fc_scale'))  # (B, O)
    q, p = (state[f'{name}.weight'][:, :, 0, 0] for name in 'qp')
    L = len(q)
    phi = linear(y, state, 'fc_phi').reshape(B, L, L)

    weight = state['weight']
    static = sample_conv(x, torch.stack([weight] * B), **options)
    size = static.shape[-2:]
    static = static * scale.reshape(B, O, 1, 1)
    seen = under_the_centre(x, size, weight.shape[-2:], options)
    latent = torch.stack([q @ sample for sample in seen])  # (B, L, N)
    latent = norm_over_positions(latent, state, 'bn1', training)
    mixed = torch.stack([m @ sample for m, sample in zip(phi, latent)])
    mixed = norm_over_positions(mixed, state, 'bn2', training) + latent
    dynamic = torch.stack([p @ sample for sample in mixed])
    y = static + dynamic.reshape(B, O, *size)
    return y + state['bias'].reshape(-1, 1, 1) if 'bias' in state else y
