"""Train a config with several methods and seeds, and compare the results."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('compare')
