"""Fold a trained dynamic model into a stock checkpoint and a stock config."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('fold_static')
