"""PTX instructions to Python source over NumPy: each basic block becomes a function of a warp.

Registers are arrays of 32 lanes in the type they are declared with. A block is translated twice: for warps of which all
lanes take part, and for a mask of lanes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from . import arithmetic
from .parser import Instruction, Kernel, UnsupportedError

_KINDS = {"u": "uint", "s": "int", "b": "uint"}
_TYPES: dict[str, Any] = {
    "pred": np.bool_,
    **{f"{kind}{bits}": getattr(np, f"{_KINDS[kind]}{bits}") for kind in _KINDS for bits in (8, 16, 32, 64)},
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
}  # fmt: skip
_BINARY = {"add": "+", "sub": "-", "and": "&", "or": "|", "xor": "^"}
_COMPARISONS = {
    "eq": "{a} == {b}",
    "ne": "{a} != {b}",
    "lt": "{a} < {b}",
    "le": "{a} <= {b}",
    "gt": "{a} > {b}",
    "ge": "{a} >= {b}",
    "lo": "{a} < {b}",
    "ls": "{a} <= {b}",
    "hi": "{a} > {b}",
    "hs": "{a} >= {b}",
    # Of floats: true where one is NaN.
    "equ": "~(({a} < {b}) | ({a} > {b}))",
    "neu": "{a} != {b}",
    "ltu": "~({a} >= {b})",
    "leu": "~({a} > {b})",
    "gtu": "~({a} <= {b})",
    "geu": "~({a} < {b})",
    "nan": "({a} != {a}) | ({b} != {b})",
    "num": "({a} == {a}) & ({b} == {b})",
}
_SPACES = {"global": "w.heap", "shared": "w.shared"}
_SPECIAL = re.compile(r"%(tid|ntid|ctaid|nctaid)\.[xyz]|%laneid|%warpid")


class Translator:
    """Builds the source of one kernel's blocks."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.constants: list[Any] = []
        self._registers: dict[str, int] = {}
        self.storage: list[Any] = []  # dtype of each register

    def functions(self) -> list[tuple[Callable[..., None], Callable[..., None]]]:
        """Return (for all lanes, for some lanes) of each block."""
        scope: dict[str, Any] = {"np": np, "C": self.constants, **vars(arithmetic)}
        source = []
        for number, block in enumerate(self.kernel.blocks):
            for masked in (False, True):
                source.append(f"def block_{number}_{masked}(w, R, m):")
                source += ["    " + line for line in self._block(number, block, masked)]
        exec(compile("\n".join(source), f"<{self.kernel.name}>", "exec"), scope)
        count = len(self.kernel.blocks)
        return [(scope[f"block_{i}_False"], scope[f"block_{i}_True"]) for i in range(count)]

    def _block(self, number: int, block: list[Instruction], masked: bool) -> list[str]:
        lines: list[str] = []
        for instruction in block:
            try:
                lines += self._lines(instruction, number, masked)
            except (KeyError, ValueError, IndexError, TypeError) as error:
                raise UnsupportedError(instruction.text) from error
        if not (block and block[-1].ends_block):
            lines.append(f"w.go(m, {number + 1})")
        return lines

    # Operands.

    def _register(self, name: str) -> int:
        if name not in self._registers:
            self._registers[name] = len(self.storage)
            prefix = name.rstrip("0123456789")
            kind = self.kernel.registers.get(prefix, "pred" if prefix == "%p" else None)
            if kind is None:
                raise UnsupportedError(name)
            self.storage.append(np.dtype(_TYPES[kind if kind[0] not in "s" else "u" + kind[1:]]))
        return self._registers[name]

    def _constant(self, value: Any) -> str:
        self.constants.append(value)
        return f"C[{len(self.constants) - 1}]"

    def _value(self, operand: str, dtype: Any) -> str:
        dtype = np.dtype(dtype)
        if _SPECIAL.fullmatch(operand):
            return f"w.special[{operand!r}].astype(np.{dtype.name})"
        if operand.startswith("%"):
            index = self._register(operand)
            storage = self.storage[index]
            if storage == dtype:
                return f"R[{index}]"
            if storage.itemsize == dtype.itemsize:
                return f"R[{index}].view(np.{dtype.name})"
            if storage.itemsize > dtype.itemsize and storage.kind == "u":  # the lower part
                return f"R[{index}].astype(np.uint{dtype.itemsize * 8}).view(np.{dtype.name})"
            raise UnsupportedError(f"{operand} as {dtype}")
        if operand.startswith(("0f", "0F")):
            number = np.float32(struct.unpack(">f", bytes.fromhex(operand[2:]))[0])
            return self._constant(
                np.full(32, number).view(dtype) if dtype.itemsize == 4 else np.full(32, number, dtype)
            )
        if operand.startswith(("0d", "0D")):
            return self._constant(np.full(32, struct.unpack(">d", bytes.fromhex(operand[2:]))[0]).view(dtype))
        if re.fullmatch(r"-?\d+|-?0[xX][0-9a-fA-F]+", operand):
            bits = int(operand, 0) & ((1 << 64) - 1)
            if dtype == np.bool_:
                return self._constant(np.full(32, bool(bits)))
            unsigned = np.dtype(f"uint{dtype.itemsize * 8}")
            return self._constant(np.full(32, bits & ((1 << dtype.itemsize * 8) - 1), unsigned).view(dtype))
        if operand in self.kernel.shared:
            return self._constant(np.full(32, self.kernel.shared[operand].offset).astype(dtype))
        if operand in self.kernel.parameters:
            return self._constant(np.full(32, self.kernel.parameters[operand].offset).astype(dtype))
        raise UnsupportedError(operand)

    def _address(self, operand: str) -> str:
        match = re.fullmatch(r"\[([%\w$]+)(?:\+(-?\d+))?\]", operand)
        if match is None:
            raise UnsupportedError(operand)
        base = match[1]
        narrow = base.startswith("%") and self.storage[self._register(base)].itemsize == 4
        value = self._value(base, np.uint32 if narrow else np.uint64)
        if narrow:
            value = f"{value}.astype(np.uint64)"
        offset = int(match[2] or 0)
        return value if offset == 0 else f"({value} + {self._constant(np.uint64(offset & ((1 << 64) - 1)))})"

    # Statements.

    def _assign(self, name: str, expression: str, dtype: Any, mask: str) -> str:
        """Write a value of `dtype` to a register; `mask` is "" where all lanes take part."""
        if name == "_":
            return f"_ = {expression}"
        index = self._register(name)
        storage, dtype = self.storage[index], np.dtype(dtype)
        if storage.itemsize > dtype.itemsize:
            wide = f"np.{'int' if dtype.kind == 'i' else 'uint'}{storage.itemsize * 8}"
            expression = f"({expression}).astype({wide})"
        elif storage.itemsize < dtype.itemsize:
            raise UnsupportedError(f"{dtype} to {name}")
        if storage != dtype:
            expression = f"({expression}).view(np.{storage.name})"
        return f"R[{index}] = np.where({mask}, {expression}, R[{index}])" if mask else f"R[{index}] = {expression}"

    def _lines(self, instruction: Instruction, number: int, masked: bool) -> list[str]:
        parts, operands = instruction.parts, instruction.operands
        if instruction.name == "bra":
            target = self.kernel.labels[str(operands[0])]
            if instruction.predicate is None:
                return [f"w.go(m, {target})"]
            condition = self._value(instruction.predicate, np.bool_)
            return [f"w.branch(m, {'~' if instruction.negated else ''}{condition}, {target}, {number + 1})"]
        mask, lines, indent = ("m" if masked else ""), [], ""
        if instruction.predicate is not None:
            condition = self._value(instruction.predicate, np.bool_)
            lines = [f"e = m & {'~' if instruction.negated else ''}{condition}", "if e.any():"]
            mask, indent = "e", "    "
        if instruction.name in ("ret", "exit"):
            lines.append(f"{indent}w.leave({mask or 'm'})")
            return [*lines, f"w.go(m, {number + 1})"] if mask == "e" else lines
        if instruction.name == "bar":
            if parts[1] == "warp":
                return [*lines, f"w.go(m, {number + 1})"]
            return [*lines[:1], f"w.barrier({mask or 'm'}, {number + 1})"]
        for name, expression, dtype in self._results(parts, operands, mask or "m"):
            lines.append(indent + (self._assign(name, expression, dtype, mask) if name else expression))
        return lines

    def _results(self, parts: tuple[str, ...], operands: Any, mask: str) -> list[tuple[str, str, Any]]:
        """Return (register, expression, dtype of the expression); without a register: a statement."""
        name = parts[0]
        dtype = _TYPES.get(parts[-1])

        def v(i: int, kind: Any = None) -> str:
            return self._value(operands[i], dtype if kind is None else kind)

        def one(expression: str, kind: Any = None) -> list[tuple[str, str, Any]]:
            return [(operands[0], expression, dtype if kind is None else kind)]

        if name in ("ld", "ldu", "st"):
            return self._memory(parts, operands, mask)
        if name == "atom" or name == "red":
            return self._atomic(parts, operands, mask)
        if name == "mov":
            if isinstance(operands[1], tuple):  # pack
                part = np.dtype(f"uint{np.dtype(dtype).itemsize * 8 // len(operands[1])}")
                values = ", ".join(self._value(x, part) for x in operands[1])
                return one(f"np.stack([{values}], 1).view(np.{np.dtype(dtype).name})[:, 0]")
            if isinstance(operands[0], tuple):  # unpack
                part = np.dtype(f"uint{np.dtype(dtype).itemsize * 8 // len(operands[0])}")
                split = f"np.ascontiguousarray({v(1)}).view(np.{part.name}).reshape(32, {len(operands[0])})"
                return [(x, f"{split}[:, {i}].copy()", part) for i, x in enumerate(operands[0])]
            return one(v(1))
        if name == "cvta":
            return one(v(1))  # global, shared and parameter addresses are the same in their own space
        if name == "cvt":
            return self._convert(parts, operands)
        if name == "setp":
            return self._compare(parts, operands)
        if name in _BINARY:
            return one(f"{v(1)} {_BINARY[name]} {v(2)}")
        if name == "mul":
            if "wide" in parts:
                wide = np.dtype(f"{'int' if parts[-1][0] == 's' else 'uint'}{np.dtype(dtype).itemsize * 16}")
                return one(f"{v(1)}.astype(np.{wide.name}) * {v(2)}.astype(np.{wide.name})", wide)
            return one(f"high_half({v(1)}, {v(2)})" if "hi" in parts else f"{v(1)} * {v(2)}")
        if name == "mad":
            if "wide" in parts:
                wide = np.dtype(f"{'int' if parts[-1][0] == 's' else 'uint'}{np.dtype(dtype).itemsize * 16}")
                return one(f"{v(1)}.astype(np.{wide.name}) * {v(2)}.astype(np.{wide.name}) + {v(3, wide)}", wide)
            return one(f"{v(1)} * {v(2)} + {v(3)}")
        if name == "fma":
            return one(f"fma_{parts[-1]}({v(1)}, {v(2)}, {v(3)})")
        if name == "div":
            return one(f"{v(1)} / {v(2)}" if parts[-1][0] == "f" else f"divide({v(1)}, {v(2)})")
        if name == "rem":
            return one(f"remainder({v(1)}, {v(2)})")
        if name == "rcp":
            return one(f"np.{np.dtype(dtype).name}(1) / {v(1)}")
        if name == "sqrt":
            return one(f"np.sqrt({v(1)})")
        if name in ("min", "max"):
            return one(
                f"np.{'f' if parts[-1][0] == 'f' else ''}{name}({v(1)}, {v(2)})"
                if parts[-1][0] == "f"
                else f"np.{name}imum({v(1)}, {v(2)})"
            )
        if name in ("neg", "not", "abs"):
            return one({"neg": "-{}", "not": "~{}", "abs": "np.abs({})"}[name].format(v(1)))
        if name in ("shl", "shr"):
            return one(f"shift_{'left' if name == 'shl' else 'right'}({v(1)}, {v(2, np.uint32)})")
        if name == "selp":
            return one(f"np.where({v(3, np.bool_)}, {v(1)}, {v(2)})")
        if name == "lop3":
            return one(f"logic3({v(1)}, {v(2)}, {v(3)}, {int(operands[4], 0)})")
        if name == "dp4a":
            kinds = ", ".join(f"np.{_KINDS[part[0]]}8" for part in parts[1:])
            return one(f"dot_bytes({v(1, np.uint32)}, {v(2, np.uint32)}, {v(3)}, {kinds})")
        if name == "bfi":
            return one(f"insert_field({v(1)}, {v(2)}, {v(3, np.uint32)}, {v(4, np.uint32)})")
        if name == "prmt":
            return one(f"permute_bytes({v(1)}, {v(2)}, {v(3)})")
        if name == "brev":
            return one(f"reverse_bits({v(1)})")
        if name in ("clz", "popc"):
            return one(f"{'leading_zeros' if name == 'clz' else 'count_ones'}({v(1)})", np.uint32)
        if name == "bfind":
            return one(f"{'highest_bit_shift' if 'shiftamt' in parts else 'highest_bit'}({v(1)})", np.uint32)
        if name == "shfl":
            source = str(operands[0]).partition("|")[0]
            exchange = f"w.shuffle(m, {parts[2]!r}, {v(1, np.uint32)}, {v(2, np.uint32)}, {v(3, np.uint32)})"
            return [(source, exchange, np.uint32)]
        if name == "vote":
            predicate = self._value(operands[1].lstrip("!"), np.bool_)
            predicate = f"~{predicate}" if operands[1].startswith("!") else predicate
            return one(f"w.vote(m, {parts[2]!r}, {predicate})", np.uint32 if parts[2] == "ballot" else np.bool_)
        if name == "cp":
            if parts[2] in ("commit_group", "wait_group", "wait_all"):
                count = int(operands[0]) if operands else 0
                return [
                    (
                        "",
                        f"w.copies_{parts[2]}({count})" if parts[2] == "wait_group" else f"w.copies_{parts[2]}()",
                        None,
                    )
                ]
            return [
                (
                    "",
                    f"w.copy_async({mask}, {', '.join(map(self._address, operands[:2]))}, {int(operands[2])})",
                    None,
                )
            ]
        if name == "ldmatrix":
            matrices = operands[0] if isinstance(operands[0], tuple) else (operands[0],)
            lines: list[tuple[str, str, Any]] = [
                ("", f"t = w.load_matrices(m, {self._address(operands[1])}, {len(matrices)})", None)
            ]
            return lines + [(x, f"t[{i}]", np.uint32) for i, x in enumerate(matrices)]
        if name == "mma" and parts[3] == "m16n8k32" and parts[-3] == "s8":
            a, b, c = ("[" + ", ".join(self._value(x, np.uint32) for x in operands[i]) + "]" for i in (1, 2, 3))
            lines = [("", f"w.converged(m); t = mma_s8({a}, {b}, {c})", None)]
            return lines + [(x, f"t[{i}]", np.uint32) for i, x in enumerate(operands[0])]
        raise UnsupportedError(".".join(parts))

    def _memory(self, parts: tuple[str, ...], operands: Any, mask: str) -> list[tuple[str, str, Any]]:
        dtype = np.dtype(_TYPES[parts[-1]])
        storing = parts[0] == "st"
        registers = operands[1] if storing else operands[0]
        registers = registers if isinstance(registers, tuple) else (registers,)
        address = self._address(operands[0] if storing else operands[1])
        space = next(part for part in parts if part in ("param", "global", "shared"))
        if space == "param":
            return [(x, f"w.parameter({address}, np.{dtype.name}, {i})", dtype) for i, x in enumerate(registers)]
        if storing:
            values = ", ".join(self._value(x, dtype) for x in registers)
            return [("", f"{_SPACES[space]}.store({address}, {mask}, [{values}], w.number)", None)]
        load = f"t = {_SPACES[space]}.load({address}, {mask}, np.{dtype.name}, w.number, {len(registers)})"
        return [("", load, None), *((x, f"t[{i}]", dtype) for i, x in enumerate(registers))]

    def _atomic(self, parts: tuple[str, ...], operands: Any, mask: str) -> list[tuple[str, str, Any]]:
        dtype = _TYPES[parts[-1]]
        operation = {
            "add": "np.add",
            "max": "np.maximum",
            "min": "np.minimum",
            "or": "np.bitwise_or",
            "exch": "lambda a, b: b",
        }[parts[-2]]
        space = next(part for part in parts if part in ("global", "shared"))
        first = 0 if parts[0] == "red" else 1
        address, value = self._address(operands[first]), self._value(operands[first + 1], dtype)
        call = f"{_SPACES[space]}.atomic({operation}, {address}, {mask}, {value}, w.number)"
        return [("" if parts[0] == "red" else operands[0], call, dtype)]

    def _convert(self, parts: tuple[str, ...], operands: Any) -> list[tuple[str, str, Any]]:
        target, source = np.dtype(_TYPES[parts[-2]]), np.dtype(_TYPES[parts[-1]])
        value = self._value(operands[1], source)
        if target.kind != "f" and source.kind == "f":
            rounding = {"rzi": "np.trunc", "rni": "np.rint", "rmi": "np.floor", "rpi": "np.ceil"}
            rounded = next(f"{rounding[part]}({value})" for part in parts if part in rounding)
            return [(operands[0], f"to_integer({rounded}, np.{target.name})", target)]
        if "rp" in parts and target == np.float32 and source == np.float64:
            return [(operands[0], f"round_up_f32({value})", target)]
        if "sat" in parts or any(part in ("rz", "rm", "rp") for part in parts):
            raise UnsupportedError(".".join(parts))
        return [(operands[0], f"{value}.astype(np.{target.name})", target)]

    def _compare(self, parts: tuple[str, ...], operands: Any) -> list[tuple[str, str, Any]]:
        dtype = _TYPES[parts[-1]]
        comparison, combine = parts[1], parts[2] if len(parts) == 4 else None
        a, b = self._value(operands[1], dtype), self._value(operands[2], dtype)
        if comparison == "ne" and np.dtype(dtype).kind == "f":
            result = f"({a} < {b}) | ({a} > {b})"
        else:
            result = _COMPARISONS[comparison].format(a=a, b=b)
        if combine is not None:
            result = f"({result}) {_BINARY[combine]} {self._value(operands[3], np.bool_)}"
        return [(operands[0], result, np.bool_)]
