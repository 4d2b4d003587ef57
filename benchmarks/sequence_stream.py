"""A stream through sequence encoders: a frame's work once, against encoding every window anew.

Both sides run the same network with the same random weights on the same frames, one after another
in one process; frames per second are those of full windows. `python benchmarks/sequence_stream.py`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
import torch

from placememory import encoders

ENCODERS = ("jist", "seqvlad", "seqnet", "casenet-224", "svpr")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=ENCODERS)
    parser.add_argument("--frames", type=int, default=6, help="windows timed a side")
    asked = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, windows of 5")
    print(f"{'encoder':<12} {'windows ms':>11} {'stream ms':>10} {'ratio':>6} {'difference':>11}")
    for name in asked.names:
        print(_line(name, asked.frames), flush=True)


def _line(name: str, count: int) -> str:
    torch.manual_seed(0)
    encoder = encoders.create(name, "random")
    assert isinstance(encoder, encoders.SequenceEncoder)
    length = encoder.sequence_length
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (length + count, 384, 512, 3), dtype=np.uint8)
    stream = encoder.stream()
    for frame in frames[:length]:
        stream.push(frame)
    encoder.encode_window(list(frames[:length]))
    windows, streamed, worst = [], [], 0.0
    for i in range(length, length + count):  # the sides take turns, so load falls on both
        started = time.perf_counter()
        found = stream.push(frames[i])
        between = time.perf_counter()
        window = encoder.encode_window(list(frames[i - length + 1 : i + 1]))
        windows.append(time.perf_counter() - between)
        streamed.append(between - started)
        assert found.sequence is not None
        worst = max(worst, float(np.abs(found.sequence - window.sequence).max()))
    whole, once = statistics.median(windows), statistics.median(streamed)
    return (
        f"{name:<12} {1e3 * whole:>11.1f} {1e3 * once:>10.1f} {whole / once:>6.2f} {worst:>11.1e}"
    )


if __name__ == "__main__":
    sys.exit(main())
