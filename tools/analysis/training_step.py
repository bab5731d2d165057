"""Time a training step of whole detectors of mmdet, beside each other."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('step')
