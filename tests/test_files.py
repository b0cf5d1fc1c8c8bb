"""Files are replaced whole or not at all."""

import errno
import os
import stat

import pytest

from comvae.errors import ResultsError, system_message
from comvae.files import (
    check_sha256,
    remove_left_behind,
    replacing,
    sha256_of,
    write_text,
)


@pytest.fixture
def path(tmp_path):
    """A file with old content."""
    write_text(tmp_path / "made" / "table.csv", "± old\n")
    return tmp_path / "made" / "table.csv"


def test_the_old_content_stands_until_the_new_is_whole(path):
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text(encoding="utf-8") == "± old\n"
        assert temporary.parent == path.parent, "a rename must not cross file systems"
        assert temporary.suffix == path.suffix, "writers may choose a format by it"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("name", ["table.csv", "new.csv"])
def test_a_failure_leaves_what_was_there(path, error, name):
    with pytest.raises(error), replacing(path.with_name(name)) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text(encoding="utf-8") == "± old\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("umask,mode", [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    """A colleague must be able to read what the umask lets them read."""
    path = tmp_path / "table.csv"
    before = os.umask(umask)
    try:
        write_text(path, "text")
        after = os.umask(umask)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert after == umask, "reading the umask must not change it"


def test_an_error_of_the_disk_names_the_file_that_was_to_be_written(path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError) as caught, replacing(path):
        raise full
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path), "the temporary one means nothing"
    message = system_message(caught.value)
    assert message.startswith(f"{path}: No space left on device; free some space")


def test_the_error_of_another_file_is_left_as_it_is(tmp_path):
    with (
        pytest.raises(FileNotFoundError) as caught,
        replacing(tmp_path / "table.csv"),
    ):
        (tmp_path / "other").read_text()
    assert caught.value.filename == str(tmp_path / "other")


def test_what_killed_writers_left_of_one_file_is_removed(tmp_path):
    path, other = tmp_path / "table[1].csv", tmp_path / ".table[1]x.csv"
    for kept in (path, other):
        kept.touch()
    (tmp_path / ".table[1].csv.abc123.csv").touch()
    remove_left_behind(path)
    assert set(tmp_path.iterdir()) == {path, other}


def test_a_file_that_is_not_as_written_is_damaged(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    check_sha256(path, None)
    check_sha256(path, sha256_of(path))
    with pytest.raises(ResultsError, match=r"weights is damaged.*expected 00.*delete"):
        check_sha256(path, "00" * 32)
