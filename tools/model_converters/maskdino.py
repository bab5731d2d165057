"""Convert a published Mask DINO checkpoint."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('maskdino')
