"""Video in messages: one packet of H.264, H.265, AV1, ... each, which may need those before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from placememory._registry import require
from placememory.errors import ImageError
from placememory.frames.content import describe
from placememory.frames.frame import Image

PACKET_TYPE = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
_CODECS = {"264": "h264", "avc": "h264", "265": "hevc", "hevc": "hevc", "av1": "av1", "vp9": "vp9"}
_KEY_FLAG = 1
_START = b"\0\0\1"  # of a unit of H.264 and H.265


def codec_of(message: Any) -> str | None:
    """FFmpeg's name of the codec of a message; ``None`` where each message is an image of its own.

    Args:
        message: ``sensor_msgs/CompressedImage``, ``ffmpeg_image_transport_msgs/FFMPEGPacket``, or
            another message of an image.
    """
    if hasattr(message, "flags") and hasattr(message, "pts"):
        text = message.encoding.lower()
        return next((codec for part, codec in _CODECS.items() if part in text), text)
    text = getattr(message, "format", "").lower()
    return next((codec for part, codec in _CODECS.items() if part in text), None)


def begins_anew(message: Any, codec: str) -> bool:
    """Whether a packet can be decoded without those before it."""
    if hasattr(message, "flags") and message.flags & _KEY_FLAG:
        return True
    data = bytes(message.data)
    at = data.find(_START)
    while 0 <= at < len(data) - 3:
        first = data[at + 3]
        if codec == "h264" and first & 0x1F in (5, 7):  # a picture that needs none, or its settings
            return True
        if codec == "hevc" and ((first >> 1) & 0x3F) in (*range(16, 22), 33):
            return True
        at = data.find(_START, at + 3)
    return False


class PacketDecoder:
    """Decodes packets one after another.

    Args:
        codec: FFmpeg's name.
        where: Bag and topic, for messages.

    Raises:
        ImageError: There is no such codec.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, codec: str, where: str) -> None:
        self._av = require("av", extra="video", purpose="Topics of video packets")
        try:
            self._context = self._av.CodecContext.create(codec, "r")
        except (self._av.FFmpegError, ValueError) as error:
            raise ImageError(f"{where}: there is no decoder for {codec!r} ({error})") from error
        self._context.thread_count = 1  # so that an image comes out when its packet went in

    def feed(self, number: int, data: bytes | None) -> dict[int, Image]:
        """Images (H, W, 3) uint8 RGB that come out, by the number of their packet.

        Args:
            number: Of the packet.
            data: Its bytes, which give no image if they cannot be decoded; ``None``: no more come.
        """
        packet = None
        if data is not None:
            packet = self._av.Packet(data)
            packet.pts = packet.dts = number
        try:
            found = self._context.decode(packet)
        except self._av.FFmpegError:
            return {}
        return {
            frame.pts: np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
            for frame in found
            if frame.pts is not None
        }


def undecodable(where: str, codec: str, data: bytes) -> ImageError:
    """The error for a packet that gave no image."""
    return ImageError(
        f"{where}: cannot read the image: its packet of {codec} cannot be decoded (it is "
        f"{describe(data)})"
    )
