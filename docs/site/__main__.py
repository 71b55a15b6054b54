"""Builds the site; `make docs`. Warnings are errors, and no network is needed.

python -m docs.site [FOLDER]     build/docs by default; FOLDER/html is the site
"""

import sys
from pathlib import Path

from sphinx.cmd.build import main

from docs.site.assemble import assemble

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs")
assemble(folder / "pages")
options = ["-W", "--keep-going", "-q", "-j", "auto", "-b", "html"]
places = [str(folder / name) for name in ("pages", "html")]
sys.exit(main([*options, "-c", str(Path(__file__).parent), *places]))
