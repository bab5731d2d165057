"""Count parameters and FLOPs of a config's model, part by part."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('flops')
