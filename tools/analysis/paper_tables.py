"""Compare parameters and FLOPs with the papers' tables."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('tables')
