from typing import Any

class Job:
    name: str
    payload: bytes
    id: object
    priority: int
    ttr: int
    ttl: int
    max_attempts: int
    max_fails: int
    time: object
    created: object
    def __init__(
        self,
        name: str,
        payload: bytes = b"",
        *,
        id: object = None,
        priority: int = 0,
        ttr: int = 60_000,
        ttl: int = 86_400_000,
        max_attempts: int = 0,
        max_fails: int = 0,
        time: object = None,
        created: object = None,
    ) -> None: ...

class Engine:
    def add(self, job: Job) -> None: ...
    def lease(self, names: object, timeout: object) -> Any: ...
    def complete(self, id: object, result: bytes = b"", *, attempt: object = None) -> None: ...
    def delete(self, id: object) -> None: ...
