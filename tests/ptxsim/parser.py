"""PTX text to kernels: parameters, shared variables, and basic blocks of instructions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SIZES = {"8": 1, "16": 2, "32": 4, "64": 8}


class UnsupportedError(Exception):
    """PTX that the simulator does not know; the message shows it."""


@dataclass(frozen=True)
class Instruction:
    """``@[!]predicate name.modifier.type operands``; a vector operand ``{a, b}`` is a tuple."""

    parts: tuple[str, ...]  # of the opcode: ("ld", "global", "f32")
    operands: tuple[str | tuple[str, ...], ...]
    predicate: str | None
    negated: bool
    text: str

    @property
    def name(self) -> str:
        return self.parts[0]

    @property
    def converges(self) -> bool:
        """Whether all threads of the warp must have arrived before it is executed."""
        return self.name in ("bar", "shfl", "vote", "mma", "ldmatrix", "redux", "match", "activemask")

    @property
    def ends_block(self) -> bool:
        return self.name in ("bra", "ret", "exit", "bar")


@dataclass(frozen=True)
class Variable:
    """A parameter or a shared variable: where it lies in its space."""

    offset: int
    size: int


@dataclass
class Kernel:
    """One entry function."""

    name: str
    parameters: dict[str, Variable] = field(default_factory=dict)
    shared: dict[str, Variable] = field(default_factory=dict)
    registers: dict[str, str] = field(default_factory=dict)  # prefix → type, as in "%r" → "b32"
    blocks: list[list[Instruction]] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)  # label → block

    @property
    def parameter_bytes(self) -> int:
        return max((v.offset + v.size for v in self.parameters.values()), default=0)

    @property
    def shared_bytes(self) -> int:
        return max((v.offset + v.size for v in self.shared.values()), default=0)


_VARIABLE = re.compile(r"(?:\.align\s+(\d+)\s+)?\.[a-z](\d+)\s+([\w$]+)(?:\[(\d*)\])?")
_INSTRUCTION = re.compile(r"(?:@(!?)(%\w+)\s+)?([\w.:]+)\s*(.*)", re.DOTALL)
_OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+")


def kernel_names(ptx: str) -> list[str]:
    return re.findall(r"\.visible\s+\.entry\s+([\w$]+)", ptx)


def parse(ptx: str, name: str) -> Kernel:
    """Parse one kernel of a module."""
    ptx = re.sub(r"//[^\n]*", "", ptx)
    match = re.search(rf"\.entry\s+{re.escape(name)}\s*\(([^)]*)\)", ptx)
    if match is None:
        raise KeyError(f"no kernel {name}")
    kernel = Kernel(name)
    for declaration in re.findall(r"\.param\s+([^,]+)", match[1]):
        _place(kernel.parameters, declaration)
    begin = ptx.index("{", match.end())
    body = ptx[begin + 1 : _closing(ptx, begin)]
    # Variables of the module come before its kernels; those that this one names are its own.
    declarations = re.findall(r"^\s*(?:\.extern\s+)?\.shared\s+([^;]+);", ptx[: match.start()] + body, re.M)
    words = set(re.findall(r"[\w$]+", body))
    for declaration in sorted(declarations, key=lambda d: d.endswith("[]")):  # of unknown length: last
        if words & set(re.findall(r"[\w$]+(?=\[|$)", declaration)):
            _place(kernel.shared, declaration)
    for storage, prefix in re.findall(r"\.reg\s+\.(\w+)\s+(%\w+)<\d+>", body):
        kernel.registers[prefix] = storage
    _read_blocks(kernel, body)
    return kernel


def _closing(text: str, begin: int) -> int:
    depth = 0
    for at in range(begin, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    raise UnsupportedError("a brace is not closed")


def _place(variables: dict[str, Variable], declaration: str) -> None:
    match = _VARIABLE.match(declaration.strip())
    if match is None:
        raise UnsupportedError(declaration)
    element = SIZES[match[2]]
    align = int(match[1] or element)
    end = max((v.offset + v.size for v in variables.values()), default=0)
    count = 1 if match[4] is None else int(match[4] or 0)  # of unknown length: the launch says how long
    variables[match[3]] = Variable(-(-end // align) * align, element * count)


def _read_blocks(kernel: Kernel, body: str) -> None:
    block: list[Instruction] = []
    kernel.blocks.append(block)
    for statement in re.split(r";|(?<=:)\s*\n", body):
        statement = statement.strip()
        while label := re.match(r"(\$[\w$]+):\s*", statement):
            if block:
                block = []
                kernel.blocks.append(block)
            kernel.labels[label[1]] = len(kernel.blocks) - 1
            statement = statement[label.end() :]
        if not statement or statement.startswith("."):
            continue
        instruction = _instruction(statement)
        if instruction.converges and block:
            block = []
            kernel.blocks.append(block)
        block.append(instruction)
        if instruction.ends_block:
            block = []
            kernel.blocks.append(block)


def _instruction(statement: str) -> Instruction:
    match = _INSTRUCTION.fullmatch(statement)
    if match is None:
        raise UnsupportedError(statement)
    operands = tuple(
        tuple(part.strip() for part in operand[1:-1].split(",")) if operand[0] == "{" else operand
        for operand in _OPERAND.findall(match[4])
    )
    return Instruction(tuple(match[3].split(".")), operands, match[2], bool(match[1]), " ".join(statement.split()))
