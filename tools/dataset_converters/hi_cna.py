"""Sort the images and cropland masks of Hi-CNA into train, val and test."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('hi_cna')
