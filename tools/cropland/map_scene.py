"""Map a satellite scene: classes, polygons and hectares from a checkpoint."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('map')
