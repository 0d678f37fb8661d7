/* Py_INCREF, where the interpreter's own is slow.
 *
 * CPython 3.12 and 3.13 write a count of references with 32 bits in Py_INCREF and read it with 64 in
 * Py_DECREF. A processor cannot pass a narrow store on to a wider load, and waits some 12 cycles for
 * the store to be done: for each reference that is taken and soon dropped, which is most of them. This
 * one takes them with 64 bits. The upper half is 0 unless the object is immortal, and the count of an
 * immortal object is left alone, so it counts the same.
 */
#ifndef JQ_REFERENCES_H
#define JQ_REFERENCES_H

#include "Python.h"
#include <stdint.h>

#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030E0000 && SIZEOF_VOID_P > 4 \
    && !defined(Py_GIL_DISABLED) && !defined(Py_REF_DEBUG) && !defined(Py_LIMITED_API)
static inline void jq_ref_take(PyObject *o)
{
    if ((int32_t)o->ob_refcnt >= 0)
        o->ob_refcnt++;
}
#undef Py_INCREF
#define Py_INCREF(o) jq_ref_take(_PyObject_CAST(o))
#endif

#endif
