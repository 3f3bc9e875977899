"""Chooses the device and its number type, and loads a fast BLAS for MLX.

Call `prepare` before anything imports mlx.
"""

import ctypes
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from engine.contract.errors import InputError

BLAS_PACKAGE = "cmeel-openblas"
BLAS_FILE = "libopenblas.so.0"
FORTRAN_FILE = "libgfortran.so.5"  # OpenBLAS needs it, and many systems do not have it
FORTRAN_PACKAGE = "mlx-cpu"  # contains the same library under another name
SLOW_GFLOPS = 30.0  # MLX's own reference BLAS reaches about 7, OpenBLAS hundreds
PRODUCT_SIZE = 768
TRIES = 3
OPEN_FILES = 4096
ADDRESS_SPACE = 2 << 30  # bytes
TEMPORARY = ("TMPDIR", "TMP", "TEMP", "TEMPDIR")  # C++ reads these and does not check that the folder is usable
BREADTH = "1000"  # arrays that MLX schedules breadth first; if an adapter has more, MLX runs the lanes one by one


@dataclass(frozen=True, slots=True)
class Backend:
    """The device that the engine computes on.

    - `dtype`: the fast number type of the device
    - `blas`: file name of the library loaded for MLX; None if MLX uses its own
    - `gflops`: speed of one fp32 matrix product, in GFLOP/s
    - `warning`: a sentence if that speed shows that MLX does not use the fast BLAS
    """

    device: Literal["cpu", "gpu"]
    dtype: Literal["float32", "bfloat16"]
    blas: str | None
    gflops: float
    warning: str | None


@cache
def prepare() -> Backend:
    """Loads the fast BLAS, imports mlx and times one product; later calls return the first result.

    Raises InputError if there is no folder for temporary files, since MLX compiles into it during training. Also raises
    it if the limit on open files is too low.
    """
    require_temporary_folder()
    require_open_files()
    require_address_space()
    imported_before = "mlx.core" in sys.modules
    library = find_blas()
    if library is None:
        reason = f"the package {BLAS_PACKAGE} is not installed"
    elif imported_before:
        reason = f"mlx was imported before {library.name} could be loaded"
    else:
        try:
            load_blas(library)
            reason = f"{library.name} was loaded, but mlx does not use it or the machine is busy"
        except OSError as error:
            reason, library = f"{library.name} cannot be loaded ({error})", None

    os.environ.setdefault("MLX_BFS_MAX_WIDTH", BREADTH)

    import mlx.core as mx

    gpu = mx.default_device().type == mx.DeviceType.gpu
    gflops = time_product()
    slow = not gpu and gflops < SLOW_GFLOPS
    return Backend(
        device="gpu" if gpu else "cpu",
        dtype="bfloat16" if gpu else "float32",
        blas=library.name if library and not imported_before else None,
        gflops=gflops,
        warning=f"Matrix products run at {gflops:.0f} GFLOP/s, which is slow: {reason}." if slow else None,
    )


def require_temporary_folder() -> None:
    """Raises InputError if the folder that the environment names for temporary files cannot be written."""
    for name in TEMPORARY:
        if (folder := os.environ.get(name)) and not (Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise InputError(f"{name}: {folder}: no folder that can be written; name one that can, or unset {name}")


def require_open_files() -> None:
    """Raises InputError if the limit on open files is below the number that mlx-lm requests when it is imported."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        raise InputError(
            f"ulimit -n: found {hard}, expected {OPEN_FILES} at least; mlx-lm asks for that many open files"
        )


def require_address_space() -> None:
    """Raises InputError if the limit on address space is too low, since OpenBLAS then retries forever."""
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft != resource.RLIM_INFINITY and soft < ADDRESS_SPACE:
        raise InputError(
            f"ulimit -v: found {soft >> 20:,} MB, expected {ADDRESS_SPACE >> 20:,} MB at least; the linear algebra "
            "libraries reserve that much"
        )


def process_bytes() -> int:
    """Returns the peak memory of this process, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def memory_bytes() -> int:
    """Returns the memory available to a run, in bytes: the device's recommended limit, or all memory of the machine."""
    import mlx.core as mx

    recommended = mx.device_info().get("max_recommended_working_set_size")  # Metal's: about three quarters
    return int(recommended) if recommended else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def find_blas() -> Path | None:
    """Returns the OpenBLAS library file of the installed package; None if it is not installed, as on macOS."""
    return next((file for file in installed_files(BLAS_PACKAGE) if file.name == BLAS_FILE), None)


def load_blas(library: Path) -> None:
    """Loads OpenBLAS with global symbols, so that mlx uses it for its matrix products. Raises OSError."""
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        if FORTRAN_FILE not in str(error):
            raise
        supply_fortran()
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def supply_fortran() -> None:
    """Loads the Fortran runtime from the mlx wheel under the name that OpenBLAS needs.

    A wheel's build tool renames the libraries that it bundles, in the file name and in the ELF SONAME. The system's
    loader searches the libraries already loaded for a dependency by SONAME. It therefore accepts a copy with the
    original name written over the longer bundled name. The bundled library is loaded first, since it knows the paths
    of its own dependencies.
    """
    stem = FORTRAN_FILE.partition(".")[0]
    for bundled in installed_files(FORTRAN_PACKAGE):
        if bundled.name.startswith(f"{stem}-"):
            ctypes.CDLL(str(bundled))
            name = bundled.name.encode()
            renamed = bundled.read_bytes().replace(name + b"\0", FORTRAN_FILE.encode().ljust(len(name) + 1, b"\0"))
            with tempfile.NamedTemporaryFile(suffix=FORTRAN_FILE) as copy:
                copy.write(renamed)
                copy.flush()
                ctypes.CDLL(copy.name)
            return


def installed_files(package: str) -> list[Path]:
    """Returns the files of an installed package; an empty list if it is not installed."""
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        return []
    return [path for path in (Path(str(file.locate())) for file in files) if path.exists()]


def time_product() -> float:
    """Returns the GFLOP/s of one square fp32 product on the default device, the best of a few tries."""
    import mlx.core as mx

    a = mx.random.normal((PRODUCT_SIZE, PRODUCT_SIZE), key=mx.random.key(0))  # leaves the global RNG state alone
    mx.eval(a @ a)
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        mx.eval(a @ a)
        seconds.append(time.perf_counter() - start)
    return 2e-9 * PRODUCT_SIZE**3 / min(seconds)
