"""Arrays in a file: one row of Arrow, in which each of them is a list, and its checksum."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import fs

# Bytes of the checksum at the end.
_TRAILER = 4


class _Summed:
    """A stream that is written to, and the checksum of what was written."""

    closed = False

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream, self.checksum = stream, 0

    def write(self, data: bytes) -> None:
        """Write on."""
        self.checksum = zlib.crc32(data, self.checksum)
        self._stream.write(data)

    def flush(self) -> None:
        """Do nothing: what is not complete is read by nobody."""

    def close(self) -> None:
        """Do nothing: the stream goes on after what is summed."""


def write_arrays(system: fs.FileSystem, path: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a file; whoever reads it meanwhile finds all of it or nothing.

    Parameters
    ----------
    system : FileSystem
        Where the file is.
    path : str
        Its path; one that is there is replaced.
    arrays : mapping of str to ndarray, shape (n,)
        What is written, by name.
    """
    if not isinstance(system, fs.LocalFileSystem):
        # On S3 that is so by itself.
        _stream(system, path, arrays)
        return
    system.create_dir(path.rpartition("/")[0], recursive=True)
    unfinished = f"{path}.unfinished"
    try:
        _stream(system, unfinished, arrays)
        system.move(unfinished, path)
    except OSError:
        # A disk that is full needs the room.
        if system.get_file_info(unfinished).type is not fs.FileType.NotFound:
            system.delete_file(unfinished)
        raise


def _stream(system: fs.FileSystem, path: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    columns = [
        pa.LargeListArray.from_arrays(pa.array([0, len(each)], pa.int64()), pa.array(each))
        for each in arrays.values()
    ]
    row = pa.RecordBatch.from_arrays(columns, [*arrays])
    with system.open_output_stream(path, compression=None) as stream:
        summed = _Summed(stream)
        with pa.ipc.new_file(summed, row.schema) as writer:
            writer.write_batch(row)
        stream.write(_trailer(summed.checksum))


def read_arrays(system: fs.FileSystem, path: str) -> dict[str, NDArray[Any]]:
    """Return what a file holds.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is not what was written.
    """
    with system.open_input_file(path) as file:
        content = file.read_buffer()
    size = content.size - _TRAILER
    # Before anything of it is understood: places and lengths may be what is wrong.
    if size < 0 or _trailer(zlib.crc32(content[:size])) != content[size:].to_pybytes():
        raise ValueError("its checksum is another one")
    row = pa.ipc.open_file(content[:size]).get_batch(0)
    return {name: row[name].values.to_numpy() for name in row.schema.names}


def _trailer(checksum: int) -> bytes:
    return checksum.to_bytes(_TRAILER, "little")
