"""What goes through all jobs, in slices: see slices.pyx."""

from jobqueue._structures.id_table cimport ids_t, ids_walk_t
from jobqueue._machine.types cimport engine_t, outcome_t, queue_t
from jobqueue._machine.life cimport entrant_t

cdef bint queue_clear(queue_t *queue, Py_ssize_t count) noexcept nogil
cdef void engine_clear_begin(engine_t *engine, ids_t *ids) noexcept nogil

cdef bint engine_clear(
    engine_t *engine, const ids_t *ids, ids_walk_t *walk, Py_ssize_t buckets) noexcept nogil

cdef void engine_clear_end(engine_t *engine, ids_t *ids) noexcept nogil

cdef bint engine_end_waits(
    engine_t *engine, outcome_t outcome, ids_walk_t *walk, Py_ssize_t buckets) noexcept nogil

cdef Py_ssize_t entrants_fit(engine_t *engine, entrant_t *entrants, Py_ssize_t count) noexcept nogil
cdef bint capacity_count(engine_t *engine, ids_walk_t *walk, Py_ssize_t buckets) noexcept nogil
