"""Write a short config that gives a stock one a method."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('config')
