"""How the pages become a site: `make docs-site`. Nothing is fetched, neither when it is built nor when it is read."""

import re
import shutil
import sys
from importlib import metadata
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for the scraper of figures

from gallery_figures import clean_start, scrape_figures  # noqa: E402

project = "imagrad"
author = "The imagrad developers"
copyright = "The imagrad developers, Apache-2.0"
release = metadata.version("imagrad")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "gallery/*.zip", "gallery/*.ipynb", "gallery/*.py"]
default_role = "code"  # one backquote in a docstring is code

html_theme = "furo"
html_title = "imagrad"
html_static_path = ["static"]
html_css_files = ["site.css"]

html_show_sourcelink = False
html_copy_source = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]  # functions in the configuration are no reason to say so

autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "__init__"}  # results are returned, not made
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "separated"
autodoc_inherit_docstrings = False
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 100

sphinx_gallery_conf = {
    "examples_dirs": [str(HERE.parent / "examples" / "gallery")],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": (scrape_figures,),
    "reset_modules": (clean_start,),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "matplotlib_animations": False,
    "plot_gallery": True,
}

REPORTS = HERE / "reproduction"


def link_reports(app: Sphinx, document: nodes.document) -> None:
    """Open reports in the browser, where MyST would offer every file that is no page for download."""
    for node in list(document.findall(addnodes.download_reference)):
        target = node["reftarget"]
        if target.endswith(".html"):
            up = "../" * app.env.docname.count("/")
            name = f"{REPORTS.name}/{Path(target).name}"
            node.replace_self(nodes.reference("", "", *node.children, refuri=up + name, internal=True))


def copy_reports(app: Sphinx, exception: Exception | None) -> None:
    """Put the reports beside the pages."""
    if exception is None and app.builder.format == "html":
        shutil.copytree(REPORTS, Path(app.outdir) / REPORTS.name, dirs_exist_ok=True)


def mend_source(app: Sphinx, docname: str, content: list[str]) -> None:
    """Lead links to files beside docs/ to the pages that show them here."""
    content[0] = re.sub(r"\]\((\.\./)+CONTRIBUTING\.md", "](/contributing.md", content[0])


def mend_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Before napoleon: take `*input` in a shape as it is meant, and call what stands behind the parameters "Notes".

    Code between backquotes stays. Napoleon would take a paragraph behind the parameters for one more of them.
    """
    for number, line in enumerate(lines):
        parts = re.split(r"(`[^`]*`)", line)
        lines[number] = "".join(part if part.startswith("`") else part.replace("*", r"\*") for part in parts)
    if "Parameters" in lines:
        for number in range(lines.index("Parameters") + 2, len(lines)):
            if not lines[number - 1].strip() and lines[number][:1].strip():
                lines[number:number] = ["Notes", "-----"]
                break
    app.env.temp_data["own_lines"] = list(lines)


def restore_attribute(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """After napoleon, which takes what stands before a colon in the sentence on an attribute for its type."""
    if what in ("attribute", "property", "data"):
        lines[:] = app.env.temp_data["own_lines"]


def setup(app: Sphinx) -> None:
    """Join the above to the build."""
    app.connect("source-read", mend_source)
    app.connect("doctree-read", link_reports)
    app.connect("build-finished", copy_reports)
    app.connect("autodoc-process-docstring", mend_docstring, priority=100)
    app.connect("autodoc-process-docstring", restore_attribute, priority=900)
