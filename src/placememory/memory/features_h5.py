"""hloc's files of global descriptors: ``<image name>/global_descriptor`` in HDF5, read and written.

A file we write also says, in attributes that hloc passes over, which encoder made it; another
encoder's descriptors are refused. It appears, or changes, in one step when the writer is closed;
until then the rows wait in ``<file>.part``, from which an interrupted extraction goes on.
"""

from placememory.memory._features_reader import FeatureReader
from placememory.memory._features_writer import FeatureWriter

__all__ = ["FeatureReader", "FeatureWriter"]
