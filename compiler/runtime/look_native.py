"""Looks at many tensors in one call of C, by the table of functions with which torch serves DLPack.

Without a compiler, or in a torch that has no such table, Python goes on looking. This file's text is part of each
generated module that was compiled `--with native`.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from torch import Tensor

from .cc import compiled_c
from .look import ORDINARY, Seen, look_by_python

C_LOOK = r"""
#include <stdint.h>

typedef void Object; // what follows is CPython's stable interface, and DLPack's
extern intptr_t PyList_Size(Object *);
extern Object *PyList_GetItem(Object *, intptr_t), *PyObject_Type(Object *);
extern int PyDict_Next(Object *, intptr_t *, Object **, Object **);
extern void PyErr_Clear(void), Py_DecRef(Object *);

typedef struct {
    void *data;
    int32_t device, device_index, ndim;
    uint8_t kind, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t offset;
} Layout;

typedef struct {
    uint32_t major, minor;
    void *older, *allocate, *take, *give;
    int (*describe)(Object *, Layout *);
} Table;

int usable(const Table *table) { return table->major == 1 && table->describe; }

static int is_a(Object *x, const Object *type) {
    Object *own = PyObject_Type(x);
    Py_DecRef(own);
    return own == type;
}

/* To `out`: a word for the address of each tensor; four for its kind, and its shape and strides; one for each object
   that the lists and dictionaries hold, where what is no dictionary holds nothing. Returns how many words that takes,
   which may be more than there is room for, and then not all are written; -1 where something is not a tensor of one of
   the two types, or has no memory. */
int64_t look(const Table *table, const Object *tensor, const Object *parameter,
             Object *tensors, Object *lists, Object *dictionaries, int64_t *out, int64_t room) {
    int64_t count = PyList_Size(tensors), n = count;
#define PUT(word) do { if (n < room) out[n] = (int64_t)(word); n++; } while (0)
    for (int64_t i = 0; i < count; i++) {
        Layout x;
        Object *one = PyList_GetItem(tensors, i);
        if (!is_a(one, tensor) && !is_a(one, parameter)) return -1;
        if (table->describe(one, &x)) {
            PyErr_Clear();
            return -1;
        }
        if (i < room) out[i] = (int64_t)x.data;
        PUT(x.device); PUT(x.device_index); PUT(x.kind << 8 | x.bits); PUT(x.ndim);
        for (int axis = 0; axis < x.ndim; axis++) { PUT(x.shape[axis]); PUT(x.strides[axis]); }
    }
    for (int64_t i = 0; i < PyList_Size(lists); i++) {
        Object *list = PyList_GetItem(lists, i);
        PUT(PyList_Size(list));
        for (int64_t at = 0; at < PyList_Size(list); at++) PUT(PyList_GetItem(list, at));
    }
    for (int64_t i = 0; i < PyList_Size(dictionaries); i++) {
        Object *dictionary = PyList_GetItem(dictionaries, i), *key, *value;
        for (intptr_t at = 0; PyDict_Next(dictionary, &at, &key, &value);) PUT(value);
    }
    return n;
}
"""


class Look:
    """What C sees, by a function of a library and the table that it needs."""

    def __init__(self, function: Any, table: ctypes.c_void_p) -> None:
        self.function, self.table = function, table
        self.words = (ctypes.c_int64 * 0)()

    def __call__(self, tensors: list[Tensor], lists: list[list[Any]], memories: list[dict[str, Any]]) -> Seen:
        given = tensors, lists, memories
        count = self.function(self.table, *ORDINARY, *given, self.words, len(self.words))
        if count < 0:
            return None
        if count > len(self.words):
            self.words = (ctypes.c_int64 * (2 * count))()
            return self(*given)
        seen = memoryview(self.words).cast("B")
        return bytes(seen[: 8 * len(tensors)]), bytes(seen[8 * len(tensors) : 8 * count])


OFTEN = 1 << 16
"""Tensors that Python may look at before the compiler is started: that takes about as long as a compiler does."""


class Looks:
    """The best way that there is to look: C's, once it is worth a compiler, and that is done."""

    def __init__(self) -> None:
        self.best: Any = look_by_python
        self.left = OFTEN if hasattr(Tensor, "__dlpack_c_exchange_api__") else 1 << 62

    def used(self, tensors: int) -> None:
        """Counts tensors that were looked at."""
        if self.best is look_by_python:
            self.left -= tensors
            if self.left < 0 and (code := compiled_c(C_LOOK, ())).get(wait=False) is not None:
                self.best = look_by_c(code.path)


LOOKS = Looks()


def look_by_c(path: Path) -> Any:
    """The look of a library; Python's where torch's table is of a version that it does not know."""
    pointer_in = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_in.restype, pointer_in.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.c_void_p(pointer_in(Tensor.__dlpack_c_exchange_api__, b"dlpack_exchange_api"))
    library = ctypes.PyDLL(str(path))  # keeps Python's lock while it looks
    library.look.restype = ctypes.c_int64
    library.look.argtypes = [ctypes.c_void_p, *[ctypes.py_object] * 5, ctypes.c_void_p, ctypes.c_int64]
    return Look(library.look, table) if library.usable(table) else look_by_python
