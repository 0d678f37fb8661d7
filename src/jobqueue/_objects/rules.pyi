from datetime import datetime
from typing import Final

MAX_NAME: Final[int]

MAX_PAYLOAD: Final[int]

MAX_RESULT: Final[int]

MAX_ATTEMPTS: Final[int]

MAX_FAILS: Final[int]

MAX_UNIQUE: Final[int]

MAX_TTR: Final[int]

MAX_TTL: Final[int]

MAX_TIMEOUT: Final[int]

TIME_FORMAT: Final[str]

def to_datetime(ns: int) -> datetime: ...
def check_name(value: object) -> str: ...
def check_payload(value: object) -> None: ...
def check_result(value: object) -> None: ...
def check_unique(value: object) -> None: ...
def check_ttr(value: object) -> None: ...
def check_ttl(value: object) -> None: ...
def check_timeout(value: object) -> None: ...
def check_time(value: object) -> int: ...
