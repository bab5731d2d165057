"""Time layers or whole backbones against the stock ones, in one process."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('benchmark')
