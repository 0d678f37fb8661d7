"""ID: 16 bytes, UUID version 4, in all its forms."""

import copy
import os
import pickle
import sys
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue import ID, InvalidIDError, Job, ValidationError
from jobqueue._structures import system as _system

TEXT = "f47ac10b-58cc-4372-a567-0e02b2c3d479"


def test_new() -> None:
    id = ID.new()
    assert type(id) is ID
    assert id.uuid.version == 4
    assert id.uuid.variant == uuid.RFC_4122
    assert len(bytes(id)) == 16


def test_new_ids_differ() -> None:
    assert len({bytes(ID.new()) for _ in range(20_000)}) == 20_000


def test_every_free_bit_is_random() -> None:
    ones = zeros = 0
    for _ in range(500):
        bits = int.from_bytes(bytes(ID.new()))
        ones |= bits
        zeros |= ~bits
    fixed = 128 - (ones & zeros & (2**128 - 1)).bit_count()
    assert fixed == 6


def test_forms_lead_to_each_other() -> None:
    id = ID.parse(TEXT)
    assert str(id) == TEXT
    assert bytes(id) == uuid.UUID(TEXT).bytes
    assert id.uuid == uuid.UUID(TEXT)
    assert type(id.uuid) is uuid.UUID
    job = Job("a", id=id)
    for form in (TEXT, TEXT.upper(), uuid.UUID(TEXT), uuid.UUID(TEXT).bytes, id, job):
        assert ID(form) == id


def test_parse_is_of_text_only() -> None:
    assert ID.parse(TEXT.upper()) == ID.parse(TEXT)
    for thing in (ID.parse(TEXT), uuid.UUID(TEXT), uuid.UUID(TEXT).bytes, TEXT.encode(), None, 5):
        with pytest.raises(InvalidIDError) as caught:
            ID.parse(thing)
        assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        TEXT[:-1],
        TEXT + "0",
        TEXT.replace("-", ""),
        "{" + TEXT + "}",
        "urn:uuid:" + TEXT,
        " " + TEXT,
        TEXT + "\n",
        TEXT.replace("-", "_"),
        TEXT.replace("f47a", "g47a"),
        TEXT.replace("f47a", "+47a"),
        TEXT.replace("f47a", "f4 a"),
        TEXT.replace("f47a", "f47\u0661"),
        TEXT.replace("-4372", "4-372"),
        TEXT.replace("-4372", "-1372"),
        TEXT.replace("-4372", "-5372"),
        TEXT.replace("-a567", "-7567"),
        TEXT.replace("-a567", "-c567"),
        "\0" * 36,
        "é" * 36,
    ],
)
def test_bad_texts(text: str) -> None:
    for make in (ID.parse, ID):
        with pytest.raises(InvalidIDError) as caught:
            make(text)
        assert not isinstance(caught.value, TypeError)


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 15, b"x" * 17, bytes(16), b"\xff" * 16])
def test_bad_bytes(data: bytes) -> None:
    with pytest.raises(InvalidIDError):
        ID(data)


@pytest.mark.parametrize("version", [1, 3, 5])
def test_other_versions(version: int) -> None:
    other = {
        1: uuid.uuid1(),
        3: uuid.uuid3(uuid.NAMESPACE_DNS, "a"),
        5: uuid.uuid5(uuid.NAMESPACE_DNS, "a"),
    }[version]
    for form in (other, str(other), other.bytes):
        with pytest.raises(InvalidIDError):
            ID(form)


@pytest.mark.parametrize("thing", [None, 5, 5.5, True, object(), [], uuid.uuid4().int, Job, ID])
def test_wrong_types(thing: Any) -> None:
    with pytest.raises(InvalidIDError) as caught:
        ID(thing)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValidationError)


def test_signature() -> None:
    with pytest.raises(TypeError):
        ID()
    with pytest.raises(TypeError):
        ID(TEXT, TEXT)


def test_equality_and_hash() -> None:
    id, same, other = ID(TEXT), ID(TEXT), ID.new()
    assert id == same
    assert hash(id) == hash(same)
    assert id != other
    assert {id, same, other} == {id, other}
    assert id != TEXT
    assert id != uuid.UUID(TEXT)
    assert id != bytes(id)
    assert not id == None  # noqa: E711 - the operator is under test


def test_order_is_of_the_bytes() -> None:
    ids = [ID.new() for _ in range(200)]
    assert [bytes(id) for id in sorted(ids)] == sorted(bytes(id) for id in ids)
    low, high = sorted(ids[:2])
    assert low < high
    assert low <= high
    assert high > low
    assert high >= low
    assert low <= ID(bytes(low))
    for other in (TEXT, bytes(low), low.uuid, 5):
        with pytest.raises(TypeError):
            assert low < other


def test_repr() -> None:
    assert repr(ID(TEXT)) == f"ID('{TEXT}')"
    assert eval(repr(ID(TEXT))) == ID(TEXT)


def test_pickling_and_copying() -> None:
    id = ID.new()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(id, protocol)) == id
    assert copy.copy(id) == copy.deepcopy(id) == id


def test_immutable_and_final() -> None:
    id = ID.new()
    before = bytes(id)
    with pytest.raises(AttributeError):
        id.uuid = uuid.uuid4()
    with pytest.raises(AttributeError):
        id.other = 1
    with pytest.raises(TypeError):
        type("Other", (ID,), {})
    try:
        id.__init__(TEXT)
    except TypeError:
        pass
    assert bytes(id) == before, "an id in a set must not change under it"


def test_an_id_is_never_half_built() -> None:
    try:
        empty = ID.__new__(ID)
    except TypeError:
        return
    with pytest.raises(InvalidIDError):
        ID(bytes(empty))
    pytest.fail("ID.__new__ made an id that is none")


def test_small() -> None:
    assert sys.getsizeof(ID.new()) <= 48


@given(st.uuids(version=4))
def test_round_trips(value: uuid.UUID) -> None:
    id = ID(value)
    assert id.uuid == value
    assert str(id) == str(value)
    assert ID.parse(str(id)) == ID(bytes(id)) == id
    assert (id < ID(TEXT)) == (value.bytes < uuid.UUID(TEXT).bytes)


@given(st.binary(min_size=16, max_size=16))
def test_any_16_bytes(data: bytes) -> None:
    value = uuid.UUID(bytes=data)
    if value.version == 4 and value.variant == uuid.RFC_4122:
        assert bytes(ID(data)) == data
    else:
        with pytest.raises(InvalidIDError):
            ID(data)


@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    try:
        id = ID.parse(text)
    except InvalidIDError:
        return
    assert str(id) == text.lower()


def test_random_bytes_come_from_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def urandom(size: int) -> bytes:
        asked.append(size)
        return real(size)

    real = os.urandom
    monkeypatch.setattr(os, "urandom", urandom)
    _system._forget_random()
    for _ in range(5000):
        ID.new()
    assert 2 <= len(asked) <= 20, "asked in blocks, neither once for all nor each time"
    _system._forget_random()
