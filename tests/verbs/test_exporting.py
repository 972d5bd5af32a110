"""`kala-es export` to a file: what it refuses, and that the file is durable before it is said to be there."""

import os
from pathlib import Path

import pytest

from kala_es.cli import main
from tests.replay.logs import fill


@pytest.mark.parametrize("since", ["-5", "x", "1.5", "9" * 30])
async def test_what_is_no_position_to_go_on_from_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], since: str
) -> None:
    await fill(tmp_path / "data", 3)
    with pytest.raises(SystemExit) as exit_:
        main(["export", str(tmp_path / "file"), "--data", str(tmp_path / "data"), f"--since={since}"])
    assert (exit_.value.code, "position" in capsys.readouterr().err) == (2, True)
    assert not (tmp_path / "file").exists()


async def test_the_file_is_durable_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(tmp_path / "data", 3)
    there, file = tmp_path / "there", tmp_path / "there" / "file"
    there.mkdir()
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), file.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    assert main(["export", str(file), "--data", str(tmp_path / "data")]) == 0
    (part, before), named = synced
    assert (Path(part).parent, before, named) == (there, False, (str(there), True))
