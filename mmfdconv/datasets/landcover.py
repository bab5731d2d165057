"""Classes, colours and bands of the land-cover data sets."""

#: GID's five classes behind what is unlabelled; the position is the id.
GID_CLASSES = (
    'background',
    'built-up',
    'farmland',
    'forest',
    'meadow',
    'water',
)

#: The colours of the published label images, in the order of the classes.
GID_PALETTE = (
    (0, 0, 0),
    (255, 0, 0),
    (0, 255, 0),
    (0, 255, 255),
    (255, 255, 0),
    (0, 0, 255),
)

#: The bands of GID's true-colour images, in the order of the file.
GID_BANDS = ('red', 'green', 'blue')

HI_CNA_CLASSES = ('non-cropland', 'cropland')

HI_CNA_PALETTE = ((0, 0, 0), (0, 255, 0))

#: The bands of a multispectral GF-2 image, in the order of the file.
HI_CNA_BANDS = ('blue', 'green', 'red', 'nir')
