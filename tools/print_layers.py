"""Print which layers of a config's backbone become dynamic, and why not."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('layers')
