"""What 10 million and a billion places would cost with each layout, from measured parts.

python benchmarks/costs.py
python benchmarks/costs.py --dim 3584 --scan 12 --gigabyte 3.5

Arithmetic only: the parts come from benchmarks/scale.py on the machine at hand and are options.
"""

from __future__ import annotations

import argparse

from _tables import markdown

PLACES = (10_000_000, 1_000_000_000)
PLACE_BYTES, COLUMN_BYTES = 260, 84  # a place as JSON, and what opening reads of it


def main() -> None:
    """Print the tables; prices are of a month."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=512, help="numbers of a descriptor")
    parser.add_argument("--scan", type=float, default=10.0, help="GB/s that one core scans")
    parser.add_argument("--add", type=float, default=110.0, help="microseconds to add a place")
    parser.add_argument("--encode", type=float, default=6.0, help="milliseconds to encode an image")
    parser.add_argument(
        "--gigabyte", type=float, default=3.5, help="price of 1 GB of memory a month"
    )
    parser.add_argument("--disk", type=float, default=0.08, help="price of 1 GB of disk")
    parser.add_argument("--cores", type=int, default=16, help="cores of a machine")
    parser.add_argument("--machine", type=int, default=64, help="GB of memory of a machine")
    options = parser.parse_args()
    for places in PLACES:
        print(f"\n{places:,} places of {options.dim} numbers\n")
        columns = ("layout", "disk GB", "memory GB", "machines", "one search, s on one core")
        columns += ("with all cores of all machines", "to build, core hours", "a month")
        print(markdown(columns, [row(places, options, *layout) for layout in LAYOUTS]))


LAYOUTS = (
    # name, bytes of a number on disk, in memory, share of the rows that a search scans
    ("one file, all descriptors resident, as a Localizer has them", 5.0, 4.0, 1.0),
    ("one file, float16, all resident as float32", 3.0, 4.0, 1.0),
    ("one file, codes resident, descriptors on disk (search)", 5.0, 1.0, 1.0),
    ("a file a district of 100,000 places, the robot knows which", 5.0, 0.0, -100_000),
    ("Milvus, FLAT: every search scans all rows", 4.0, 4.0, 1.0),
    ("Milvus, IVF_SQ8, 32 of 1024 lists: recall to be measured", 5.0, 1.0, 1 / 32),
)


def row(
    places: int, given: argparse.Namespace, name: str, disk: float, memory: float, share: float
) -> list[object]:
    """A row of the table; a negative share is a number of rows."""
    scanned = -share if share < 0 else share * places
    resident = max(1.0, memory) if share < 0 else memory
    held = min(places, -share) if share < 0 else places
    gigabytes = places * (disk * given.dim + PLACE_BYTES + COLUMN_BYTES) / 1e9
    needed = held * (resident * given.dim + COLUMN_BYTES) / 1e9
    machines = max(1, -(-int(needed) // given.machine))
    width = 1.0 if "codes" in name or "district" in name or "SQ8" in name else 4.0
    seconds = scanned * width * given.dim / (given.scan * 1e9)
    month = needed * given.gigabyte + gigabytes * given.disk
    return [
        name,
        f"{gigabytes:,.0f}",
        f"{needed:,.1f}",
        machines,
        f"{seconds:,.3f}",
        f"{seconds / (machines * given.cores):,.4f}",
        f"{places * (1e3 * given.encode + given.add) / 3.6e9:,.0f}",
        f"{month:,.0f}",
    ]


if __name__ == "__main__":
    main()
