"""Whether arrays are what the compiled halves read (compiled half of imuposture/_checks.py).

In Python this would cost more than the rows of a live block. What is wrong, the Python half finds out.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport fabs

cdef enum:
    BOUND = 1_000_000_000

LIMIT = float(BOUND)

cdef char FLAGS = b"f", ZERO = b"0", OF_FLAGS = b"B", OF_NUMBERS = b"d"


def fit(Py_ssize_t rows, bytes kinds, tuple arrays):
    """Say whether all arrays are C-contiguous and of their kind.

    kinds  one character an array: b"1" for float64 (rows,), b"2" to b"9" for float64 (rows, 2) to (rows, 9), b"f" for
           uint8 (rows,)
    """
    cdef Py_ssize_t i
    cdef const char *kind = kinds
    if len(kinds) != len(arrays):
        return False
    for i in range(len(arrays)):
        if not _fits(arrays[i], kind[i], rows):
            return False
    return True


def sound(tuple arrays):
    """Say whether all numbers in arrays that fit, float64, are finite and within LIMIT."""
    cdef Py_buffer view
    cdef bint good = True
    for array in arrays:
        PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS)
        good = good and _is_sound(<const double *>view.buf, view.len // <Py_ssize_t>sizeof(double))
        PyBuffer_Release(&view)
    return good


cdef bint _fits(array, char kind, Py_ssize_t rows):
    cdef Py_buffer view
    cdef Py_ssize_t width = 1 if kind == FLAGS else kind - ZERO
    cdef char letter = OF_FLAGS if kind == FLAGS else OF_NUMBERS
    cdef bint fits
    try:
        PyObject_GetBuffer(array, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    except (BufferError, TypeError, ValueError):
        return False
    fits = view.format[0] == letter and view.format[1] == 0
    fits = fits and view.ndim == (1 if width == 1 else 2)
    fits = fits and view.shape[0] == rows and (width == 1 or view.shape[1] == width)
    PyBuffer_Release(&view)
    return fits


cdef bint _is_sound(const double *x, Py_ssize_t count) noexcept nogil:
    """A choice and no branch, so that the compiler takes several values at a time; NaN is within nothing."""
    cdef double good = 1.0
    cdef Py_ssize_t i
    for i in range(count):
        good = good if fabs(x[i]) <= BOUND else 0.0
    return good == 1.0
