"""What the first bytes of a file are, for people: when it is not what its name says."""

from __future__ import annotations

from pathlib import Path

HEAD = 512
"""Bytes that :func:`describe` wants to see."""


# Where in a file, the bytes there, and what they begin.
_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"%PDF", "PDF"),
    (8, b"WEBP", "WebP"),
    (8, b"AVI ", "AVI"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypqt", "QuickTime"),
    (4, b"ftyp", "MP4"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
    (0, b"\0\0\0\x01", "H.264 or H.265"),
    (0, b"\x89MCAP0\r\n", "MCAP"),
    (0, b"#ROSBAG", "a ROS 1 bag"),
    (0, b"SQLite format 3\0", "SQLite"),
    (0, b"\x28\xb5\x2f\xfd", "packed by Zstandard"),
    (0, b"\x1f\x8b", "packed by gzip"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself; run `git lfs pull`"),
)


def describe(head: bytes) -> str:
    """What bytes are the beginning of, in words.

    Example:
        >>> describe(b"%!PS-Adobe-3.0"), describe(b"<!DOCTYPE html>"), describe(b"")
        ('PostScript', 'a page of HTML or XML', 'empty')
    """
    if not head:
        return "empty"
    if head[4:8] == b"ftyp" and b"avif" in head[8:64]:  # whatever its major brand
        return "AVIF"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n#":
        return "PNM"
    for at, magic, kind in _KINDS:
        if head.startswith(magic, at):
            return kind
    if head.lstrip()[:1] == b"<":
        return "a page of HTML or XML"
    if not any(head):
        return "nothing but zeros"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return "text"
    return f"of no known kind (it begins with {head[:8].hex(' ')})"


def describe_file(path: Path) -> str:
    """What a file is by its first bytes, in words; ``"unreadable"`` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return describe(file.read(HEAD))
    except OSError:
        return "unreadable"
