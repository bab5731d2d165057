"""Draw a stratified sample of points from a map, to label by eye."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('sample')
