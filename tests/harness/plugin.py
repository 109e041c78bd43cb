"""Modules in C, compiled by apxs."""

import subprocess

from .paths import ROOT

SOURCES = ROOT / "tests" / "sample_method"


def compiled(name, directory, replace=None):
    """Compiles `mod_NAME.c` in a directory of its own and returns the file to load.

    `replace` maps pieces of the source to others, for variants.
    """
    text = (SOURCES / f"mod_{name}.c").read_text()
    for old, new in (replace or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    place = directory / f"plugin-{name}"
    place.mkdir()
    (place / f"mod_{name}.c").write_text(text)
    done = subprocess.run(
        ["apxs", "-c", "-Wc,-Wall -Wextra -Wno-unused-parameter -Werror", f"-I{ROOT}/include",
         f"mod_{name}.c"],
        cwd=place, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / ".libs" / f"mod_{name}.so"
