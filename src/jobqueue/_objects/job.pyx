"""ID and Job. The rules of single values stand in rules.pyx.

A Job is a job_t behind an object header, without cycle collection: a million pending jobs cost the
collector nothing. Building one is a single vectorcall, which reads each keyword once.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject, Py_EQ, Py_GT, Py_LE, Py_LT, Py_NE
from cpython.unicode cimport PyUnicode_Check
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcmp, memcpy

from jobqueue._structures.platform cimport (
    HAS_GIL, long_give, long_take, pool_give, pool_take, ref_drop, ref_take, slab_t, struct_clear,
    type_set,
)
from jobqueue._structures.times cimport NEVER_NS, NS_PER_MS
from jobqueue._structures.keys cimport ID_SIZE, id_hash
from jobqueue._structures.id_table cimport ids_far, ids_fetch
from jobqueue._structures.system cimport random_fill, stamp_next
from jobqueue._machine.types cimport (
    ATTEMPTS_MAX, FAILS_MAX, JOB_CREATED_GIVEN, JOB_UNIQUE, OBJECT_HEAD, PAYLOAD_SMALL,
    PRIORITY_MAX, PRIORITY_MIN, job_t, unique_t,
)
from jobqueue._machine.layout cimport (
    job_unique, payload_data, payload_space, record_space, whole_steps,
)
from jobqueue._objects.rules cimport (
    PyTuple_GET_ITEM_, PyTuple_GET_SIZE_, PyVectorcall_NARGS, ascii_data, ascii_size, int_read,
    is_ascii, name_read, payload_read, time_object, time_read, ttl_read, ttr_read, tuple_items,
    unique_read,
)

import sys

from .. import errors as _errors

# Looked up once: these are arguments on the hot path.
# Looked up once: these are arguments on the hot path.
cdef object InvalidIDError = _errors.InvalidIDError
cdef object InvalidMaxAttemptsError = _errors.InvalidMaxAttemptsError
cdef object InvalidMaxFailsError = _errors.InvalidMaxFailsError
cdef object InvalidPriorityError = _errors.InvalidPriorityError

# ---------------------------------------------------------------- ID

cdef uint64_t hash_seed[2]


random_fill(<uint8_t *> hash_seed, 16)
cdef char *HEX = b"0123456789abcdef"


cdef int hex_value(uint8_t c) noexcept nogil:
    if c'0' <= c <= c'9':
        return c - c'0'
    c |= 32                       # a capital's small letter
    return c - c'a' + 10 if c'a' <= c <= c'f' else -1


cdef bint id_parse_text(object text, uint8_t *out):
    cdef const uint8_t *s
    cdef int i, j, high, low
    if not is_ascii(text) or ascii_size(text) != 36:
        return False
    s = ascii_data(text)
    i = 0
    for j in range(ID_SIZE):
        if j == 4 or j == 6 or j == 8 or j == 10:
            if s[i] != c'-':
                return False
            i += 1
        high = hex_value(s[i])
        low = hex_value(s[i + 1])
        if high < 0 or low < 0:
            return False
        out[j] = <uint8_t> (high << 4 | low)
        i += 2
    return True


cdef str id_text(const uint8_t *data):
    cdef char text[36]
    cdef int i = 0
    cdef int j
    for j in range(ID_SIZE):
        if j == 4 or j == 6 or j == 8 or j == 10:
            text[i] = c'-'
            i += 1
        text[i] = HEX[data[j] >> 4]
        text[i + 1] = HEX[data[j] & 15]
        i += 2
    return text[:36].decode("ascii")


cdef object uuid_bytes(object value):
    """What a UUID says its bytes are, asked once; None: it was not built to the end."""
    try:
        return value.bytes
    except AttributeError:
        return None


cdef int id_read_slow(object value, uint8_t *out) except -1:
    uuid_module = sys.modules.get("uuid")  # a program that has a UUID has imported it
    if PyUnicode_Check(value):
        if not id_parse_text(value if type(value) is str else str.__str__(value), out):
            _errors.raise_not_canonical(str.__str__(value))
    elif isinstance(value, bytes):
        if PyBytes_GET_SIZE(value) != ID_SIZE:
            raise InvalidIDError(
                f"id must be 16 bytes, not {PyBytes_GET_SIZE(value)}: {_errors.shown(value)}")
        memcpy(out, PyBytes_AS_STRING(value), ID_SIZE)
    elif uuid_module is not None and isinstance(value, uuid_module.UUID):
        read = uuid_bytes(value)
        if not isinstance(read, bytes) or PyBytes_GET_SIZE(read) != ID_SIZE:
            raise InvalidIDError(f"id must be a UUID that has 16 bytes, not {_errors.shown(value)}")
        memcpy(out, PyBytes_AS_STRING(read), ID_SIZE)
    else:
        _errors.raise_wrong_type(
            InvalidIDError, "id", "an ID, a UUID, its canonical str, 16 bytes or a Job", value)
    if out[6] >> 4 != 4 or out[8] >> 6 != 2:
        _errors.raise_not_version_4(id_text(out))
    return 0


cdef int id_read_other(object value, uint8_t *out) except -1:
    if type(value) is ID:
        memcpy(out, (<ID> value).data, ID_SIZE)
        return 0
    return id_read_slow(value, out)


cdef int id_make(uint8_t *out) except -1:
    random_fill(out, ID_SIZE)
    id_stamp(out)
    return 0


cdef object id_object(const uint8_t *data):
    cdef ID made = <ID> pool_take(&id_pool, ID, 0)
    memcpy(made.data, data, ID_SIZE)
    return made


cdef slab_t id_pool


cdef void id_dealloc(PyObject *self) noexcept:
    pool_give(&id_pool, self, 0)


cdef object id_new(PyObject *cls, PyObject *args, PyObject *kwargs):
    # ID(value) and ID.__new__(ID, value) alike, so that no half-built ID exists.
    cdef uint8_t data[ID_SIZE]
    if PyTuple_GET_SIZE_(args) != 1 or (kwargs != NULL and <dict> kwargs):
        raise TypeError("ID() takes exactly one positional argument")
    id_read(<object> PyTuple_GET_ITEM_(args, 0), data)
    return id_object(data)


@cython.final
@cython.no_gc
cdef class ID:
    """ID(value, /)
--

    A job's id: 16 bytes, UUID version 4 (RFC 4122).

    ``value`` is 16 bytes, a ``uuid.UUID``, its canonical text, another ID, or a Job. Ids hash,
    order bytewise, and turn into ``bytes(id)``, ``str(id)`` and ``id.uuid``.

    Raises InvalidIDError for anything else.

    >>> id = ID.new()
    >>> ID.parse(str(id)) == ID(bytes(id)) == ID(id.uuid) == id
    True
    """

    @staticmethod
    def new():
        """A fresh random id, from the operating system's CSPRNG."""
        cdef uint8_t data[ID_SIZE]
        id_make(data)
        return id_object(data)

    @staticmethod
    def parse(text):
        """The id of a canonical text, ``xxxxxxxx-xxxx-4xxx-xxxx-xxxxxxxxxxxx``.

        Raises InvalidIDError.
        """
        if not isinstance(text, str):
            _errors.raise_wrong_type(InvalidIDError, "id", "a str to be parsed", text)
        return ID(text)

    @property
    def uuid(self):
        """The same as a ``uuid.UUID``."""
        import uuid
        return uuid.UUID(bytes=bytes(self))

    def __bytes__(self):
        return PyBytes_FromStringAndSize(<char *> self.data, ID_SIZE)

    def __str__(self):
        return id_text(self.data)

    def __repr__(self):
        return f"ID('{id_text(self.data)}')"

    def __hash__(self):
        return <Py_hash_t> (id_hash(self.data, hash_seed) >> 1)

    def __richcmp__(self, other, int op):
        if type(other) is not ID:
            return NotImplemented
        return order_holds(memcmp(self.data, (<ID> other).data, ID_SIZE), op)

    def __reduce__(self):
        return ID, (bytes(self),)


type_set(ID, NULL, <void *> id_new, NULL, <void *> id_dealloc)


cdef bint order_holds(int order, int op) noexcept:
    if op == Py_EQ:
        return order == 0
    if op == Py_NE:
        return order != 0
    if op == Py_LT:
        return order < 0
    if op == Py_LE:
        return order <= 0
    if op == Py_GT:
        return order > 0
    return order >= 0

# ---------------------------------------------------------------- rules

cdef enum:
    NAMES_KNOWN = 64              # a power of two


cdef void *names_known[NAMES_KNOWN]  # strs that were found valid, owned, by address; with the GIL only


cdef inline str name_read_known(object value):
    """name_read, without looking again at a str that was just found valid."""
    cdef Py_ssize_t i = (<size_t> <void *> value >> 4) & (NAMES_KNOWN - 1)
    if names_known[i] == <void *> value:
        return <str> value
    return name_read_new(value, i)


cdef str name_read_new(object value, Py_ssize_t i):
    cdef str name = name_read(value)
    if HAS_GIL:
        ref_take(<void *> name)
        if names_known[i] != NULL:
            ref_drop(names_known[i])
        names_known[i] = <void *> name if name is value else NULL
        if name is not value:
            ref_drop(<void *> name)
    return name

# ---------------------------------------------------------------- the same rules, for validation.py

def check_id(value):
    cdef uint8_t data[16]
    id_read(value, data)

# ---------------------------------------------------------------- Job

cdef enum:
    SLOTS = 11                    # arguments of Job
    SLOTS_POSITIONAL = 2          # of which these many may be given by position


cdef tuple JOB_ARGS = (
    "name", "payload", "id", "priority", "ttr", "ttl", "max_attempts", "max_fails", "time", "created",
    "unique",
)


cdef PyObject *job_args[SLOTS]


for _i in range(SLOTS):
    job_args[<int> _i] = PyTuple_GET_ITEM_(<PyObject *> JOB_ARGS, _i)


cdef object job_object(const job_t *job):
    """The Job around a job_t."""
    return <object> <PyObject *> (<char *> job - OBJECT_HEAD)


cdef inline int slot_of(PyObject *key) except -1:
    cdef int i
    for i in range(SLOTS):
        if job_args[i] == key:
            return i
    return slot_of_other(key)


cdef int slot_of_other(PyObject *key) except -1:
    cdef int i
    for i in range(SLOTS):
        if <str> job_args[i] == <object> key:
            return i
    raise TypeError(_errors.job_keyword_text(<object> key, JOB_ARGS))


cdef inline int slot_fill(PyObject **slots, PyObject *key, PyObject *value) except -1:
    cdef int i = slot_of(key)
    if slots[i] != NULL:
        raise TypeError(f"Job() got multiple values for argument {JOB_ARGS[i]!r}")
    slots[i] = value
    return 0


cdef bytes EMPTY = b""
cdef slab_t job_pools[(PAYLOAD_SMALL >> 4) + 1]  # by the space for the payload, in steps of 16 bytes


cdef void job_dealloc(PyObject *self) noexcept:
    cdef job_t *c = <job_t *> (<char *> self + OBJECT_HEAD)
    if c.name != NULL:
        ref_drop(c.name)
    if c.payload != NULL:
        ref_drop(c.payload)
    if c.flags & JOB_UNIQUE:
        ref_drop(job_unique(c).key)
        long_give(self)
    else:
        pool_give(&job_pools[payload_space(c) >> 4], self, record_space() + payload_space(c))


cdef inline Job job_take_plain(bytes payload):
    """A Job that is blank but for its payload."""
    cdef size_t size = PyBytes_GET_SIZE(payload)
    cdef bint copies = size <= PAYLOAD_SMALL and ids_far(&ids_ahead)
    cdef size_t room = whole_steps(size) if copies else 0
    cdef Job job = <Job> pool_take(&job_pools[room >> 4], Job, record_space() + room)
    struct_clear(&job.c, sizeof(job_t))
    job.c.payload_size = <uint32_t> size
    if copies:
        memcpy(<char *> payload_data(&job.c), PyBytes_AS_STRING(payload), size)
    else:
        ref_take(<PyObject *> payload)
        job.c.payload = <PyObject *> payload
    return job


cdef Job job_take(object unique, bytes payload):
    """A Job that is blank but for its payload, and its key if it has one."""
    cdef bytes key
    cdef Job job
    if unique is None:
        return job_take_plain(payload)
    key = unique_read(unique)
    job = <Job> long_take(Job, sizeof(unique_t))
    struct_clear(&job.c, sizeof(job_t))
    ref_take(<PyObject *> key)
    job_unique(&job.c).key = <PyObject *> key
    job.c.flags = JOB_UNIQUE
    job.c.payload_size = <uint32_t> PyBytes_GET_SIZE(payload)
    ref_take(<PyObject *> payload)
    job.c.payload = <PyObject *> payload
    return job


cdef uint64_t key_hash(object name, object key) except? 0:
    """A hash of both, by those of Python, which strangers cannot foresee."""
    cdef uint64_t of_key = <uint64_t> <Py_hash_t> hash(key)
    return (of_key * <uint64_t> 0x9E3779B97F4A7C15) ^ <uint64_t> <Py_hash_t> hash(name)


cdef Job job_build(PyObject **slots):
    """Build a Job from its arguments; NULL stands for one that was not given."""
    cdef Job job
    cdef job_t *c
    cdef str name
    cdef bytes payload
    if slots[0] == NULL:
        raise TypeError("Job() missing 1 required positional argument: 'name', that of its queue")
    name = name_read_known(<object> slots[0])
    payload = EMPTY if slots[1] == NULL else payload_read(<object> slots[1])
    job = job_take_plain(payload) if slots[10] == NULL else job_take(<object> slots[10], payload)
    c = &job.c
    ref_take(<PyObject *> name)
    c.name = <PyObject *> name
    if slots[2] == NULL or <object> slots[2] is None:
        id_make(c.tie.id)
    else:
        id_read(<object> slots[2], c.tie.id)
        ids_fetch(&ids_ahead, c.tie.id)
    c.priority = 0
    if slots[3] != NULL:
        c.priority = <int32_t> int_read(
            <object> slots[3], PRIORITY_MIN, PRIORITY_MAX, InvalidPriorityError, "priority")
    c.ttr_ms = <uint32_t> (60000 if slots[4] == NULL else ttr_read(<object> slots[4]))
    c.ttl_ms = <uint32_t> (86400000 if slots[5] == NULL else ttl_read(<object> slots[5], 1, "ttl"))
    if slots[6] != NULL:
        c.max_attempts = <uint8_t> int_read(
            <object> slots[6], 0, ATTEMPTS_MAX, InvalidMaxAttemptsError, "max_attempts")
    if slots[7] != NULL:
        c.max_fails = <uint8_t> int_read(
            <object> slots[7], 0, FAILS_MAX, InvalidMaxFailsError, "max_fails")
    c.time_ns = NEVER_NS
    if slots[8] != NULL and <object> slots[8] is not None:
        c.time_ns = time_read(<object> slots[8], "time")
    if slots[9] != NULL and <object> slots[9] is not None:
        c.tie.created_ns = time_read(<object> slots[9], "created")
        c.flags |= JOB_CREATED_GIVEN
    else:
        c.tie.created_ns = stamp_next()
    if c.flags & JOB_UNIQUE:
        job_unique(c).hash = key_hash(job.name, job.unique)
    return job


cdef inline int slots_begin(PyObject **slots, PyObject *const *args, Py_ssize_t given) except -1:
    cdef Py_ssize_t i
    if given > SLOTS_POSITIONAL:
        raise TypeError(_errors.positional_text(given, JOB_ARGS))
    for i in range(SLOTS):
        slots[i] = args[i] if i < given else NULL
    return 0


cdef object job_vectorcall(PyObject *cls, PyObject *const *args, size_t nargsf, PyObject *kwnames):
    cdef PyObject *slots[SLOTS]
    cdef Py_ssize_t i, given = PyVectorcall_NARGS(nargsf)
    slots_begin(slots, args, given)
    if kwnames != NULL:
        for i in range(PyTuple_GET_SIZE_(kwnames)):
            slot_fill(slots, PyTuple_GET_ITEM_(kwnames, i), args[given + i])
    return job_build(slots)


cdef object job_new(PyObject *cls, PyObject *args, PyObject *kwargs):
    # Job.__new__(Job, ...): the same as Job(...), so that no half-built Job exists.
    cdef PyObject *slots[SLOTS]
    slots_begin(slots, tuple_items(args), PyTuple_GET_SIZE_(args))
    if kwargs != NULL:
        for key, value in (<dict> kwargs).items():
            slot_fill(slots, <PyObject *> key, <PyObject *> value)
    return job_build(slots)


def _job_restore(dict fields, int64_t created_ns, bint created_given):
    """Rebuild a pickled Job, with its stamp to the nanosecond."""
    cdef Job job = Job(**fields)
    job.c.tie.created_ns = created_ns
    job.c.flags = <uint8_t> ((job.c.flags & ~JOB_CREATED_GIVEN) | created_given)
    return job


@cython.final
@cython.no_gc
cdef class Job:
    """Job(name, payload=b'', *, id=None, priority=0, ttr=60000, ttl=86400000, max_attempts=0, \
max_fails=0, time=None, created=None, unique=None)
--

    One piece of work: the immutable half of a job's life.

    name: the queue it goes to, 1 to 255 of ``A-Z a-z 0-9 _ . -``.
    payload: bytes, at most 1 048 576; other bytes-like input is copied.
    id: an id in any form; a fresh random one when None.
    priority: an int of 32 bits with sign, high first.
    ttr: time to run, ms or timedelta, 1 ms to 24 h: a lease not answered by then goes back.
    ttl: time to live, ms or timedelta, 1 ms to 30 days.
    max_attempts, max_fails: 0 to 255; 0 is no limit of its own.
    time: aware datetime at which a scheduled job becomes ready.
    created: aware datetime; now when None, and then stamped again by the controller that takes it.
    unique: a key, 1 to 255 bytes: an engine takes no second unprocessed job of this name with it.

    Equal and hashed by id. Raises the ValidationError of the rule that is broken.

    >>> job = Job("mail.send", b"to: you", priority=5)
    >>> job.name, job.payload, job.priority, job.ttr
    ('mail.send', b'to: you', 5, 60000)
    >>> job.replace(priority=7) == job
    True
    """

    @property
    def id(self):
        """Its ID."""
        return id_object(self.c.tie.id)

    @property
    def name(self):
        """The name of its queue."""
        return <object> <PyObject *> self.c.name

    @property
    def payload(self):
        """Its bytes."""
        if self.c.payload != NULL:
            return <object> <PyObject *> self.c.payload
        return PyBytes_FromStringAndSize(payload_data(&self.c), self.c.payload_size)

    @property
    def priority(self):
        """High goes first."""
        return self.c.priority

    @property
    def ttr(self):
        """Time to run in ms."""
        return self.c.ttr_ms

    @property
    def ttl(self):
        """Time to live in ms."""
        return self.c.ttl_ms

    @property
    def max_attempts(self):
        """Attempts allowed; 0: no limit of its own."""
        return self.c.max_attempts

    @property
    def max_fails(self):
        """Failures allowed; 0: no limit of its own."""
        return self.c.max_fails

    @property
    def time(self):
        """Scheduled time, UTC, or None."""
        return None if self.c.time_ns == NEVER_NS else time_object(self.c.time_ns)

    @property
    def time_ns(self):
        """Scheduled time in ns since 1970, or None."""
        return None if self.c.time_ns == NEVER_NS else self.c.time_ns

    @property
    def created(self):
        """When it was created, UTC; stamped by the controller unless it was given."""
        return time_object(self.c.tie.created_ns)

    @property
    def created_ns(self):
        """When it was created, in ns since 1970."""
        return self.c.tie.created_ns

    @property
    def unique(self):
        """Its key, or None."""
        return <object> <PyObject *> job_unique(&self.c).key if self.c.flags & JOB_UNIQUE else None

    @property
    def expiration(self):
        """(time or created) + ttl, UTC."""
        cdef int64_t start = self.c.time_ns
        if start == NEVER_NS:
            start = self.c.tie.created_ns
        return time_object(start + <int64_t> self.c.ttl_ms * NS_PER_MS)

    def replace(self, **changes):
        """A Job with some arguments changed, the id among the rest kept. Raises as Job()."""
        fields = job_fields(self)
        if self.c.flags & JOB_CREATED_GIVEN:
            fields["created"] = self.created
        fields.update(changes)
        return Job(**fields)

    def __hash__(self):
        return <Py_hash_t> (id_hash(self.c.tie.id, hash_seed) >> 1)

    def __eq__(self, other):
        if type(other) is not Job:
            return NotImplemented
        return memcmp(self.c.tie.id, (<Job> other).c.tie.id, ID_SIZE) == 0

    def __repr__(self):
        payload = self.payload
        text = repr(payload if len(payload) <= 32 else payload[:32])
        if len(payload) > 32:
            text += f"… ({len(payload)} bytes)"
        when = "" if self.c.time_ns == NEVER_NS else f" time={self.time.isoformat()}"
        if self.c.flags & JOB_UNIQUE:
            when += f" unique={_errors.shown(self.unique)}"
        return (f"<Job {id_text(self.c.tie.id)} name={self.name!r} priority={self.priority}"
                f" payload={text}{when}>")

    def __reduce__(self):
        return _job_restore, (job_fields(self), self.c.tie.created_ns, bool(self.c.flags & JOB_CREATED_GIVEN))


cdef dict job_fields(Job job):
    return {
        "name": job.name, "payload": job.payload, "id": bytes(job.id), "priority": job.priority,
        "ttr": job.ttr, "ttl": job.ttl, "max_attempts": job.max_attempts,
        "max_fails": job.max_fails, "time": job.time, "unique": job.unique,
    }


type_set(Job, <void *> job_vectorcall, <void *> job_new, NULL, <void *> job_dealloc)
