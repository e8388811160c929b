"""Loops and vectors in LLVM's intermediate language, and the way from there to a function of this processor."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from threading import Thread
from typing import Any

_INDEX = 64  # bits


@dataclass(frozen=True)
class Registers:
    """What a processor computes with at once."""

    count: int
    """Vector registers."""
    bytes: int
    """In each."""

    def lanes(self, bytes_of_a_number: int) -> int:
        """Return how many numbers a vector has."""
        return self.bytes // bytes_of_a_number

    @staticmethod
    def known() -> Registers:
        """Return those of a processor that the compiler is there for: see `is_installed`."""
        registers = Registers.of_host()
        assert registers is not None
        return registers

    @staticmethod
    @cache
    def of_host() -> Registers | None:
        """Return those of the processor that this runs on; None where a product cannot be added to in one step."""
        if platform.machine().lower() in ("arm64", "aarch64"):
            return Registers(32, 16)
        features = _features()
        if features.get("avx512f"):
            return Registers(32, 64)
        return Registers(16, 32) if features.get("avx2") and features.get("fma") else None


def _features() -> Any:
    """Name what the processor can do, as llvmlite does."""
    from llvmlite import binding

    try:
        return binding.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell
        return binding.FeatureMap()


@cache
def is_installed() -> bool:
    """Say whether there is a compiler that can be loaded, and a processor for it."""
    try:
        import_module("llvmlite.binding")
    except (ImportError, OSError):
        return False
    return Registers.of_host() is not None


class Assembly:
    """One function under construction; values are those of `llvmlite.ir`.

    It takes the address of an array of integers: numbers, and addresses of further arrays. Several threads may run it
    at the same time, with the same array.
    """

    def __init__(self, name: str, is_double: bool, lanes: int) -> None:
        """Begin a function."""
        from llvmlite import ir

        self.ir: Any = ir
        self.float: Any = ir.DoubleType() if is_double else ir.FloatType()
        self.index: Any = ir.IntType(_INDEX)
        self.of_tables: Any = ir.IntType(32)
        self.lanes = lanes
        self.vector: Any = ir.VectorType(self.float, lanes)
        self.zeros: Any = ir.Constant(self.vector, [0.0] * lanes)
        self.bytes = 8 if is_double else 4
        self.module: Any = ir.Module(name)
        kind = ir.FunctionType(ir.VoidType(), [self.index.as_pointer()])
        self.function: Any = ir.Function(self.module, kind, name)
        self.code: Any = ir.IRBuilder(self.function.append_basic_block())

    def argument(self, place: int, kind: str = "index") -> Any:
        """Return an element of the array; an address as a pointer to "floats", "indices" or "smalls"."""
        value = self.load(self.at(self.function.args[0], self.number(place)))
        return value if kind == "index" else self.pointer(value, kind)

    def pointer(self, address: Any, kind: str) -> Any:
        """Return an address as a pointer to "floats", "indices", or "smalls", which are integers of 32 bits."""
        kinds = {"floats": self.float, "indices": self.index, "smalls": self.of_tables}
        return self.code.inttoptr(address, kinds[kind].as_pointer())

    def taken(self, place: int, amount: Any) -> Any:
        """Add to an element of the array, and return what it was: of all threads each gets another number."""
        return self.code.atomic_rmw("add", self.at(self.function.args[0], self.number(place)), amount, "monotonic")

    def number(self, value: int) -> Any:
        """Return a constant index."""
        return self.ir.Constant(self.index, value)

    def loop(self, count: Any, carried: Sequence[Any], body: Callable[[Any, list[Any]], Sequence[Any]]) -> list[Any]:
        """Run `body(k, carried)` for k from 0 to `count`; what it returns is carried on, and returned at the end."""
        code, before = self.code, self.code.block
        inside, after = (self.function.append_basic_block() for _ in range(2))
        code.cbranch(code.icmp_signed(">", count, self.number(0)), inside, after)
        code.position_at_end(inside)
        k, *within = (code.phi(value.type) for value in (count, *carried))
        results = list(body(k, within))
        following, end = code.add(k, self.number(1)), code.block
        code.cbranch(code.icmp_signed("<", following, count), inside, after)
        for phi, first, then in zip((k, *within), (self.number(0), *carried), (following, *results), strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(then, end)
        code.position_at_end(after)
        found = [code.phi(value.type) for value in carried]
        for phi, first, then in zip(found, carried, results, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(then, end)
        return found

    def again(self, body: Callable[[], Any]) -> None:
        """Run `body()` until it returns 0."""
        inside, after = (self.function.append_basic_block() for _ in range(2))
        self.code.branch(inside)
        self.code.position_at_end(inside)
        self.code.cbranch(body(), inside, after)
        self.code.position_at_end(after)

    def at(self, pointer: Any, *offsets: Any) -> Any:
        """Return the pointer that is so many elements further."""
        for offset in offsets:
            pointer = self.code.gep(pointer, [offset])
        return pointer

    def load(self, pointer: Any) -> Any:
        """Read one element."""
        return self.code.load(pointer)

    def store(self, pointer: Any, value: Any) -> None:
        """Write one element."""
        self.code.store(value, pointer)

    def small(self, pointer: Any) -> Any:
        """Read an integer of 32 bits, as an index."""
        return self.code.sext(self.code.load(pointer), self.index)

    def store_small(self, pointer: Any, value: Any) -> None:
        """Write one."""
        self.code.store(self.code.trunc(value, self.of_tables), pointer)

    def load_vector(self, pointer: Any) -> Any:
        """Read a vector of elements."""
        return self.code.load(self.code.bitcast(pointer, self.vector.as_pointer()), align=self.bytes)

    def store_vector(self, pointer: Any, value: Any) -> None:
        """Write one."""
        self.code.store(value, self.code.bitcast(pointer, self.vector.as_pointer()), align=self.bytes)

    def everywhere(self, value: Any) -> Any:
        """Return a vector of equal elements."""
        nothing, ir = self.ir.Constant(self.vector, self.ir.Undefined), self.ir
        first = self.code.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.code.shuffle_vector(first, nothing, places)

    def call(self, intrinsic: str, *vectors: Any) -> Any:
        """Call one of LLVM's own functions of vectors: "fma", "fabs", "maximum"."""
        name = f"llvm.{intrinsic}.v{self.lanes}f{8 * self.bytes}"
        known = self.module.globals.get(name)
        if known is None:
            kind = self.ir.FunctionType(self.vector, [self.vector] * len(vectors))
            known = self.ir.Function(self.module, kind, name)
        return self.code.call(known, vectors)

    def joined(self, operation: str, vector: Any) -> Any:
        """Join the elements of a vector to one, by LLVM's "fadd" or "fmaximum", in whatever order."""
        starts = [self.ir.Constant(self.float, 0.0)] if operation == "fadd" else []
        name = f"llvm.vector.reduce.{operation}.v{self.lanes}f{8 * self.bytes}"
        known = self.module.globals.get(name)
        if known is None:
            kind = self.ir.FunctionType(self.float, [*(self.float for _ in starts), self.vector])
            known = self.ir.Function(self.module, kind, name)
        return self.code.call(known, [*starts, vector], fastmath=("reassoc",))

    def compiled(self) -> Compiled:
        """End the function, and compile it for this processor."""
        from llvmlite import binding

        self.code.ret_void()
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        module = binding.parse_assembly(str(self.module))
        module.verify()
        machine = binding.Target.from_default_triple().create_target_machine(
            cpu=binding.get_host_cpu_name(), features=_features().flatten(), opt=3
        )
        passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
        passes.getModulePassManager().run(module, passes)
        engine = binding.create_mcjit_compiler(module, machine)
        engine.finalize_object()
        return Compiled(engine.get_function_address(self.function.name), engine)


@dataclass(frozen=True)
class Compiled:
    """A function of this processor."""

    address: int
    engine: Any
    """Owns the machine code."""

    def run(self, arguments: Sequence[int], threads: int) -> None:
        """Run it in so many threads at the same time, with one array of arguments."""
        array = (ctypes.c_int64 * len(arguments))(*arguments)
        if threads == 1:
            _FUNCTION(self.address)(array)
        else:
            _run_in_threads(self.address, array, threads)


_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # other Python threads go on while it runs


def _run_in_threads(address: int, array: Any, count: int) -> None:
    """Run a function in the threads that torch keeps, as these, when idle, wait by computing; else in new ones."""
    try:
        in_parallel = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):  # another OpenMP than GNU's
        helpers = [Thread(target=_FUNCTION(address), args=(array,)) for _ in range(count)]
        for helper in helpers:
            helper.start()
        for helper in helpers:
            helper.join()
    else:
        in_parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        in_parallel.restype = None
        in_parallel(address, array, count, 0)
