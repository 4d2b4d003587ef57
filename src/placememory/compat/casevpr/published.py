"""The two result tables of CaseVPR's README, and what each row and column needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Table = Literal["sequences", "frames"]


@dataclass(frozen=True)
class Column:
    """A data set of the tables.

    Attributes:
        name: As the README abbreviates it.
        dataset: CaseVPR's name of the data set, with its folder and where it is to be had.
        reference: Split of the map.
        query: Split of the queries.
        radius: Metres, or frames on Nordland.
    """

    name: str
    dataset: str
    reference: str
    query: str
    radius: float = 2.0


@dataclass(frozen=True)
class Row:
    """A system of the tables.

    Attributes:
        name: As in the README.
        table: ``sequences``: recall of windows at 1, 5 and 10. ``frames``: image-level
            correspondence precision.
        front: Names of the encoders, ``A+B``.
        back: Name of the matcher; ``""`` in the table of sequences.
        values: Percent: three numbers (R@1, 5, 10) or one, by name of the column.
    """

    name: str
    table: Table
    front: str
    back: str
    values: dict[str, tuple[float, ...]]


FOLDERS = {
    "oxford": "oxford_robotcar",
    "oxford_v": "oxford_robotcar_v",
    "rosimg": "img_ntu",
    "nordland": "nordland",
}
"""Folder of each data set below that of all data."""

_NYL, _SRC = "nyl_night1103_day1114", "src_night230622_day210622"
COLUMNS = (
    Column("Oxford1", "oxford", "1/database", "1/queries"),
    Column("Oxford1_v", "oxford_v", "1/database", "1/queries"),
    Column("Oxford2", "oxford", "2/database", "2/queries"),
    Column("NYL", "rosimg", f"{_NYL}/database", f"{_NYL}/queries"),
    Column("SRC", "rosimg", f"{_SRC}/database", f"{_SRC}/queries"),
    Column("Sp2F", "nordland", "fall", "spring", 1.0),
    Column("W2F", "nordland", "fall", "winter", 1.0),
    Column("Sm2Sp", "nordland", "spring", "summer", 1.0),
)
"""The columns; the table of sequences has the first five."""

_SEQUENCES = """
SeqNet      hvpr_seqnet            24.9/37.2/44.7 22.9/34.4/42.5 12.7/20.0/25.6 44.1/53.1/59.2 38.4/49.0/55.4
SeqVLAD     vgg16_seqvlad          70.2/82.0/88.2 69.7/79.6/85.7 38.9/52.7/59.5 39.8/51.1/58.1 31.6/42.3/48.0
JIST        jist                   61.3/74.5/82.0 58.9/72.8/80.2 30.9/42.5/49.2 56.6/66.4/74.8 53.5/64.9/70.6
sVPR        svpr                   35.1/47.9/57.3 40.9/56.5/64.4 11.2/18.9/24.7 42.3/49.2/55.1 51.9/63.5/70.1
CaseNet     hvpr_casevpr_224_crica 90.8/96.7/98.2 85.4/93.6/96.0 71.5/83.0/88.3 84.9/90.4/94.0 84.4/92.1/95.8
CaseNet_ft  hvpr_casevpr_224       93.5/97.7/98.5 86.1/94.4/96.4 77.7/87.4/91.3 86.1/90.5/94.4 85.6/92.9/96.8
"""  # noqa: E501

_FRAMES = """
NetVLAD                   netvlad_WPCA4096               none                 7.45 14.74 3.89 38.93 26.94 43.33 16.38 39.88
EigenPlaces_ft            ep                             none                 37.35 46.86 15.30 54.56 43.71 74.09 32.00 60.39
MixVPR                    mixvpr                         none                 32.29 44.78 14.42 71.53 53.98 90.87 71.71 88.45
SALAD                     salad                          none                 42.11 54.36 27.64 78.11 48.76 92.99 78.49 92.39
CliqueMining              cliquemining                   none                 37.71 51.13 23.59 63.78 40.71 94.75 82.81 94.65
BoQ                       boq                            none                 46.24 55.82 37.32 83.08 58.80 93.33 84.17 93.89
CricaVPR                  crica                          none                 39.19 52.81 26.21 78.59 57.26 91.65 74.09 88.57
SeqVLAD                   none+vgg16_seqvlad             seq_desc             24.02 36.28 11.62 34.85 19.50 18.78 6.96 16.24
JIST                      none+jist                      seq_desc             18.83 29.26 9.96 46.96 31.90 60.65 44.63 62.53
sVPR                      none+svpr                      seq_desc             10.84 21.45 3.47 39.18 33.06 26.15 10.13 24.97
NetVLAD/SeqSLAM           netvlad_WPCA4096               seqslam              10.29 18.06 5.83 44.84 27.71 37.35 15.18 33.24
NetVLAD/AdaptSeq          netvlad_WPCA4096               adaptseq             8.38 14.17 5.10 45.96 29.70 41.99 15.70 37.59
EigenPlaces_ft/SeqSLAM    ep                             seqslam              43.41 49.58 21.24 57.49 43.51 59.34 29.95 49.35
EigenPlaces_ft/AdaptSeq   ep                             adaptseq             38.05 47.79 16.83 55.09 42.62 65.00 30.96 50.18
CricaVPR/SeqSLAM          crica                          seqslam              46.96 57.75 33.71 81.23 60.46 68.98 61.69 67.82
CricaVPR/AdaptSeq         crica                          adaptseq             40.16 50.84 26.49 79.90 58.02 87.12 73.04 79.41
NetVLAD+SeqVLAD           netvlad_WPCA4096+vgg16_seqvlad seq_desc_adaptseq_v2 23.00 34.55 13.44 41.41 27.33 36.13 12.39 31.24
EigenPlaces_ft+SeqVLAD    ep+vgg16_seqvlad               seq_desc_adaptseq_v2 35.72 46.30 16.06 41.98 28.05 41.87 12.57 34.09
EigenPlaces_ft+JIST       ep+jist                        seq_desc_adaptseq_v2 31.81 42.65 13.86 54.50 41.44 84.27 54.24 77.32
EigenPlaces_ft+sVPR       ep+svpr                        seq_desc_adaptseq_v2 22.21 35.26 7.41 44.39 42.13 54.90 20.84 49.00
CricaVPR+SeqVLAD          crica+vgg16_seqvlad            seq_desc_adaptseq_v2 36.15 51.66 22.05 45.03 30.00 45.04 14.86 37.59
CricaVPR+JIST             crica+jist                     seq_desc_adaptseq_v2 33.78 45.09 16.22 60.61 44.95 92.02 72.40 87.85
CricaVPR+sVPR             crica+svpr                     seq_desc_adaptseq_v2 23.17 37.98 8.30 46.38 44.36 59.26 25.13 54.91
SeqNet                    hvpr_seqnet                    seq_desc_seqmatch    10.91 17.22 5.41 43.60 26.61 44.57 17.47 41.76
CaseVPR224                hvpr_casevpr_224_crica         seq_desc_adaptseq_v2 46.20 58.41 33.09 81.83 63.08 92.34 82.99 90.26
CaseVPR224_ft             hvpr_casevpr_224               seq_desc_adaptseq_v2 47.26 63.66 37.30 82.83 63.71 91.44 79.74 89.56
CaseVPR322_ft             hvpr_casevpr_322               seq_desc_adaptseq_v2 51.17 63.61 41.85 82.16 64.57 92.72 83.49 93.00
"""  # noqa: E501


def _rows(table: Table, text: str) -> tuple[Row, ...]:
    names = [column.name for column in COLUMNS]
    rows = []
    for line in text.strip().splitlines():
        name, front, *cells = line.split()
        back = cells.pop(0) if table == "frames" else ""
        values = [tuple(float(value) for value in cell.split("/")) for cell in cells]
        rows.append(Row(name, table, front, back, dict(zip(names, values, strict=False))))
    return tuple(rows)


ROWS = (*_rows("sequences", _SEQUENCES), *_rows("frames", _FRAMES))
"""Every row of both tables, in the README's order."""
