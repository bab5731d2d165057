"""Put runs beside each other: training curves, final and best metrics."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('runs')
