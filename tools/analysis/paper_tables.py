"""Count the papers' cost columns on models that are really built."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('tables')
