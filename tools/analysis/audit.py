"""Say which dynamic layers of a trained model earn their cost."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('audit')
