"""Time dynamic layers or backbones and the stock ones, in one process."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('benchmark')
