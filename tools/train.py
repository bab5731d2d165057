"""Train the experiment of a config: mmdet, mmseg or mmpretrain."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('train')
