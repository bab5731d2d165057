"""Cut the scenes of GID (Gaofen Image Dataset, five classes) into tiles."""

from mmfdconv.commands import main

if __name__ == '__main__':
    main('gid')
