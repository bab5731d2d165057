"""Test a checkpoint of a config of mmdet, mmseg or mmpretrain."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('test')
