"""Snapshots: what one retraining saw can be read again, exactly, for ever, on disk and on S3."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from perennial.documents import revisions
from perennial.documents.judgement import Rules
from perennial.documents.revisions import COLUMNS, deletions, row_digests
from perennial.errors import OutsideError
from perennial.inputs.base import content_hash
from perennial.inputs.near_copies import sketches
from perennial.settings import Settings, get_settings
from perennial.stores.snapshots import earlier_layout
from perennial.stores.snapshots.delta import Table
from perennial.stores.snapshots.store import Draft, Snapshot, SnapshotConflictError, SnapshotStore
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY

_SCHEMA = COLUMNS.append(pa.field("text", pa.large_string()))
_RULES = Rules((("negative", "0"), ("positive", "1")), "label", "text", 3, 1_000)
_DRAFT = Draft(_RULES, reading="as always", identity=1, kinds=None)


def _rows(*numbers: int, **changed: object) -> pa.Table:
    """Return a revision of one document per number."""
    texts = [f"This is the film number {number}, and it is good" for number in numbers]
    rows = [
        {
            "id": f"review-{number}",
            "deleted": False,
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            "source": "test",
            "label": "1",
            "text": text,
            "words": 10,
            "characters": len(text),
            "content": content_hash(text),
            "stored": number,
            **changed,
        }
        for number, text in zip(numbers, texts, strict=True)
    ]
    return _digested(pa.Table.from_pylist(rows, _SCHEMA))


def _digested(rows: pa.Table) -> pa.Table:
    digests = pa.array(list(row_digests(rows)), pa.binary())
    return rows.set_column(rows.schema.get_field_index("digest"), COLUMNS.field("digest"), digests)


def _append(store: SnapshotStore, rows: pa.Table, after: Snapshot | None) -> Snapshot:
    return store.append([rows], _DRAFT, after)


def _ids(store: SnapshotStore, snapshot: Snapshot) -> set[str]:
    ids = store.read(snapshot)["id"].to_pylist()
    assert len(set(ids)) == len(ids)
    return set(ids)


def _named(*numbers: int) -> set[str]:
    return {f"review-{number}" for number in numbers}


def _files(folder: str) -> set[Path]:
    return {path for path in Path(folder).rglob("*.json") if "_delta_log" in path.parts}


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore("reviews", Settings(data_uri=str(tmp_path)))


def test_before_the_first_ingestion_there_is_no_snapshot(store: SnapshotStore) -> None:
    assert store.latest() is None
    with pytest.raises(OutsideError, match=r"no snapshot 0 of 'reviews'.*DATA_URI"):
        store.find(0)


def test_what_was_appended_is_read_by_version_and_by_digest(store: SnapshotStore) -> None:
    first = _append(store, _rows(1, 2), None)
    second = _append(store, _rows(3), first)

    assert store.find(0) == store.find(first.digest) == first
    assert store.find(1) == store.find(second.digest) == store.latest() == second
    assert (first.documents, second.documents) == (2, 3)
    assert _ids(store, first) == _named(1, 2)
    assert _ids(store, second) == _named(1, 2, 3)
    with pytest.raises(OutsideError, match=r"no snapshot 'abc'"):
        store.find("abc")


def test_the_text_is_read_as_it_was_written(store: SnapshotStore) -> None:
    text = "Ein „schöner“ Film 🎬 — voilà\r\n\tnull\0byte"

    snapshot = _append(store, _rows(1, text=text), None)

    assert store.read(snapshot)["text"].to_pylist() == [text]


def test_the_digest_depends_on_the_documents_not_on_order_or_files(tmp_path: Path) -> None:
    orders = [[(1, 2, 3, 4)], [(4, 2), (3,), (1,)], [(3, 1), (2, 4)]]
    digests, contents = [], []
    for number, groups in enumerate(orders):
        store = SnapshotStore("reviews", Settings(data_dir=tmp_path / str(number)))
        snapshot = None
        for group in groups:
            snapshot = _append(store, _rows(*group), snapshot)
        assert snapshot is not None
        digests.append(snapshot.digest)
        contents.append(store.read(snapshot)["id"].to_pylist())

    assert len(set(digests)) == 1
    assert contents[0] == contents[1] == contents[2]


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "other"},
        {"label": "0"},
        {"text": "Quite another text, and no less good"},
        {"created_at": datetime(2026, 1, 2, tzinfo=UTC)},
        {"source": "elsewhere"},
        {"group": "g"},
        {"sender": "s"},
        {"fields": [("country", "de")]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_digest_changes_with_every_part_of_a_document(
    changed: dict[str, object], tmp_path: Path
) -> None:
    one = _append(SnapshotStore("one", Settings(data_dir=tmp_path)), _rows(1), None)
    other = _append(SnapshotStore("other", Settings(data_dir=tmp_path)), _rows(1, **changed), None)

    assert one.digest != other.digest


def test_the_newest_revision_of_a_document_counts_and_earlier_snapshots_stay(
    store: SnapshotStore,
) -> None:
    first = _append(store, _rows(1, 2, 3), None)
    second = _append(store, _rows(2, label="0"), first)
    third = _append(store, deletions(["review-1", "review-2"], _SCHEMA), second)

    def labels(snapshot: Snapshot) -> dict[str, str]:
        rows = store.read(snapshot)
        return dict(zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True))

    yes, no = "positive", "negative"
    assert labels(first) == {"review-1": yes, "review-2": yes, "review-3": yes}
    assert labels(second) == {"review-1": yes, "review-2": no, "review-3": yes}
    assert labels(third) == {"review-3": yes}
    accounts = third.accounts
    assert (second.accounts.corrected, accounts.deleted, accounts.live) == (1, 2, 1)


def test_what_cannot_be_used_is_kept_with_its_reason_and_is_not_in_the_digest(
    store: SnapshotStore,
) -> None:
    first = _append(store, _rows(1, 2), None)

    second = _append(store, _rows(8, label="7"), first)

    assert (second.version, second.digest, second.documents) == (1, first.digest, 2)
    assert _ids(store, second) == _named(1, 2)
    (held,) = store.quarantine(second).to_pylist()
    assert (held["id"], held["code"], held["field"]) == ("review-8", "unknown_label", "label")
    assert held["reason"] == "label is not one of 0, 1: 7"
    assert store.quarantine(first).num_rows == 0
    assert set(store.known_ids(second)["id"].to_pylist()) == _named(1, 2, 8)


def _another_text(path: Path) -> None:
    from pyarrow import parquet

    table = parquet.ParquetFile(path).read()
    texts = [text.replace("good", "evil") for text in table["text"].to_pylist()]
    position = table.schema.get_field_index("text")
    changed = table.set_column(
        position, table.schema.field("text"), pa.array(texts, pa.large_string())
    )
    parquet.write_table(changed, path)


def _half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _garbage(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


@pytest.mark.parametrize("damage", [_another_text, _half, _garbage, Path.unlink])
def test_a_damaged_file_is_noticed(damage: Callable[[Path], None], store: SnapshotStore) -> None:
    snapshot = _append(store, _rows(1, 2), None)
    (file,) = Path(store.uri).rglob("kind=revision/*.parquet")

    damage(file)

    with pytest.raises(OutsideError, match=r"DATA_URI.*(damaged|cannot be read)"):
        store.read(snapshot)


def test_a_damaged_log_is_told_in_one_sentence(store: SnapshotStore) -> None:
    _append(store, _rows(1), None)
    (entry,) = _files(store.uri)
    entry.write_text("{nonsense")

    with pytest.raises(OutsideError, match=r"DATA_URI.*cannot be opened"):
        store.latest()


def test_an_ingestion_that_was_overtaken_conflicts_and_writes_nothing(store: SnapshotStore) -> None:
    first = _append(store, _rows(1), None)
    winner = _append(store, _rows(2), first)
    log = _files(store.uri)

    with pytest.raises(SnapshotConflictError):
        _append(store, _rows(3), first)

    assert _files(store.uri) == log
    assert store.latest() == winner
    assert _ids(store, winner) == _named(1, 2)


def test_the_first_ingestion_conflicts_with_another_first_one(store: SnapshotStore) -> None:
    winner = _append(store, _rows(1), None)

    with pytest.raises(SnapshotConflictError):
        _append(store, _rows(2), None)

    assert store.latest() == winner
    assert _ids(store, winner) == _named(1)


def test_every_old_snapshot_is_readable_after_many_appends_and_the_files_stay_few(
    store: SnapshotStore,
) -> None:
    snapshots = [_append(store, _rows(0), None)]
    for number in range(1, 60):
        snapshots.append(_append(store, _rows(number), snapshots[-1]))

    assert store.latest() == snapshots[-1]
    for version in (0, 1, 7, 24, 25, 26, 40, 58, 59):
        assert store.find(version) == snapshots[version]
        assert _ids(store, snapshots[version]) == _named(*range(version + 1))
    assert len(list(Path(store.uri).rglob("*.parquet"))) <= 30
    assert len(_files(store.uri)) <= 30


def test_who_reads_while_files_are_merged_reads_again(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = _append(store, _rows(0), None)
    for number in range(1, 10):
        snapshot = _append(store, _rows(number), snapshot)
    monkeypatch.setattr("perennial.stores.snapshots.delta._FILES", 0)
    read, waited = DeltaTable.to_pyarrow_dataset, []

    def merged_meanwhile(self: DeltaTable, *args: object, **options: object) -> Any:
        if not waited:
            waited.append(True)
            Table(f"{store.uri}/history", Settings(), "it").keep_small()
        return read(self, *args, **options)

    monkeypatch.setattr(DeltaTable, "to_pyarrow_dataset", merged_meanwhile)

    assert _ids(store, snapshot) == _named(*range(10))
    assert waited


def test_a_table_that_was_compacted_by_another_program_is_still_the_same_snapshot(
    store: SnapshotStore,
) -> None:
    first = _append(store, _rows(1), None)
    second = _append(store, _rows(2), first)
    DeltaTable(f"{store.uri}/history").optimize.compact()

    latest = store.latest()
    assert latest is not None
    third = _append(store, _rows(3), latest)

    assert latest.digest == second.digest
    assert _ids(store, third) == _named(1, 2, 3)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = SnapshotStore("reviews", Settings(data_dir=tmp_path / "file"))

    with pytest.raises(OutsideError, match=r"DATA_URI\) cannot be"):
        _append(store, _rows(1), None)


@pytest.fixture
def s3_store(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> SnapshotStore:
    """Return snapshots on S3, with credentials from the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    return SnapshotStore("reviews", get_settings())


def test_snapshots_are_written_and_read_on_s3_of_seaweedfs(s3_store: SnapshotStore) -> None:
    assert s3_store.latest() is None

    first = _append(s3_store, _rows(1, 2), None)
    second = _append(s3_store, _rows(3), first)

    assert s3_store.latest() == s3_store.find(second.digest) == second
    assert _ids(s3_store, first) == _named(1, 2)
    assert _ids(s3_store, second) == _named(1, 2, 3)
    assert first.uri.startswith("s3://")


def test_the_digest_is_the_same_on_disk_and_on_s3_of_seaweedfs(
    s3_store: SnapshotStore, store: SnapshotStore
) -> None:
    assert _append(s3_store, _rows(2, 1), None).digest == _append(store, _rows(1, 2), None).digest


def test_an_ingestion_that_was_overtaken_conflicts_on_s3_of_seaweedfs(
    s3_store: SnapshotStore,
) -> None:
    first = _append(s3_store, _rows(1), None)
    winner = _append(s3_store, _rows(2), first)

    with pytest.raises(SnapshotConflictError):
        _append(s3_store, _rows(3), first)
    with pytest.raises(SnapshotConflictError):
        _append(s3_store, _rows(4), None)

    assert s3_store.latest() == winner
    assert _ids(s3_store, winner) == _named(1, 2)


def test_many_old_snapshots_are_readable_on_s3_of_seaweedfs(s3_store: SnapshotStore) -> None:
    snapshots = [_append(s3_store, _rows(0), None)]
    for number in range(1, 12):
        snapshots.append(_append(s3_store, _rows(number), snapshots[-1]))

    for version in (0, 5, 11):
        assert _ids(s3_store, snapshots[version]) == _named(*range(version + 1))


def test_wrong_credentials_are_told_in_one_sentence_on_s3_of_seaweedfs(
    s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = SnapshotStore("reviews", get_settings())

    with pytest.raises(OutsideError, match=r"DATA_URI\) cannot be") as failure:
        _append(store, _rows(1), store.latest())
    assert "\n" not in str(failure.value)


@pytest.fixture
def credentials_block(prefect_api: str, seaweedfs: str) -> Iterator[str]:
    """Yield the name of a block in the Prefect API that holds the credentials for SeaweedFS."""
    from prefect_aws import AwsClientParameters, AwsCredentials

    name = "seaweedfs"
    block = AwsCredentials(
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        aws_client_parameters=AwsClientParameters(endpoint_url=seaweedfs),
    )
    block.save(name, overwrite=True, _sync=True)
    yield name
    AwsCredentials.delete(name, _sync=True)


def test_a_credentials_block_of_prefect_opens_s3_of_seaweedfs(
    s3_uri: str, credentials_block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The endpoint stands in the block, as the keys do; only plain HTTP is the machine's affair.
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("DATA_CREDENTIALS_BLOCK", credentials_block)
    get_settings.cache_clear()
    store = SnapshotStore("reviews", get_settings())

    snapshot = _append(store, _rows(1), store.latest())

    assert _ids(store, snapshot) == _named(1)


def test_a_credentials_block_that_does_not_exist_is_named(
    s3_uri: str, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_CREDENTIALS_BLOCK", "no-such-block")
    get_settings.cache_clear()

    with pytest.raises(OutsideError, match=r"DATA_CREDENTIALS_BLOCK"):
        SnapshotStore("reviews", get_settings())


def test_without_a_setting_the_snapshots_are_in_the_data_folder(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).snapshots_uri == f"{tmp_path}/snapshots"
    assert Settings(data_dir=tmp_path, data_uri="s3://b/p/").snapshots_uri == "s3://b/p/snapshots"


@pytest.mark.parametrize("digests", [row_digests, earlier_layout.row_digests])
def test_how_many_documents_are_digested_at_once_changes_nothing(
    digests: Callable[[pa.Table], Iterable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pa.concat_tables([_rows(*range(5)), _rows(9, label=None), _rows(*range(20, 31))])
    expected = list(digests(rows))

    for at_once in (1, 3, 16, 17, 18):
        for module in (revisions, earlier_layout):
            monkeypatch.setattr(module, "_DIGESTED", at_once)
        assert list(digests(rows)) == expected
    assert len(set(expected)) == len(rows) == 17


def test_without_near_copies_a_snapshot_is_read_without_looking_for_them(
    store: SnapshotStore,
) -> None:
    rows = _rows(1, 2, 3)
    sketched = sketches(rows["text"].combine_chunks()).cast(pa.binary())
    place = rows.schema.get_field_index("sketch")
    snapshot = _append(store, rows.set_column(place, COLUMNS.field("sketch"), sketched), None)

    for read in (store.read, store.read_keys):
        looked, found = read(snapshot), read(snapshot, near_copies=False)

        assert looked.column_names == [*found.column_names, "representative"]
        assert found.equals(looked.drop_columns(["representative"]))
