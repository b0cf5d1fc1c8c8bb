"""Files are replaced whole or not at all."""

import os
import stat

import pytest

from comvae.files import replacing, write_text


def test_a_file_and_its_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "table.csv"
    write_text(path, "± ö\n")
    assert path.read_text(encoding="utf-8") == "± ö\n"
    assert list(path.parent.iterdir()) == [path]


def test_the_old_content_stands_until_the_new_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent, "a rename must not cross file systems"
        assert temporary.suffix == path.suffix, "writers may choose a format by it"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_content_and_no_temporary(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_where_nothing_was_leaves_nothing(tmp_path):
    with pytest.raises(ValueError), replacing(tmp_path / "table.csv") as temporary:
        temporary.write_text("half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []


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
