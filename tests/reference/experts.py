"""Layers that mix expert kernels, in slow, obvious steps.

Written from the equations of FADConv (arXiv:2504.03510, Eq. 2-3), CondConv
(arXiv:1904.04971, Eq. 1-2), DY-Conv (arXiv:1912.03458, Eq. 2-4), ODConv
(arXiv:2209.07947, Eq. 2) and ParameterNet (arXiv:2306.14525). Shares no code
with mmfdconv; float64.

Every function takes the input, the layer's state dict, its arguments (what is
left out has the layer's default) and whether the layer is training.
"""

import torch

from .conv import sample_conv
from .descriptors import describe, frequency_attention
from .fdconv import batch_norm, linear

GEOMETRY = dict(
    stride=(1, 1), padding=(0, 0), dilation=(1, 1), padding_mode='zeros'
)
FAT_OPTIONS = ('pool_size', 'low_freq', 'high_freq', 'fusion')


def geometry(args):
    """What the convolution itself needs; pairs become tuples."""
    options = {name: args.get(name, value) for name, value in GEOMETRY.items()}
    for name in ('stride', 'padding', 'dilation'):
        if isinstance(options[name], int):
            options[name] = (options[name],) * 2
    return dict(options, groups=args.get('groups', 1))


def softmax(logits, temperature=1.0):
    power = torch.exp(logits / temperature)
    return power / sum(power.unbind(1)).reshape(-1, 1)


def sigmoid(logits, temperature=1.0):
    return 1 / (1 + torch.exp(-logits / temperature))


def relu(x):
    return x * (x > 0)


def mixture(alpha, experts):
    """Sum of the experts, sample by sample."""
    return torch.stack(
        [sum(a * expert for a, expert in zip(row, experts)) for row in alpha]
    )


def mixed_conv(x, state, args, alpha, bias_is_mixed):
    """Convolve with the mixed kernels; add the bias, mixed or not."""
    y = sample_conv(x, mixture(alpha, state['experts']), **geometry(args))
    if 'bias' not in state:
        return y
    if bias_is_mixed:
        return y + mixture(alpha, state['bias'])[:, :, None, None]
    return y + state['bias'].reshape(-1, 1, 1)


def fadconv(x, state, args, training=False):
    options = {k: v for k, v in args.items() if k in FAT_OPTIONS}
    seen = frequency_attention(x, state, options)
    hidden = relu(linear(seen, state, 'routing.0'))
    alpha = softmax(linear(hidden, state, 'routing.2'))
    return mixed_conv(x, state, args, alpha, bias_is_mixed=True)


def condconv(x, state, args, training=False):
    seen = describe(x, state, args.get('descriptor', 'gap'))
    alpha = sigmoid(linear(seen, state, 'routing'))
    return mixed_conv(x, state, args, alpha, bias_is_mixed=False)


def parameternet(x, state, args, training=False):
    seen = describe(x, state, args.get('descriptor', 'gap'))
    hidden = relu(linear(seen, state, 'routing.0'))
    alpha = softmax(linear(hidden, state, 'routing.2'))
    return mixed_conv(x, state, args, alpha, bias_is_mixed=False)


def dyconv(x, state, args, training=False):
    seen = describe(x, state, args.get('descriptor', 'gap'))
    hidden = relu(linear(seen, state, 'attention.fc1'))
    logits = linear(hidden, state, 'attention.fc2')
    alpha = softmax(logits, args.get('temperature', 1.0))
    return mixed_conv(x, state, args, alpha, bias_is_mixed=True)


def odconv(x, state, args, training=False):
    """All four gates on the kernel, as Eq. (2) has them."""
    temperature = args.get('temperature', 1.0)
    seen = describe(x, state, args.get('descriptor', 'gap'))
    hidden = linear(seen, state, 'attention.fc')
    hidden = relu(batch_norm(hidden, state, 'attention.bn', training))
    K, O, inner, kh, kw = state['experts'].shape  # noqa: E741

    def gate(name, size):
        if f'attention.{name}_fc.weight' not in state:
            return x.new_ones(len(x), size)
        return sigmoid(
            linear(hidden, state, f'attention.{name}_fc'), temperature
        )

    channel = gate('channel', x.shape[1])
    filters = gate('filter', O)
    spatial = gate('spatial', kh * kw).reshape(-1, kh, kw)
    alpha = x.new_ones(len(x), 1)
    if K > 1:
        logits = linear(hidden, state, 'attention.kernel_fc')
        alpha = softmax(logits, temperature)

    kernels = []
    per_group = O // args.get('groups', 1)
    for b, mixed in enumerate(mixture(alpha, state['experts'])):
        rows = []
        for o in range(O):
            first = o // per_group * inner
            mine = channel[b, first : first + inner].reshape(-1, 1, 1)
            rows.append(filters[b, o] * mine * spatial[b] * mixed[o])
        kernels.append(torch.stack(rows))
    y = sample_conv(x, torch.stack(kernels), **geometry(args))
    return y + state['bias'].reshape(-1, 1, 1) if 'bias' in state else y
