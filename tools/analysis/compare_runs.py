"""Compare trainings: their curves, final and best metrics."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('runs')
