"""Data sets: traverses with images and true positions, one file per layout.

A layout is a module in this folder (or one named by an entry point in the group
``placememory.datasets``) with ``matches(root)``, which tells whether a folder looks like it, and
``create(root, **options)``, which gives a :class:`Dataset`.
"""

from placememory.datasets._open import find_layout, layouts, open_dataset
from placememory.datasets._traverse import Dataset, PositionUnit, Traverse

__all__ = ["Dataset", "PositionUnit", "Traverse", "find_layout", "layouts", "open_dataset"]
