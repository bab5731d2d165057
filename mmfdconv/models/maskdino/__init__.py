"""Mask DINO: one transformer for boxes, instances, stuff and semantics.

Paper: Li et al., "Mask DINO: Towards A Unified Transformer-based Framework for
Object Detection and Segmentation", arXiv:2206.02777 (CVPR 2023). Its parts, in
the order in which data passes through them:

- ``pixel_decoder``: backbone maps -> encoded levels and the mask features
- ``denoising``: targets -> queries with noise, Sec. 3.5
- ``decoder``: levels -> boxes, classes and masks of queries, Sec. 3.3, 3.4
- ``matching``, ``criterion``: predictions and targets -> losses, Sec. 3.5
- ``inference``: predictions -> instances, panoptic and semantic maps
- ``head``, ``detector``, ``seg_head``: all of it in mmdet and mmsegmentation
- ``checkpoint``: the names in published checkpoints -> the names here

What the layers of mmdet and mmcv compute alike is theirs; where MaskDINO's
published code departs from the paper or from DINO, the class says so.
"""
