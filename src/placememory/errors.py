"""Every error that placememory raises on purpose.

    PlaceMemoryError
    ├── InputError                what the user gave cannot be used (exit code 2)
    │   ├── ImageError            an image is missing, truncated or of an unknown kind
    │   │   └── ImageSizeError    an image has more pixels than are taken
    │   ├── BagError              a ROS bag is damaged, or lacks what is asked of it
    │   ├── CameraError           a camera cannot be opened, or it stopped sending
    │   ├── PoseError             a pose file or pose value is malformed
    │   ├── MapError              a map.yaml or its image is malformed
    │   ├── DatasetError          a data set's folders, names or ground truth are malformed
    │   ├── DescriptorError       wrong size, type, NaN or zero descriptors
    │   └── SettingError          an option or setting has an impossible value
    ├── EncoderError              an encoder is unknown, not fitted, or its input is wrong
    │   ├── WeightsError          weights are missing, damaged or of another layout
    │   └── EncoderMismatchError  descriptors or a memory come from another encoder
    ├── MemoryStoreError          a place memory cannot be opened, read or written
    │   ├── MemoryNotFoundError   there is no memory at this address
    │   ├── MemoryDamagedError    count or checksum disagree with what was written
    │   ├── MemoryLockedError     another process is writing, or holds the folder
    │   ├── MemoryChangedError    places were replaced or removed since they were read
    │   ├── MemoryUnfinishedError a copy, merge or prune into it was cut off
    │   └── MemoryFormatError     written by another version or another program
    └── MissingExtraError         an optional dependency is not installed

Each message says what was wrong with which file or value, and what to do.
"""

from __future__ import annotations


class PlaceMemoryError(Exception):
    """Root of all errors raised by placememory."""


class InputError(PlaceMemoryError):
    """An input of the user is invalid."""


class ImageError(InputError):
    """An image is missing, truncated, unreadable or of an unknown kind."""


class ImageSizeError(ImageError):
    """An image has more pixels than are taken."""


class BagError(InputError):
    """A ROS bag is damaged, or does not hold the topic or the frame asked for."""


class CameraError(InputError):
    """A camera cannot be opened, or it stopped sending images."""


class PoseError(InputError):
    """A pose file or a pose value is malformed."""


class MapError(InputError):
    """A ``map.yaml`` or the image it names is malformed."""


class DatasetError(InputError):
    """The folders, names or ground truth of a data set are missing or malformed."""


class DescriptorError(InputError):
    """Descriptors have the wrong size or type, or hold NaN, infinity or zero rows."""


class SettingError(InputError):
    """An option or a setting has an impossible value."""


class EncoderError(PlaceMemoryError):
    """An encoder is unknown, not fitted yet, or was given input it cannot take."""


class WeightsError(EncoderError):
    """Weights are missing, damaged, or belong to another network."""


class EncoderMismatchError(EncoderError):
    """Descriptors, or a memory, were made by another encoder."""


class MemoryStoreError(PlaceMemoryError):
    """A place memory cannot be opened, read or written."""


class MemoryNotFoundError(MemoryStoreError):
    """There is no place memory at the given address."""


class MemoryDamagedError(MemoryStoreError):
    """The stored count or checksum disagrees with the stored places."""


class MemoryLockedError(MemoryStoreError):
    """Another process is writing to the memory or holds its folder."""


class MemoryChangedError(MemoryStoreError):
    """Another process replaced or removed places since they were read; refresh the memory."""


class MemoryUnfinishedError(MemoryStoreError):
    """A copy, merge or prune into this memory was cut off; the same command finishes it."""


class MemoryFormatError(MemoryStoreError):
    """The file was written by another version, or by another program."""


class MissingExtraError(PlaceMemoryError):
    """An optional dependency is not installed; the message names the pip command."""
