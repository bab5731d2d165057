"""How many parameters FDConv has, by closed formulas."""

from mmfdconv.layers import FDConv


def parameters_of(c, o, k, kernel_num=64):
    """Closed formulas, part by part, for a layer without groups and bias."""
    hidden = max(int(c * 0.0625), 16)
    spectrum = o * k * (c * k // 2 + 1) * 2
    heads = c + o + kernel_num + (k * k if k > 1 else 0)
    ksm_global = c * hidden + 2 * hidden + 2 + heads * (hidden + 1)
    window = {64: 5, 128: 5, 256: 5, 512: 5, 1024: 7, 2048: 7}[c]
    ksm_local = o * k * k * window + 2 * c
    fbm = 3 * (c * 9 + 1) if k == 3 else 0
    return spectrum, ksm_global, ksm_local, fbm


def resnet50_block_convs():
    """(in, out, kernel) of every conv of every block, not the downsample."""
    inner = 64
    for depth, width in zip((3, 4, 6, 3), (64, 128, 256, 512)):
        for _ in range(depth):
            yield inner, width, 1
            yield width, width, 3
            yield width, 4 * width, 1
            inner = 4 * width


def count(module):
    return 0 if module is None else sum(p.numel() for p in module.parameters())


def test_parameters_of_resnet50():
    convs = list(resnet50_block_convs())
    totals = [0, 0, 0, 0]
    for conv in convs:
        expected = parameters_of(*conv)
        totals = [t + e for t, e in zip(totals, expected)]
    layers = {
        conv: FDConv(*conv, bias=False, kernel_num=64, device='meta')
        for conv in set(convs)
    }
    for conv, layer in layers.items():
        assert parameters_of(*conv) == (
            layer.dft_weight.numel(),
            count(layer.KSM_Global),
            count(layer.KSM_Local),
            count(layer.FBM),
        )
    # Measured with the published code, in millions.
    assert [round(t / 1e6, 3) for t in totals] == [20.737, 3.173, 0.311, 0.102]
    stock = sum(c * o * k * k for c, o, k in convs)
    assert round((sum(totals) - stock) / 1e6, 3) == 3.647


def test_number_of_groups_costs_only_their_gates():
    few, many = (count(FDConv(32, 32, 3, kernel_num=k)) for k in (4, 64))
    assert many - few == 60 * (16 + 1)
