"""How Sphinx builds the documents of ndx-mivae; pages of the schema are made by hdmf-docutils first."""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# hdmf-docutils imports its settings, conf_doc_autogen, from here.
sys.path.insert(0, str(HERE))

project = "ndx-mivae"
author = "The nwb_mivae developers"
copyright = f"2026, {author}"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.intersphinx"]
intersphinx_mapping = {
    "core": ("https://nwb-schema.readthedocs.io/en/latest/", None),
    "hdmf-common": ("https://hdmf-common-schema.readthedocs.io/en/latest/", None),
}
exclude_patterns = ["_format_auto_docs/*"]
html_theme = "sphinx_rtd_theme"
numfig = True
# Generated pages refer to core types, whose documents are found only where there is a network; and the changelog's
# headings below its title are included alone.
suppress_warnings = ["ref.ref", "myst.header"]


def make_pages_of_the_schema(_app):
    """Write the pages that ``format.rst`` includes, from ``spec/``."""
    import conf_doc_autogen
    from hdmf_docutils.generate_format_docs import main

    # It asks git for the commit where it makes the folder itself, and an unpacked source distribution has none.
    Path(conf_doc_autogen.spec_output_dir).mkdir(exist_ok=True)
    main()


def setup(app):
    """Tell Sphinx what to do before it reads any page."""
    app.connect("builder-inited", make_pages_of_the_schema)
