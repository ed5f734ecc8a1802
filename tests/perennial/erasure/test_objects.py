"""Stored objects: every file is listed, on S3 every version of it, and removed for good."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from perennial.erasure.objects import Folder, objects_at, remove_old_versions
from perennial.errors import OutsideError
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, open_s3


def _options(address: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }


def test_files_are_listed_and_removed_with_the_folders_that_are_empty_then(tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/d/e", "left-out/f"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    folder = Folder(tmp_path, leaving_out=["left-out"])
    assert {each.name: folder.read(each) for each in folder.all()} == {
        name: name.encode() for name in ("a", "b/c", "b/d/e")
    }

    assert folder.remove([each for each in folder.all() if each.name != "a"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "left-out"]
    assert list(objects_at(str(tmp_path / "absent")).all()) == []


def test_old_versions_and_deleted_objects_on_s3_of_seaweedfs_are_removed_for_good(
    seaweedfs: str,
) -> None:
    bucket, client = f"versions-{uuid4().hex[:12]}", open_s3(seaweedfs)
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key, content in [("p/kept", b"1"), ("p/kept", b"2"), ("p/deleted", b"3"), ("other", b"4")]:
        client.put_object(Bucket=bucket, Key=key, Body=content)
    client.delete_object(Bucket=bucket, Key="p/deleted")
    objects = objects_at(f"s3://{bucket}/p", _options(seaweedfs))
    assert sorted(objects.read(each) for each in objects.all()) == [b"", b"1", b"2", b"3"]

    assert remove_old_versions(objects) == 3

    assert [(each.name, objects.read(each)) for each in objects.all()] == [("kept", b"2")]
    assert client.get_object(Bucket=bucket, Key="other")["Body"].read() == b"4"


def test_without_the_rights_it_says_which_on_s3_of_seaweedfs(seaweedfs: str) -> None:
    options = _options(seaweedfs) | {"AWS_SECRET_ACCESS_KEY": "wrong"}

    with pytest.raises(OutsideError, match="s3:ListBucketVersions"):
        list(objects_at("s3://data/p", options).all())


def test_a_storage_whose_old_versions_nobody_knows_is_refused() -> None:
    with pytest.raises(OutsideError, match="gs://bucket/p"):
        objects_at("gs://bucket/p")
