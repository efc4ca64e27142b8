"""Where the documents of a table lie by a method's codes, read from the parts; drawing them is another file's."""

from __future__ import annotations

from harness.board.pool import Entry
from harness.board.rows import DocumentMap

# What a record's details call the number of documents of a class; classes are in the order of these.
COUNT = "documents of "


def document_map(entry: Entry) -> DocumentMap | None:
    """Return where the first seed of an entry puts the documents; None where its track made no map."""
    for seed, parts in entry.measured.items():
        if "doc_map" not in parts or "doc_label" not in parts:
            return None
        details = entry.cells[seed].record.details
        classes = sorted(name.removeprefix(COUNT) for name in details if name.startswith(COUNT))
        number_n = parts["doc_label"].astype(int)
        if parts["doc_map"].shape != (len(number_n), 2) or number_n.max(initial=0) >= len(classes):
            return None
        x_n, y_n = parts["doc_map"].T
        return DocumentMap(tuple(x_n.tolist()), tuple(y_n.tolist()), tuple(classes[i] for i in number_n))
    return None
