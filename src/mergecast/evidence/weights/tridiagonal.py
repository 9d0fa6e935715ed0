"""All eigenvalues and both ends' eigenvectors of a symmetric matrix, without the GIL.

LAPACK's steps one by one (reduce to tridiagonal form, all values by QR iteration, the wanted
vectors by MRRR, transform back), because its drivers compute either all vectors or the values of
one range only. The routines are SciPy's own, reached through the pointers that
``scipy.linalg.cython_lapack`` publishes for this: SciPy's Python wrappers of them hold the GIL,
which would leave one core to all workers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.linalg import cython_lapack

from mergecast.errors import UndefinedError
from mergecast.typing import Array


def symmetric_ends(matrix: Array, k: int) -> tuple[Array, Array]:
    """Eigenvalues and extreme eigenvectors of a symmetric float64 matrix.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        Only one triangle is read.
    k : int
        Vectors wanted at each end; 2k ≤ n.

    Returns
    -------
    values : ndarray of shape (n,)
        All of them, descending.
    vectors : ndarray of shape (2k, n)
        Of the first k values, then of the last k, as rows.
    """
    n = matrix.shape[0]
    packed = np.array(matrix, dtype=np.float64, order="F")
    diagonal, off, tau = np.empty(n), np.empty(n), np.empty(n)
    work = np.empty(64 * n)
    _call("dsytrd", b"L", n, packed, n, diagonal, off, tau, work, work.size)
    values, rest = diagonal.copy(), off.copy()
    _call("dsterf", n, values, rest)
    vectors = np.empty((n, 2 * k), order="F")
    for columns, first, last in ((slice(0, k), n - k + 1, n), (slice(k, 2 * k), 1, k)):
        vectors[:, columns] = _tridiagonal_vectors(diagonal, off, first, last)[:, ::-1]
    _call(*("dormtr", b"L", b"L", b"N", n, 2 * k, packed, n, tau, vectors, n, work, work.size))
    return values[::-1], vectors.T


def _tridiagonal_vectors(diagonal: Array, off: Array, first: int, last: int) -> Array:
    """Eigenvectors number `first` to `last` (ascending, from 1) as columns."""
    n, count = diagonal.size, last - first + 1
    vectors = np.empty((n, count), order="F")
    how_many = np.zeros(1, dtype=np.intc)
    support, integers = np.empty(2 * count, dtype=np.intc), np.empty(10 * n, dtype=np.intc)
    values, work = np.empty(n), np.empty(18 * n)
    accurate = np.ones(1, dtype=np.intc)
    limits = (0.0, 0.0, first, last)
    _call(
        *("dstemr", b"V", b"I", n, diagonal.copy(), off.copy(), *limits, how_many, values, vectors),
        *(n, count, support, accurate, work, work.size, integers, integers.size),
    )
    return vectors


def _call(routine: str, *arguments: bytes | int | float | Array) -> None:
    """Call a LAPACK routine; every argument goes by reference, ``info`` is added and checked."""
    info = ctypes.c_int(0)
    scalars: list[ctypes.c_int | ctypes.c_double | ctypes.c_char] = []
    pointers: list[int] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            pointers.append(argument.ctypes.data)
            continue
        if isinstance(argument, bytes):
            scalars.append(ctypes.c_char(argument))
        elif isinstance(argument, int):
            scalars.append(ctypes.c_int(argument))
        else:
            scalars.append(ctypes.c_double(argument))
        pointers.append(ctypes.addressof(scalars[-1]))
    _function(routine, len(pointers) + 1)(*pointers, ctypes.addressof(info))
    if info.value != 0:
        raise UndefinedError("task matrix", f"LAPACK {routine} failed with info={info.value}")


@cache
def _function(routine: str, arguments: int) -> Callable[..., None]:
    capsule: object = vars(cython_lapack)["__pyx_capi__"][routine]
    name_of, pointer_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = pointer_of(capsule, name_of(capsule))
    function: Callable[..., None] = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)(address)
    return function
