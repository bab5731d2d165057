"""Train a config with each method, from each seed, and compare them."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('compare')
