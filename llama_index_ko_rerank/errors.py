"""What can go wrong, said in the user's words.

Every error of this package is a `KoRerankError`, and each leaf is also the builtin that a caller would guess::

    KoRerankError
    ├── InvalidSetting (ValueError)           a parameter out of range, or an unknown name
    ├── MissingExtra (ImportError)            an optional library that is not installed
    ├── TextError
    │   ├── InvalidText (ValueError)          lone surrogates: text that no file can hold
    │   └── BlankQuery (ValueError)           a question that is missing, empty or only white space
    ├── DataError
    │   ├── UnknownDataset (ValueError)       a data set spec or split that does not exist
    │   ├── DatasetUnavailable (OSError)      a file that is missing, or a hub out of reach
    │   ├── MalformedData (ValueError)        a file, row or field that cannot be read; names all three
    │   ├── UnreadableDocument (ValueError)   a file whose text cannot be read; says why
    │   ├── EmptyCorpus (ValueError)          nothing to index, search or train on
    │   └── SplitLeak (ValueError)            one context in both training and validation
    ├── ModelError
    │   ├── ModelNotFound (OSError)           no such folder or catalog name, and no hub in reach
    │   ├── UnsuitableModel (ValueError)      a model that cannot do the asked task
    │   ├── DamagedModel (ValueError)         a model file that is not, byte for byte, the one that was pinned
    │   └── LlmUnavailable (ConnectionError)  an LLM's server that is down or sends no answer
    └── StoreError
        ├── IndexNotFound (FileNotFoundError) no index in that folder
        ├── IndexExists (FileExistsError)     an index is already there
        ├── DamagedIndex (OSError)            the table of an index cannot be read
        ├── IndexBusy (TimeoutError)          another process or thread is writing the index
        ├── IndexReadOnly (PermissionError)   a change of an index in a folder that cannot be written
        ├── IndexTooNew (ValueError)          an index that a newer release made
        ├── QdrantUnavailable (ConnectionError) a Qdrant server that is down, overloaded or fails
        ├── DiskFull (OSError)                no room for a change; what was there still is
        ├── ModelMismatch (ValueError)        an index opened with another embedding model or tokenizer
        ├── DimensionMismatch (ValueError)    a vector of another length than the index holds
        ├── InvalidVector (ValueError)        NaN, infinite or zero vectors, or none at all
        ├── InvalidNode (ValueError)          metadata that JSON cannot hold, or a node of an unknown kind
        ├── DuplicateNodeId (ValueError)      one id twice
        ├── InvalidFilter (TypeError)         a metadata filter whose value its operator or the metadata do not fit
        └── UnsupportedQuery (NotImplementedError)  a filter or query mode that the store does not have
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KoRerankError(Exception):
    """The root of every error that this package raises."""


class InvalidSetting(KoRerankError, ValueError):
    """A parameter is out of range, or names something unknown."""


class MissingExtra(KoRerankError, ImportError):
    """An optional library is needed that is not installed."""


class TextError(KoRerankError):
    """A text cannot be used as it is."""


class InvalidText(TextError, ValueError):
    """A text holds lone surrogates, which no encoding can write."""


class BlankQuery(TextError, ValueError):
    """A question is missing, empty, or only white space."""


class DataError(KoRerankError):
    """A data set cannot be used."""


class UnknownDataset(DataError, ValueError):
    """A data set spec or a split that does not exist."""


class DatasetUnavailable(DataError, OSError):
    """A data file is missing, or the hub is out of reach."""


class MalformedData(DataError, ValueError):
    """A data file is not in the layout that its spec names; the message gives file, row and field."""


class UnreadableDocument(DataError, ValueError):
    """The text of a document cannot be read, or must not be; the message gives the reason."""


class EmptyCorpus(DataError, ValueError):
    """There is nothing to index, search or train on."""


class SplitLeak(DataError, ValueError):
    """The same context is in both training and validation."""


class ModelError(KoRerankError):
    """A model cannot be loaded or used."""


class ModelNotFound(ModelError, OSError):
    """No such model: neither a catalog name, nor a folder, nor a hub name in reach."""


class UnsuitableModel(ModelError, ValueError):
    """The model exists and cannot do what was asked of it."""


class DamagedModel(ModelError, ValueError):
    """A model file has another size or sha256 than the one that this package was written for."""


class LlmUnavailable(ModelError, ConnectionError):
    """An LLM's server is down, too slow, refuses, or sends something that is no answer."""


class StoreError(KoRerankError):
    """An index on disk cannot be used as asked."""


class IndexNotFound(StoreError, FileNotFoundError):
    """There is no index in the folder."""


class IndexExists(StoreError, FileExistsError):
    """There is an index in the folder already."""


class DamagedIndex(StoreError, OSError):
    """The table of an index cannot be read."""


class IndexBusy(StoreError, TimeoutError):
    """Another process or thread is writing the index, and did not finish while this one waited."""


class IndexReadOnly(StoreError, PermissionError):
    """An index was to be made or changed in a folder that this process cannot write."""


class IndexTooNew(StoreError, ValueError):
    """A newer release of this package made the index."""


class QdrantUnavailable(StoreError, ConnectionError):
    """A Qdrant server is down, too slow, overloaded, or fails."""


class DiskFull(StoreError, OSError):
    """There is no room for a change of an index, or for a model or checkpoint; nothing of it was kept."""


class ModelMismatch(StoreError, ValueError):
    """An index was opened with another embedding model or tokenizer than it was built with."""


class DimensionMismatch(StoreError, ValueError):
    """A vector has another length than the index holds."""


class InvalidVector(StoreError, ValueError):
    """A vector is missing, zero, or holds NaN or infinity."""


class InvalidNode(StoreError, ValueError):
    """A node cannot be stored: its metadata is no JSON, or its id or kind is not usable."""


class DuplicateNodeId(StoreError, ValueError):
    """One node id was given twice."""


class InvalidFilter(StoreError, TypeError):
    """The value of a metadata filter fits neither its operator nor the metadata that it meets."""


class UnsupportedQuery(StoreError, NotImplementedError):
    """A filter or a query mode that the store does not have."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, as the tail of an error message.

    >>> nearest("klue-mcr", ["klue-mrc", "sample"])
    "did you mean 'klue-mrc'? known: klue-mrc, sample"
    >>> nearest("zzz", ["sample"])
    'known: sample'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    listing = "known: " + ", ".join(names)
    return f"did you mean {close[0]!r}? {listing}" if close else listing
