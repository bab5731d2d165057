"""Estimate hectares and accuracies of a map from labelled points."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('estimate')
