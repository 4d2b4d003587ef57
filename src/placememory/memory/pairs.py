"""hloc's pairs files: the most similar database images of each query image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from placememory._io import write_csv, write_text
from placememory._types import Progress
from placememory.errors import DescriptorError, InputError, SettingError
from placememory.memory.features_h5 import FeatureReader, check_encoder
from placememory.memory.search import ROUNDING, preselect, products

Names = Path | str | Iterable[str]
Pairs = list[tuple[str, list[tuple[str, float]]]]
_SHOWN = 3
_SCORES = 1 << 24


def pairs_from_features(
    queries: Path | str | Sequence[Path | str],
    database: Path | str | Sequence[Path | str] | None = None,
    *,
    k: int,
    query_prefix: str | Sequence[str] | None = None,
    db_prefix: str | Sequence[str] | None = None,
    query_list: Names | None = None,
    db_list: Names | None = None,
    chunk: int = _SCORES,
    progress: Progress | None = None,
) -> Pairs:
    """The k most similar database images of each query image.

    Args:
        queries: Feature file or files with the query images.
        database: The same for the database; default is the files of the queries.
        k: How many; all there are, if there are fewer.
        query_prefix: Only images whose names begin so (one prefix or several); wins over the list.
        db_prefix: The same for the database.
        query_list: Only these images: names, or a list file (one name a line, ``#`` comments, only
            the first column counts; the file name may be a pattern such as ``*_time.txt``).
        db_list: The same for the database.
        chunk: How many scores may be in memory at once.
        progress: Called with queries done and queries in all.

    Returns:
        For each query, in the order of the list, else in natural order: database names with
        scores, best first, equal scores in the natural order of names.

    Raises:
        InputError: A file is damaged, a name is unknown or holds a blank, nothing is selected.
        DescriptorError: NaN or infinity, or the files' descriptors differ in length.
        EncoderMismatchError: Queries and database are known to come from different encoders.
        SettingError: ``k`` is below 1.

    Example:
        >>> import tempfile
        >>> from placememory.encoders import EncoderCard
        >>> from placememory.memory.features_h5 import FeatureWriter
        >>> path = Path(tempfile.mkdtemp()) / "feats.h5"
        >>> with FeatureWriter(path, EncoderCard(name="toy", dim=2), dtype="float32") as writer:
        ...     writer.add(["q/1", "db/1", "db/2"], np.float32([[1, 0], [0, 1], [1, 0]]))
        >>> pairs_from_features(path, k=1, query_prefix="q/", db_prefix="db/")
        [('q/1', [('db/2', 1.0)])]
    """
    if k < 1:
        raise SettingError(f"k must be at least 1, not {k}")
    with ExitStack() as stack:
        query_reader = stack.enter_context(FeatureReader(queries))
        database_reader = (
            query_reader if database is None else stack.enter_context(FeatureReader(database))
        )
        _check_alike(query_reader, database_reader)
        query_names = _select_names(query_reader, query_prefix, query_list, "query")
        # In natural order, so that ties are broken by name.
        chosen = set(_select_names(database_reader, db_prefix, db_list, "database"))
        db_names = [name for name in database_reader.names if name in chosen]
        _check_writable([*query_names, *db_names])
        return _search(
            query_reader, query_names, database_reader, db_names, k, max(1, chunk), progress
        )


def write_pairs(path: Path | str, pairs: Pairs, *, scores: bool = True) -> None:
    r"""Write a pairs file: ``query db`` a line, as hloc's matchers read it.

    Args:
        path: The file; it appears, or is replaced, in one step.
        pairs: From :func:`pairs_from_features`.
        scores: Also write ``<path>.scores.csv`` with query, db and score (hloc's two-field format
            has no room for the score).

    Raises:
        InputError: A name holds a blank.
        PlaceMemoryError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "pairs.txt"
        >>> write_pairs(path, [("q.jpg", [("a.jpg", 0.9), ("b.jpg", 0.8)])])
        >>> path.read_text()
        'q.jpg a.jpg\nq.jpg b.jpg'
    """
    path = Path(path)
    rows = [(query, name, score) for query, found in pairs for name, score in found]
    _check_writable(dict.fromkeys(name for row in rows for name in row[:2]))
    beside = path.with_name(f"{path.name}.scores.csv")
    if scores:
        named = ((query, name, f"{score:.7g}") for query, name, score in rows)
        write_csv(beside, ("query", "db", "score"), named)
    write_text(path, "\n".join(f"{query} {name}" for query, name, _ in rows))
    if not scores and beside.is_file():
        beside.unlink()  # those of another run would contradict the pairs


def _select_names(
    features: FeatureReader, prefix: str | Sequence[str] | None, name_list: Names | None, what: str
) -> list[str]:
    """Names by prefix, else of a list, else all; each once.

    Args:
        features: The files.
        prefix: One prefix, several, or none.
        name_list: Names, a list file, a pattern of list files, or none.
        what: What the images are, for messages.

    Raises:
        InputError: Nothing is selected, a name is unknown, or a list file cannot be read.
    """
    if prefix is not None:
        prefixes = (prefix,) if isinstance(prefix, str) else tuple(prefix)
        names = [name for name in features.names if name.startswith(prefixes)]
        if not names:
            raise InputError(f"no {what} image has a name that begins with {' or '.join(prefixes)}")
        return names
    if name_list is None:
        return features.names
    names = list(dict.fromkeys(_read_names(name_list)))
    if not names:
        raise InputError(f"the list of {what} images is empty")
    features.check_names(names)
    return names


def _read_names(names: Names) -> list[str]:
    """Names of an iterable, or of hloc's list files."""
    if not isinstance(names, str | Path):
        return list(names)
    path = Path(names)
    files = [path] if path.exists() else sorted(path.parent.glob(path.name))
    if not files:
        raise InputError(f"{path}: there is no such list of images")
    try:
        lines = [line for file in files for line in file.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the list of images ({error})") from error
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def _check_writable(names: Iterable[str]) -> None:
    """Check that names fit into a pairs file: two fields with a blank between, in UTF-8.

    Raises:
        InputError: Some do not; the message names them.
    """
    bad = [name for name in names if name.split() != [name] or not _is_utf8(name)]
    if bad:
        raise InputError(
            f"{len(bad)} names hold a blank, or are no UTF-8, which a pairs file cannot keep: "
            f"{', '.join(map(repr, bad[:_SHOWN]))}; rename the images"
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _search(
    query_reader: FeatureReader,
    query_names: Sequence[str],
    database_reader: FeatureReader,
    db_names: Sequence[str],
    k: int,
    chunk: int,
    progress: Progress | None,
) -> Pairs:
    matrix = _finite(database_reader, db_names)
    row_of = {name: row for row, name in enumerate(db_names)}
    scale = 2 * ROUNDING * _largest_norm(matrix)
    pairs: Pairs = []
    step = max(1, chunk // len(db_names))
    for start in range(0, len(query_names), step):
        names = query_names[start : start + step]
        vectors = _finite(query_reader, names)
        for name, vector, scores in zip(names, vectors, vectors @ matrix.T, strict=True):
            if name in row_of:
                scores[row_of[name]] = -np.inf
            slack = scale * float(np.linalg.norm(vector))
            found = _best(matrix, vector, scores, k, slack)
            pairs.append((name, [(db_names[row], score) for row, score in found]))
        if progress is not None:
            progress(len(pairs), len(query_names))
    return pairs


def _best(
    matrix: NDArray[np.float32],
    query: NDArray[np.float32],
    scores: NDArray[np.float32],
    k: int,
    slack: float,
) -> Iterator[tuple[int, float]]:
    """Rows and scores of the k best that are not negative; float64 decides."""
    near = preselect(scores, k, slack)
    near = near[scores[near] >= -slack]
    exact = products(matrix[near], query)
    order = np.lexsort((near, -exact))[:k]
    order = order[exact[order] >= 0]
    return zip(near[order].tolist(), exact[order].tolist(), strict=True)


def _check_alike(query_reader: FeatureReader, database_reader: FeatureReader) -> None:
    if query_reader.dim != database_reader.dim:
        raise DescriptorError(
            f"query descriptors have length {query_reader.dim}, those of the database "
            f"{database_reader.dim}"
        )
    if query_reader.card is not None and database_reader.card is not None:
        check_encoder(Path("database"), database_reader.card, query_reader.card)


def _finite(features: FeatureReader, names: Sequence[str]) -> NDArray[np.float32]:
    matrix = features.read(names)
    bad = [names[int(i)] for i in np.flatnonzero(~np.isfinite(matrix).all(axis=1))]
    if bad:
        raise DescriptorError(
            f"{len(bad)} descriptors hold NaN or infinity: {', '.join(bad[:_SHOWN])}"
        )
    return matrix


def _largest_norm(matrix: NDArray[np.float32]) -> float:
    squares = np.einsum("nd,nd->n", matrix, matrix, dtype=np.float64)
    return float(np.sqrt(squares.max()))
