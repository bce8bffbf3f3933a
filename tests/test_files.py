"""Results appear whole or not at all, and replace nothing by accident."""

from pathlib import Path

import pytest

from paramsym.files import finished_folder, require_free, write_text


def test_a_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert write_text(path, "α") == path
    assert path.read_text(encoding="utf-8") == "α"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_a_file_has_the_usual_permissions(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    assert write_text(tmp_path / "page", "").stat().st_mode == plain.stat().st_mode


def test_a_file_is_not_overwritten_unless_forced(tmp_path: Path) -> None:
    path = write_text(tmp_path / "page.html", "first")
    with pytest.raises(FileExistsError, match="exists"):
        write_text(path, "second")
    assert path.read_text() == "first"
    assert write_text(path, "third", force=True).read_text() == "third"


def test_a_file_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not exist\. Create it first"):
        write_text(tmp_path / "no" / "page.html", "")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write_text(tmp_path, "", force=True)


def test_a_file_that_cannot_be_encoded_leaves_nothing(tmp_path: Path) -> None:
    path = write_text(tmp_path / "page.html", "first")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800", force=True)
    assert path.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_appears_when_it_is_finished(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with finished_folder(out, "marker") as folder:
        (folder / "marker").write_text("1")
        assert not out.exists()
        assert folder.parent == out.parent
    assert (out / "marker").read_text() == "1"
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    assert out.stat().st_mode == out.parent.stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_folder_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with finished_folder(tmp_path / "out", "marker") as folder:
            (folder / "marker").write_text("1")
            raise error

    with pytest.raises(error):
        fail()
    assert not list(tmp_path.iterdir())


def _result(out: Path, text: str, *, force: bool = False) -> None:
    with finished_folder(out, "marker", force=force) as folder:
        (folder / "marker").write_text(text)


def test_an_earlier_result_is_replaced_only_with_force(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _result(out, "first")
    (out / "left over").write_text("")
    with pytest.raises(FileExistsError, match=r"holds an earlier result.*`force`"):
        _result(out, "second")
    assert (out / "marker").read_text() == "first"
    _result(out, "third", force=True)
    assert [p.name for p in out.iterdir()] == ["marker"]
    assert (out / "marker").read_text() == "third"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failed_replacement_keeps_the_earlier_result(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _result(out, "first")
    with pytest.raises(RuntimeError), finished_folder(out, "marker", force=True):
        raise RuntimeError
    assert (out / "marker").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("force", [False, True])
def test_other_peoples_folders_are_never_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds no earlier result.*never replaced"):
        _result(tmp_path, "mine", force=force)
    with pytest.raises(FileExistsError, match="is a file"):
        require_free(tmp_path / "thesis.tex", "marker", force=force)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    _result(out, "1")
    assert (out / "marker").exists()
