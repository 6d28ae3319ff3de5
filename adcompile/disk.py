"""The compilation cache on disk: ``$ADCOMPILE_CACHE_DIR`` or ``~/.cache/adcompile``.

A file's name is a hash of everything its content depends on. Files are written aside and renamed, so that processes may
share the folder; what is read must carry its own hash. A folder that cannot be read or written, and a damaged file, are
warnings: whatever was to be read is made anew.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

_MAGIC = b"adcompile-1\n"
SUFFIXES = (".o", ".program")
"""Object code (`adcompile.backend.llvm.engine`), and what is known of a program before it is traced
(`adcompile.recall`)."""
_ASIDE = ".aside"


def folder() -> Path:
    """Where the files are kept."""
    return Path(os.environ.get("ADCOMPILE_CACHE_DIR") or Path.home() / ".cache" / "adcompile")


def key(*parts: str) -> str:
    """The name for what depends on some texts."""
    digest = _sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded) + encoded)
    return digest.hexdigest()


def read(name: str) -> bytes | None:
    """The content of a file; None where there is none, or none that checks out."""
    path = folder() / name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        warnings.warn(f"cannot read the compilation cache: {error}", RuntimeWarning, stacklevel=2)
        return None
    head, body = content[: len(_MAGIC) + 32], content[len(_MAGIC) + 32 :]
    if head == _MAGIC + _sha256(body).digest():
        return body
    warnings.warn(f"a damaged file in the compilation cache is replaced: {path}", RuntimeWarning, stacklevel=2)
    return None


def write(name: str, body: bytes) -> bool:
    """Write a file aside and rename it into place; whether that was possible."""
    import tempfile

    path = folder() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, aside = tempfile.mkstemp(dir=path.parent, suffix=_ASIDE)
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + _sha256(body).digest() + body)
        os.replace(aside, path)
    except OSError as error:
        warnings.warn(f"cannot write the compilation cache: {error}", RuntimeWarning, stacklevel=2)
        return False
    return True


def clear() -> int:
    """Delete the files; how many there were."""
    files = [f for suffix in (*SUFFIXES, _ASIDE) for f in folder().glob(f"*{suffix}")]
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def _sha256(content: bytes = b""):
    import hashlib

    return hashlib.sha256(content)
