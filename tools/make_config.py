"""Write a short config that adds a method to a stock config."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('config')
