"""Time a training step of several detectors of mmdet."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('step')
