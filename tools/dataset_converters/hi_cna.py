"""Cut the images and masks of Hi-CNA into tiles for train, val and test."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('hi_cna')
