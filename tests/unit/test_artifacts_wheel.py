"""Reading wheels that strangers send: whatever is wrong with them is said, and nothing is run or unpacked."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.artifacts import wheel as reading
from infra.artifacts.errors import WheelInvalid
from infra.artifacts.unpacking import is_intact, unpack
from infra.artifacts.wheel import inspect_wheel, read_wheel
from tests.unit.wheels import SLICE_CODE, write_wheel

GOOD = {"pkg/__init__.py": "", "pkg/service.py": SLICE_CODE}


def test_a_wheel_says_what_it_is_without_being_imported(tmp_path: Path) -> None:
    bomb = {"pkg/__init__.py": "raise SystemExit('imported')"}
    path = write_wheel(tmp_path, "pkg", "1.2.0", bomb, requires=("six>=1",), entries="hello = pkg:Hello")
    contents = inspect_wheel(path)
    assert contents.coordinate == "pkg==1.2.0"
    assert (contents.requires, contents.entries, contents.top_level) == (("six>=1",), ("pkg:Hello",), ("pkg",))


def test_a_wheel_that_aether_build_did_not_make_is_refused(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "pkg", "1.0", GOOD, entries="hello = pkg.service:Hello")
    with pytest.raises(WheelInvalid, match="aether build"):
        read_wheel(path)


@pytest.mark.parametrize(
    ("files", "record", "sentence"),
    [
        ({"../evil.py": ""}, {}, "forbidden name"),
        ({"/evil.py": ""}, {}, "forbidden name"),
        ({"pkg\\evil.py": ""}, {}, "forbidden name"),
        ({"C:evil.py": ""}, {}, "forbidden name"),
        ({"pkg/__init__.py": "x"}, {"pkg/__init__.py": "pkg/__init__.py,sha256=AAAA,1"}, "was altered"),
        ({"pkg/__init__.py": "x"}, {"pkg/__init__.py": "pkg/__init__.py,md5=AAAA,1"}, "no SHA-256"),
        ({"pkg/__init__.py": "x"}, {"pkg/__init__.py": ""}, "RECORD does not match"),
        ({}, {"more": "pkg/more.py,sha256=AAAA,1"}, "RECORD does not match"),
        ({"runtime/__init__.py": ""}, {}, "package of Aether"),
        ({"infra.py": ""}, {}, "package of Aether"),
        ({"msgspec/__init__.py": ""}, {}, "shared by all slices"),
        ({"random.py": ""}, {}, "standard library"),
        ({"pkg-1.0.data/scripts/x": ""}, {}, ".data directory"),
        ({"other-1.0.dist-info/METADATA": ""}, {}, "2 dist-info"),
        ({"pkg/a.py": "", "pkg/A.py": ""}, {}, "differ in case"),
    ],
)
def test_what_no_wheel_should_hold_is_refused(
    tmp_path: Path, files: dict[str, str], record: dict[str, str], sentence: str
) -> None:
    path = write_wheel(tmp_path, "pkg", "1.0", files, record=record)
    with pytest.raises(WheelInvalid, match=sentence) as caught:
        inspect_wheel(path)
    assert caught.value.problem()["remedy"]


def test_a_link_inside_a_wheel_is_refused(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "pkg", "1.0", GOOD)
    info = zipfile.ZipInfo("pkg/link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(WheelInvalid, match="no plain file"):
        inspect_wheel(path)


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "UNPACKED_BYTES_MAX", 10_000)
    path = write_wheel(tmp_path, "pkg", "1.0", {"pkg/zeros": "0" * 20_000})
    with pytest.raises(WheelInvalid, match="unpacked it has more"):
        inspect_wheel(path)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "pkg", "1.0", GOOD)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("pkg/service.py", "evil")
    with pytest.raises(WheelInvalid, match="twice"):
        inspect_wheel(path)


def test_truncation_anywhere_is_noticed(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "pkg", "1.0", GOOD)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(WheelInvalid):
            inspect_wheel(path)


@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_harmless(
    position: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Some bytes of a zip mean nothing (dates, for one); every other change must be seen, and none may crash."""
    path = write_wheel(tmp_path_factory.mktemp("w"), "pkg", "1.0", GOOD)
    before = inspect_wheel(path)
    body = bytearray(path.read_bytes())
    body[position % len(body)] = value
    path.write_bytes(body)
    try:
        after = inspect_wheel(path)
    except WheelInvalid:
        return
    assert after.top_level == before.top_level


@given(raw=st.binary(max_size=300))
def test_any_bytes_are_a_wheel_or_refused(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("w") / "x.whl"
    path.write_bytes(raw)
    with pytest.raises(WheelInvalid):
        inspect_wheel(path)


def test_an_unpacked_wheel_is_intact_until_a_file_is_altered_or_gone(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "pkg", "1.0", GOOD)
    unpack(path, tmp_path / "code")
    assert is_intact(tmp_path / "code", path)
    service = tmp_path / "code" / "pkg" / "service.py"
    service.write_text(SLICE_CODE + "\nevil = 1\n")
    assert not is_intact(tmp_path / "code", path)
    unpack(path, tmp_path / "code")
    assert is_intact(tmp_path / "code", path)
    service.unlink()
    assert not is_intact(tmp_path / "code", path)
    unpack(path, tmp_path / "code")
    (record,) = (tmp_path / "code").glob("*.dist-info/RECORD")
    record.write_bytes(b"")  # as a crash may leave it
    assert not is_intact(tmp_path / "code", path)


def test_unpacking_a_bad_wheel_leaves_nothing(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "pkg", "1.0", GOOD, record={"pkg/service.py": ""})
    with pytest.raises(WheelInvalid):
        unpack(path, tmp_path / "there" / "code")
    assert list(tmp_path.glob("there/*")) == []


def test_a_file_longer_than_it_claims_is_refused(tmp_path: Path) -> None:
    """The central directory's sizes are the sender's words; what is read must not exceed them."""
    path = write_wheel(tmp_path, "pkg", "1.0", {"pkg/zeros": "0" * 5_000})
    body = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        size = archive.getinfo("pkg/zeros").file_size
    central = body.rindex(b"PK\x01\x02", 0, body.index(b"pkg/zeros", body.index(b"PK\x01\x02")))
    altered = bytearray(body)
    altered[central + 24 : central + 28] = (size - 4_990).to_bytes(4, "little")
    path.write_bytes(altered)
    with pytest.raises(WheelInvalid):
        inspect_wheel(path)
