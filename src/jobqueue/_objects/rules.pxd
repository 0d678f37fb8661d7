"""Each rule of a single value: see rules.pyx."""

from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t

from jobqueue._structures.platform cimport small_int
from jobqueue._machine.types cimport PAYLOAD_MAX_SIZE, RESULT_MAX_SIZE, TIMEOUT_MAX_MS

cdef int64_t time_read(object value, str what) except? -1
cdef int64_t clock_read(object value, str what) except? -1

cdef str name_read(object value)
cdef bytes reason_read(object value)
cdef bytes result_read_other(object value)
cdef int64_t timeout_read_other(object value, str what) except -1
cdef int64_t ttr_read(object value) except -1
cdef int64_t ttl_read(object value, int64_t low, str what) except -2
cdef object EPOCH
cdef object time_object(int64_t ns)

cdef inline void *result_plain(object value) noexcept:
    """A result that is what the rule of results wants, borrowed; NULL: result_read has to see it."""
    if PyBytes_CheckExact(value) and PyBytes_GET_SIZE(value) <= RESULT_MAX_SIZE:
        return <PyObject *> value
    return NULL

cdef inline bytes result_read(object value):
    """The rule of results, as exact bytes."""
    if result_plain(value) != NULL:
        return <bytes> value
    return result_read_other(value)

cdef inline int64_t timeout_read(object value, str what) except -1:
    """The rule of time-outs, in ms."""
    cdef int64_t ms
    if small_int(value, &ms) and 0 <= ms <= TIMEOUT_MAX_MS:
        return ms
    return timeout_read_other(value, what)

cdef extern from *:
    """
    static inline int jq_is_int(PyObject *o) { return PyLong_Check(o) && !PyBool_Check(o); }
    static inline PyObject *const *jq_tuple_items(PyObject *t) { return ((PyTupleObject *)t)->ob_item; }
    static inline int jq_is_ascii(PyObject *o)
    {
        return PyUnicode_IS_COMPACT_ASCII(o);
    }
    static inline Py_ssize_t jq_ascii_size(PyObject *o) { return PyUnicode_GET_LENGTH(o); }
    static inline const uint8_t *jq_ascii(PyObject *o) { return (const uint8_t *)PyUnicode_DATA(o); }
    """
    bint is_int "jq_is_int" (object o)
    bint is_ascii "jq_is_ascii" (object o)
    Py_ssize_t ascii_size "jq_ascii_size" (object o)
    const uint8_t *ascii_data "jq_ascii" (object o)
    PyObject *PyTuple_GET_ITEM_ "PyTuple_GET_ITEM" (PyObject *t, Py_ssize_t i)
    PyObject *const *tuple_items "jq_tuple_items" (PyObject *t)
    Py_ssize_t PyTuple_GET_SIZE_ "PyTuple_GET_SIZE" (PyObject *t)
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)
    bint PyObject_CheckBuffer(object o)

cdef bytes unique_read(object value)

# ---------------------------------------------------------------- rules

cdef inline bytes payload_read(object value):
    if PyBytes_CheckExact(value) and PyBytes_GET_SIZE(value) <= PAYLOAD_MAX_SIZE:
        return <bytes> value
    return payload_read_other(value)

cdef inline int64_t int_read(
        object value, int64_t low, int64_t high, error, str what) except? -1:
    cdef int64_t number
    if small_int(value, &number) and low <= number <= high:
        return number
    return int_read_other(value, low, high, error, what)

cdef int64_t int_read_other(
    object value, int64_t low, int64_t high, error, str what) except? -1

cdef bytes payload_read_other(object value)
