"""``placememory pairs``: hloc's pairs file from feature files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placememory.cli._console import progress, say
from placememory.memory.pairs import pairs_from_features, write_pairs


def run(
    features: Annotated[
        list[Path], typer.Argument(help="Feature files of the queries.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The pairs file.", show_default=False)],
    k: Annotated[int, typer.Option("-k", "--num-matched", min=1, help="Pairs a query.")] = 20,
    db: Annotated[
        list[Path] | None,
        typer.Option("--db", help="Feature files of the database; default: the same. Repeat."),
    ] = None,
    query_prefix: Annotated[
        list[str] | None, typer.Option(help="Queries whose names begin so; repeat.")
    ] = None,
    db_prefix: Annotated[
        list[str] | None, typer.Option(help="Database names that begin so; repeat.")
    ] = None,
    query_list: Annotated[Path | None, typer.Option(help="File with the query names.")] = None,
    db_list: Annotated[Path | None, typer.Option(help="File with the database names.")] = None,
    scores: Annotated[
        bool, typer.Option("--scores/--no-scores", help="Scores in OUT.scores.csv.")
    ] = True,
) -> None:
    """Write the k most similar database images of each query, as hloc's pairs_from_retrieval.

    Example: [b]placememory pairs feats.h5 --out pairs.txt --query-prefix query --db-prefix db[/b]
    """
    with progress("Pairing") as advance:
        found = pairs_from_features(
            features,
            db or None,
            k=k,
            query_prefix=query_prefix or None,
            db_prefix=db_prefix or None,
            query_list=query_list,
            db_list=db_list,
            progress=advance,
        )
    write_pairs(out, found, scores=scores)
    say(f"{out}: {sum(len(c) for _, c in found)} pairs for {len(found)} queries")
