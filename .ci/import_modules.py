"""Import compiled modules, given by their .pyx files; fails where one comes from elsewhere than it should.

Run: ``python .ci/import_modules.py --below FOLDER [--debug] ext/*.pyx``
"""

import argparse
import importlib
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--below", type=Path, required=True, help="folder in which every module must lie")
parser.add_argument("--debug", action="store_true", help="expect the bounds-checked build, which has no stable ABI")
parser.add_argument("sources", type=Path, nargs="+")
arguments = parser.parse_args()

for source in arguments.sources:
    module = importlib.import_module(f"imuposture._ext.{source.stem}")
    file = Path(str(module.__file__)).resolve()
    print(file.name)
    if not file.is_relative_to(arguments.below.resolve()):
        raise SystemExit(f"{file} was imported, and not one below {arguments.below}")
    if arguments.debug == (".abi3." in file.name):
        raise SystemExit(f"{file} is {'no' if arguments.debug else 'a'} debug build")
