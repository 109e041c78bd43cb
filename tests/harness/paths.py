"""Where the built files are."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "httpd-conf"
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "release"
MODULE = Path(os.environ.get("ATH_MODULE", RELEASE / "libmod_athena.so"))
SIGNERS = ROOT / "docs/signers"
BACKEND = Path(os.environ.get("ATH_BACKEND", RELEASE / "athena-backend"))
ATHCTL = Path(os.environ.get("ATHCTL", RELEASE / "athctl"))
LOAD = Path(os.environ.get("ATH_LOAD", RELEASE / "athena-load"))
APACHE = "/usr/sbin/apache2"
APACHE_MODULES = "/usr/lib/apache2/modules"
