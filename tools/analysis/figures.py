"""Draw what a dynamic model learned, from a config, weights and images."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('figures')
