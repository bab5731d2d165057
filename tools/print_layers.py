"""Print which layers of a backbone become dynamic, and why others do not."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('layers')
