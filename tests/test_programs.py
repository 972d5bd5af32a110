"""What a test needs and does not find makes CI fail, and is skipped elsewhere."""

import pytest

from tests.programs import needs


def test_what_is_missing_fails_in_ci_and_is_skipped_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert needs("sh", "dash").endswith("/sh")
    with pytest.raises(pytest.fail.Exception, match=r"^CI needs no-such-program \(Debian: no-such-package\)$"):
        needs("no-such-program", "no-such-package")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match=r"^needs no-such-program "):
        needs("no-such-program", "no-such-package")
