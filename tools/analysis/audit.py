"""Find the dynamic layers of a trained model that are worth their cost."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('audit')
