"""Report cropland lost and gained between two maps, or two scenes."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('change')
