"""Map satellite scenes: classes, polygons and hectares from a checkpoint."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('map')
