"""A converted backbone, a model around it, and a runner for the model."""

import uuid

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

pytest.importorskip('mmengine', reason='MMEngine is not installed')
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner

import mmfdconv  # noqa: F401
from mmfdconv.layers import DynamicConv2d

METHODS = dict(
    FDConv=dict(type='FDConv', kernel_num=4),
    FADConv=dict(type='FADConv', num_experts=3),
)


def resnet(**options):
    """Config of mmdet's ResNet-18, narrow, all batch norms alive."""
    pytest.importorskip('mmdet.models', reason='mmdet is not installed')
    return dict(
        type='mmdet.ResNet',
        depth=18,
        base_channels=8,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        **options,
    )


def first_stages(number):
    """Options of a ResNet that ends early."""
    return dict(
        num_stages=number,
        strides=(1, 2, 2, 2)[:number],
        dilations=(1,) * number,
        out_indices=tuple(range(number)),
    )


def build_backbone(method, conv_cfg=None, rule=None, **options):
    """A converted ResNet, its gates and experts away from their start."""
    model = MODELS.build(
        dict(
            type='DynamicBackbone',
            backbone=resnet(**options),
            conv_cfg=conv_cfg or METHODS[method],
            rule=rule,
        )
    )
    return activate_backbone_(model)


@torch.no_grad()
def activate_backbone_(model):
    """Make the output depend on every gate, and the statistics fit.

    Moderately: a deep network whose gates jump between 0 and 2 would turn a
    rounding into another output.
    """
    for layer in dynamic_layers(model):
        for router in layer.routers():
            for parameter in router.parameters():
                if not parameter.std() > 1e-6:  # a neutral head or bias
                    parameter.add_(torch.randn_like(parameter) * 0.01)
        experts = getattr(layer, 'experts', None)
        if experts is not None:  # equal ones make the router idle
            experts.add_(torch.randn_like(experts) * experts.std() / 2)
    model.train()
    for layer in dynamic_layers(model):
        for router in layer.routers():
            router.eval()
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    model(images(8))
    for norm in norms:
        norm.momentum = 0.1
        norm.num_batches_tracked.zero_()
    model.train()
    return model


def dynamic_layers(model):
    return [m for m in model.modules() if isinstance(m, DynamicConv2d)]


def images(batch=2, size=(64, 64), seed=0, dtype=torch.float32):
    """Noise of another strength and colour in each image."""
    generator = torch.Generator().manual_seed(seed)
    kwargs = dict(generator=generator, dtype=dtype)
    noise = torch.randn(batch, 3, *size, **kwargs)
    strength = 0.5 + torch.rand(batch, 1, 1, 1, **kwargs)
    return noise * strength + torch.randn(batch, 3, 1, 1, **kwargs)


def loss_of(outs):
    """A number that every output has a part in."""
    return sum(out.float().square().mean() for out in outs)


def gradients(model):
    return {n: p.grad for n, p in model.named_parameters()}


class Classifier(BaseModel):
    """A backbone, global average pooling and a linear head."""

    def __init__(self, backbone, num_classes=3):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(64, num_classes)

    def forward(self, inputs, labels=None, mode='tensor'):
        features = self.backbone(inputs)[-1].mean(dim=(2, 3))
        logits = self.head(features)
        if mode != 'loss':
            return logits
        return dict(loss=nn.functional.cross_entropy(logits, labels))


def classifier(method, **options):
    """The same one at every call; a runner leaves its weights alone."""
    torch.manual_seed(0)  # with which no router is off from the start
    model = Classifier(build_backbone(method, **options))
    model._is_init = True
    return model


def samples(number=8, dtype=torch.float32):
    """A data set: noise with labels."""
    return [
        dict(inputs=x, labels=i % 3)
        for i, x in enumerate(images(number, dtype=dtype))
    ]


def loader(dataset, batch, shuffle=False):
    return dict(
        batch_size=batch,
        num_workers=0,
        dataset=dataset,
        sampler=dict(type='InfiniteSampler', shuffle=shuffle),
        collate_fn=dict(type='default_collate'),
    )


def build_runner(
    model,
    work_dir,
    iters,
    batch=2,
    dataset=None,
    shuffle=False,
    optim_wrapper=None,
    **options,
):
    """MMEngine's runner of ``iters`` iterations, SGD with momentum."""
    wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='SGD', lr=1e-3, momentum=0.9),
    )
    wrapper.update(optim_wrapper or {})
    checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=iters)
    return Runner(
        model,
        str(work_dir),
        train_dataloader=loader(dataset or samples(), batch, shuffle),
        train_cfg=dict(
            type='IterBasedTrainLoop', max_iters=iters, val_interval=iters
        ),
        optim_wrapper=wrapper,
        default_hooks=dict(checkpoint=checkpoint),
        randomness=dict(seed=0),
        default_scope='mmengine',
        log_processor=dict(by_epoch=False),
        # MMEngine keeps loggers by name, closed ones too.
        experiment_name=uuid.uuid4().hex,
        **options,
    )
