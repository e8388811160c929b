"""Networks that are Python code: a class path, which makes one."""

from __future__ import annotations

from imagrad import runs
from imagrad.models.formats.class_paths import CODE_OF_A_CLASS, instance_of, is_class_path
from imagrad.models.formats.contract import NetworkSource, Opened, register_format


@register_format("class path", is_class_path, runs_code=CODE_OF_A_CLASS)
def open_class_path(source: NetworkSource) -> Opened:
    """Take package.module:NAME, a module of torch, or a class or function that makes one (needs --trust)."""
    module = instance_of(str(source.path))
    return Opened(module.eval(), runs.hash_tensors(module.state_dict()))
