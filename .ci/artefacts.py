"""Look into the sdist and the wheel: every source of the core in the one, every compiled module in the other.

Run: ``python .ci/artefacts.py DIST``. A file that the sdist lacks would give a wheel without a core, and no error.
"""

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
(sdist,), (wheel,) = (list(Path(sys.argv[1]).glob(ending)) for ending in ("*.tar.gz", "*.whl"))

with tarfile.open(sdist) as archive:
    packed = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
needed = {f"ext/{file.name}" for file in (ROOT / "ext").iterdir() if file.suffix in {".pyx", ".pxd", ".h", ".c"}}
if missing := sorted(needed - packed):
    raise SystemExit(f"{sdist.name} lacks {', '.join(missing)}; name them in setup.py")

held = set(zipfile.ZipFile(wheel).namelist())
built = {name.split(".")[0] for name in held if name.endswith((".so", ".pyd"))}
if missing := sorted({f"imuposture/_ext/{file.stem}" for file in (ROOT / "ext").glob("*.pyx")} - built):
    raise SystemExit(f"{wheel.name} lacks {', '.join(missing)}")
strays = sorted(name for name in held if not name.startswith(("imuposture/", "imuposture-")))
if strays or "imuposture/py.typed" not in held:
    raise SystemExit(f"{wheel.name}: strays {strays}, py.typed {'imuposture/py.typed' in held}")
print(f"{sdist.name}: {len(packed)} files; {wheel.name}: {len(held)} files, {wheel.stat().st_size / 1e6:.1f} MB")
