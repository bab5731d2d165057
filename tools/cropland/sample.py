"""Draw a stratified sample from a map, to be labelled by eye."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('sample')
