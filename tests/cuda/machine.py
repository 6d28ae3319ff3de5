"""Executes the PTX of generated kernels on the CPU: one C statement for each instruction, with `machine.c` around it.

Found are races, accesses outside arrays, reads of memory that nobody wrote, and barriers that not all threads reach.
An instruction that is not in the tables is an error; one in a function (the reduction of the arguments of sines beyond
1e5) is a fault where the function is called. Approximate instructions are taken as exact.
"""

import ctypes
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adcompile.backend import cuda as backend
from adcompile.backend.cuda.compiler import text
from tests.cuda.device import Device, fingerprint, launch_sizes

FAULTS = ("race", "outside", "unknown", "barrier", "call")
C = {
    "f32": "float", "f64": "double", "s64": "int64_t", "u64": "uint64_t", "b64": "uint64_t", "s32": "int32_t",
    "u32": "uint32_t", "b32": "uint32_t", "s16": "int16_t", "u16": "uint16_t", "b16": "uint16_t", "s8": "int8_t",
    "u8": "uint8_t", "b8": "uint8_t", "pred": "int",
}  # fmt: skip
INFIX = {"add": "+", "sub": "-", "and": "&", "or": "|", "xor": "^", "div": "/", "rem": "%"}
ORDER = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "lo": "<",
    "ls": "<=",
    "hi": ">",
    "hs": ">=",
}
FLOAT = {"abs": "fabs", "sqrt": "sqrt", "ex2": "exp2", "lg2": "log2", "sin": "sin", "cos": "cos"}
ROUND = {"rmi": "floor", "rpi": "ceil", "rzi": "trunc", "rni": "rint", "rm": "floor", "rp": "ceil"}


class UnknownInstruction(Exception):
    """An instruction without a translation."""


# -- translation ------------------------------------------------------------------------------------------------------


class Translator:
    """The C statements of one kernel's instructions."""

    def __init__(self, ptx):
        self.ptx = ptx
        self.entry = re.search(r"\.entry\s+(\w+)\(", ptx)[1]
        self.shared, self.size = {}, 0
        for align, name, count in re.findall(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\]", ptx):
            self.size = -(-self.size // int(align)) * int(align)
            self.shared[name] = self.size
            self.size += int(count)
        self.tables, self.places = [], {}
        for align, name, numbers in re.findall(r"\.global \.align (\d+) \.b8 (\w+)\[\d+\] = \{([^}]*)\};", ptx):
            self.tables += ["0"] * (-len(self.tables) % int(align))
            self.places[name] = len(self.tables)
            self.tables += numbers.split(", ")

    def text(self):
        body = self.ptx[self.ptx.index(".entry") :]
        entry = self.body(body[body.index("{") + 1 : body.index("\n}")])
        functions = re.findall(r"\.func\s+\([^)]*\) (\w+)\([^)]*\)\s*\{\n(.*?)\n\}", self.ptx, re.DOTALL)
        texts = [f"static void {name}(uint8_t *func_retval0, uint8_t **given)" for name, _ in functions]
        defined = [f"{head} {{\n{self.function(code)}\n}}" for head, (_, code) in zip(texts, functions, strict=True)]
        base = Path(__file__).with_name("machine.c").read_text()
        head = f"#define SHARED {max(16, self.size)}\n#define TABLES {', '.join(self.tables or '0')}\n"
        return "\n".join(
            [head + base, *(t + ";" for t in texts), *defined, f"static void body(void) {{\n{entry}\n}}\n"]
        )

    def function(self, code):
        """What a function does that kernels call; a fault, where it has unknown instructions."""
        try:
            return self.body(code)
        except UnknownInstruction:
            return "call();"

    def body(self, code):
        """The C of a function's instructions."""
        registers = re.findall(r"\.reg \.(\w+)\s+%(\w+)<(\d+)>;", code)
        lines = [f"{C[kind]} {name}[{count}];" for kind, name, count in registers]
        lines += [f"{C[kind]} {name};" for kind, name in re.findall(r"\.reg \.(\w+)\s+%(SPL?);", code)]
        for name, count in re.findall(r"\.local \.align \d+ \.b8\s+(\w+)\[(\d+)\];", code):
            lines.append(f"_Alignas(16) uint8_t {name}[{count}];")
        code = re.sub(r"//.*", "", code)
        code = re.sub(r"call\.uni\s*\((\w+)\),\s*(\w+),\s*\(([^)]*)\)\s*;", _on_one_line, code)
        for line in map(str.strip, code.splitlines()):
            if line.endswith(":"):
                lines.append(f"{self.label(line[:-1])}:;")
            elif line in ("{", "}"):
                lines.append(line)
            elif single := re.fullmatch(r"\.reg \.(\w+) %(\w+);", line):
                lines.append(f"{C[single[1]]} {single[2]};")
            elif passed := re.fullmatch(r"\.param .*?(\w+)(\[\d+\])?;", line):
                lines.append(f"uint64_t {passed[1]}[4];")
            elif line and not line.startswith("."):
                lines.append(self.statement(line.rstrip(";")))
        return "\n".join(lines)

    def label(self, name):
        return "L" + name.replace("$", "_")

    def statement(self, line):
        guard = re.match(r"@(!?)%p(\d+)\s+(.*)", line)
        if guard:
            return f"if ({guard[1]}p[{guard[2]}]) {{ {self.statement(guard[3])} }}"
        op, _, rest = line.partition(" ")
        parts = op.split(".")
        operands = [o.strip() for o in re.split(r",(?![^{]*\})", rest)] if rest.strip() else []
        rule = getattr(self, "do_" + parts[0], None) or self.do_simple
        found = rule(parts, operands)
        if found is None:
            raise UnknownInstruction(line)
        return found

    def read(self, text):
        """An operand as C."""
        if text.startswith("%"):
            special = re.fullmatch(r"%(tid|ntid|ctaid|nctaid)\.([xyz])", text)
            if special:
                return f"{special[1]}[{'xyz'.index(special[2])}]"
            name, number = re.fullmatch(r"%([a-zA-Z]+)(\d*)", text).groups()
            return f"{name}[{number}]" if number else name
        if text.startswith("0f"):
            return f"BITS(float, 0x{text[2:]}u)"
        if text.startswith("0d"):
            return f"BITS(double, 0x{text[2:]}ull)"
        if text in self.shared:
            return f"((uint64_t)shared + {self.shared[text]})"
        if text in self.places:
            return f"((uint64_t)tables + {self.places[text]})"
        if text.startswith("__local_depot"):
            return f"(uint64_t){text}"
        if text in ("true", "false"):
            return str(int(text == "true"))
        if not re.fullmatch(r"-?\d+", text):
            raise UnknownInstruction(text)
        return f"{text}ll" if text != "-9223372036854775808" else "INT64_MIN"

    def typed(self, text, kind):
        return f"({C[kind]}){self.read(text)}"

    def address(self, text):
        inner = text.strip("[]")
        name, _, offset = inner.partition("+")
        return f"({self.read(name)} + {offset or 0})"

    def do_simple(self, parts, operands):
        """Arithmetic by its type."""
        name, kind = parts[0], parts[-1]
        out, *given = operands
        x = [self.typed(g, kind) for g in given]
        if name in INFIX and not (name in ("and", "or", "xor") and kind == "pred"):
            unsigned = {"s64": "uint64_t", "s32": "uint32_t"}.get(kind)
            if unsigned and name in ("add", "sub"):
                x = [f"({unsigned}){self.read(g)}" for g in given]
            return f"{self.read(out)} = ({x[0]}) {INFIX[name]} ({x[1]});"
        if name in ("and", "or", "xor"):
            return f"{self.read(out)} = ({x[0]}) {INFIX[name]} ({x[1]});"
        if name in FLOAT and kind[0] == "f":
            return f"{self.read(out)} = ({C[kind]}){FLOAT[name]}({x[0]});"
        if name in ("min", "max"):
            test = "<" if name == "min" else ">"
            if kind[0] == "f":
                return f"{self.read(out)} = ({C[kind]})f{name}({x[0]}, {x[1]});"
            return f"{self.read(out)} = ({x[0]}) {test} ({x[1]}) ? ({x[0]}) : ({x[1]});"
        return None

    def do_abs(self, parts, operands):
        kind = parts[-1]
        x = self.typed(operands[1], kind)
        if kind[0] == "f":
            return self.do_simple(parts, operands)
        return f"{self.read(operands[0])} = {x} < 0 ? -({x}) : {x};"

    def do_mov(self, parts, operands):
        out, value = operands
        if out.startswith("{"):
            low, high = (self.read(o.strip()) for o in out.strip("{}").split(","))
            bits = f"BITS(uint64_t, {self.read(value)})"
            return f"{{ uint64_t bits = {bits}; {low} = (uint32_t)bits; {high} = (uint32_t)(bits >> 32); }}"
        target = self.read(out)
        if value.startswith("{"):
            low, high = (self.read(v.strip()) for v in value.strip("{}").split(","))
            return (
                f"{target} = BITS(__typeof__({target}), (uint64_t)(uint32_t){low} | (uint64_t)(uint32_t){high} << 32);"
            )
        if parts[1][0] == "b" and value.startswith("%"):
            return f"{target} = BITS(__typeof__({target}), {self.read(value)});"
        return f"{target} = {self.read(value)};"

    def do_neg(self, parts, operands):
        return f"{self.read(operands[0])} = -({self.typed(operands[1], parts[-1])});"

    def do_not(self, parts, operands):
        sign = "!" if parts[-1] == "pred" else "~"
        return f"{self.read(operands[0])} = {sign}({self.read(operands[1])});"

    def do_mul(self, parts, operands):
        out, kind = self.read(operands[0]), parts[-1]
        x, y = (self.typed(o, kind) for o in operands[1:])
        if "wide" in parts:
            wide = {"s32": "int64_t", "u32": "uint64_t", "s16": "int32_t", "u16": "uint32_t"}[kind]
            return f"{out} = ({wide}){x} * ({wide}){y};"
        if "hi" in parts:
            wide = {"s32": "int64_t", "u32": "uint64_t", "s64": "__int128", "u64": "unsigned __int128"}[kind]
            return f"{out} = (({wide}){x} * ({wide}){y}) >> {kind[1:]};"
        unsigned = {"s64": "uint64_t", "s32": "uint32_t"}.get(kind)
        return f"{out} = ({unsigned}){x} * ({unsigned}){y};" if unsigned else f"{out} = {x} * {y};"

    def do_mad(self, parts, operands):
        out, x, y, z = map(self.read, operands)
        return f"{out} = (uint64_t)({x}) * (uint64_t)({y}) + (uint64_t)({z});" if "lo" in parts else None

    def do_fma(self, parts, operands):
        kind = parts[-1]
        x = ", ".join(self.typed(o, kind) for o in operands[1:])
        return f"{self.read(operands[0])} = fma{'f' if kind == 'f32' else ''}({x});"

    def do_rcp(self, parts, operands):
        return f"{self.read(operands[0])} = 1 / {self.typed(operands[1], parts[-1])};"

    def do_copysign(self, parts, operands):
        sign, size = (self.typed(o, parts[-1]) for o in operands[1:])
        return f"{self.read(operands[0])} = copysign({size}, {sign});"

    def do_shl(self, parts, operands):
        kind = parts[-1].replace("b", "u")
        x, count = self.typed(operands[1], kind), f"(uint32_t){self.read(operands[2])}"
        return f"{self.read(operands[0])} = {count} > {int(kind[1:]) - 1} ? 0 : {x} << {count};"

    def do_shr(self, parts, operands):
        kind = parts[-1].replace("b", "u")
        last = int(kind[1:]) - 1
        x, count = self.typed(operands[1], kind), f"(uint32_t){self.read(operands[2])}"
        return f"{self.read(operands[0])} = {x} >> ({count} > {last} ? {last} : {count});"

    def do_setp(self, parts, operands):
        test, kind = parts[1], parts[-1]
        x, y = (self.typed(o, kind) for o in operands[1:])
        if test in ("num", "nan"):
            return f"{self.read(operands[0])} = {'!' * (test == 'num')}(isnan({x}) || isnan({y}));"
        loose = kind[0] == "f" and len(test) == 3 and test.endswith("u")
        order = ORDER[test[:2]]
        text = f"({x}) {order} ({y})"
        if kind[0] == "f" and test == "ne":
            text = f"({text}) && !isnan({x}) && !isnan({y})"
        return f"{self.read(operands[0])} = {f'isnan({x}) || isnan({y}) || ' * loose}({text});"

    def do_selp(self, parts, operands):
        out, x, y, p = map(self.read, operands)
        return f"{out} = {p} ? {x} : {y};"

    def do_cvt(self, parts, operands):
        to, source = parts[-2:]
        x, out = self.typed(operands[1], source), self.read(operands[0])
        rounding = next((ROUND[p] for p in parts if p in ROUND), None) if source[0] == "f" else None
        if rounding:
            x = f"{rounding}({x})"
        if to[0] != "f" and source[0] == "f":
            return f"{{ double value = {x}; {out} = isnan(value) ? 0 : ({C[to]})value; }}"
        return f"{out} = ({C[to]})({x});"

    def do_cvta(self, parts, operands):
        return f"{self.read(operands[0])} = {self.read(operands[1])};"

    def do_ld(self, parts, operands):
        kind = parts[-1]
        if parts[1] == "param":
            return f"{self.read(operands[0])} = *({C[kind]} *){self.passed(operands[1])};"
        load = "*({kind} *){at}" if "local" in parts else "LOADED({kind}, {at})"
        lines = zip(self.elements(operands[0]), self.addresses(operands[1], kind), strict=False)
        return " ".join(f"{out} = {load.format(kind=C[kind], at=at)};" for out, at in lines)

    def do_st(self, parts, operands):
        kind = parts[-1]
        if parts[1] == "param":
            return f"*({C[kind]} *){self.passed(operands[0])} = {self.read(operands[1])};"
        store = "*({kind} *){at} = {value};" if "local" in parts else "STORED({kind}, {at}, {value});"
        lines = zip(self.addresses(operands[0], kind), self.elements(operands[1]), strict=False)
        return " ".join(store.format(kind=C[kind], at=at, value=value) for at, value in lines)

    def elements(self, text):
        """The registers of a vector, or the only one."""
        return [self.read(t.strip()) for t in text.strip("{}").split(",")]

    def addresses(self, text, kind):
        """Where the elements of a vector lie; more than it has."""
        return [f"({self.address(text)} + {k * int(kind[1:]) // 8})" for k in range(4)]

    def do_atom(self, parts, operands):
        out, place, *values = operands
        name = {"add": "ADDED", "max": "LARGER", "cas": "SWAPPED"}[next(p for p in parts if p in ("add", "max", "cas"))]
        given = ", ".join(map(self.read, values))
        return f"{self.read(out)} = {name}({C[parts[-1]]}, {self.address(place)}, {given});"

    def do_red(self, parts, operands):
        if "add" not in parts:
            return None
        return f"ADDED({C[parts[-1]]}, {self.address(operands[0])}, {self.read(operands[1])});"

    def do_bar(self, parts, operands):
        return "barrier();"

    do_barrier = do_bar

    def do_bra(self, parts, operands):
        return f"goto {self.label(operands[0])};"

    def do_call(self, parts, operands):
        out, name, *given = operands
        return f"{name}((uint8_t *){out}, (uint8_t *[]){{{', '.join(f'(uint8_t *){g}' for g in given)}}});"

    def passed(self, text):
        """Where a parameter of the kernel, of a function, or of a call lies."""
        name, _, offset = text.strip("[]").partition("+")
        number = re.search(r"_param_(\d+)$", name)
        if number:
            return f"&params[{number[1]}]" if name.startswith(self.entry) else f"given[{number[1]}]"
        return f"((uint8_t *){name} + {offset or 0})"

    def do_ret(self, parts, operands):
        return "return;"


def _on_one_line(call):
    """A call of a function: where the result goes, its name, the arguments."""
    return f"call {', '.join([call[1], call[2], *call[3].replace(',', ' ').split()])};"


# -- execution --------------------------------------------------------------------------------------------------------


class Region(ctypes.Structure):
    _fields_ = (
        ("start", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("unit", ctypes.c_uint64),
        *((name, ctypes.c_void_p) for name in ("known", "words", "loaded", "stored")),
    )


@dataclass(frozen=True)
class Found:
    """What a launch did wrong, and how many bytes of arrays it loaded and stored, each counted once."""

    name: str
    faults: dict
    loaded: int
    stored: int


class Machine(Device):
    """Kernels are PTX; ``launches`` is what they did, ``texts`` the PTX by kernel."""

    def __init__(self, order=None):
        super().__init__(order)
        self.known, self.launches, self.texts = {}, [], {}

    def empty(self, shape, dtype):
        array = super().empty(shape, dtype)
        self.known[array.ctypes.data] = (array, np.zeros(_words(array), np.uint8))
        return array

    def clear(self, array):
        super().clear(array)
        if array.ctypes.data in self.known:
            self.known[array.ctypes.data][1][:] = 1

    def load(self, module):
        space = backend.load(module)
        for kernel in module.kernels:
            self.texts[kernel.name] = ptx_of(kernel, space[kernel.name].py_func)
            space[kernel.name] = _Launcher(self, kernel, executable(self.texts[kernel.name]))
        space.update(self.host())
        return space


COMPILED, LIBRARIES = {}, {}
"""PTX by what it depends on, and code of the CPU by its PTX."""


def ptx_of(kernel, function, capability=(9, 0)):
    """The PTX of a kernel."""
    key = fingerprint(function), kernel.params, capability
    if key not in COMPILED:
        COMPILED[key] = text(kernel, function, capability=capability)
    return COMPILED[key]


def executable(ptx):
    """The function of C's that launches a kernel."""
    if ptx not in LIBRARIES:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "kernel.c")
            source.write_text(Translator(ptx).text())
            command = [
                "gcc",
                "-O1",
                "-w",
                "-ffp-contract=off",
                "-shared",
                "-fPIC",
                source,
                "-o",
                folder + "/kernel.so",
                "-lm",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            LIBRARIES[ptx] = ctypes.CDLL(folder + "/kernel.so").launch
        LIBRARIES[ptx].restype = ctypes.POINTER(ctypes.c_int64)
    return LIBRARIES[ptx]


class _Launcher:
    def __init__(self, machine, kernel, function):
        self.machine, self.kernel, self.function = machine, kernel, function

    def __getitem__(self, config):
        return lambda *arguments: self.launch(*launch_sizes(config), arguments)

    def launch(self, grid, block, arguments):
        params, arrays = [], {}
        for value, type in zip(arguments, self.kernel.params, strict=True):
            params += _parameters(value, type)
            if isinstance(value, np.ndarray):
                base = value
                while isinstance(base.base, np.ndarray):
                    base = base.base
                arrays[base.ctypes.data] = base
        regions, kept = self.regions(arrays)
        order, blocks = (self.machine.permuted(int(np.prod(c))) for c in (block, grid))
        found = self.function(
            regions, len(regions), (ctypes.c_uint64 * len(params))(*params), (ctypes.c_uint32 * 3)(*grid),
            (ctypes.c_uint32 * 3)(*block), *(a.ctypes.data_as(ctypes.c_void_p) for a in (order, blocks)),
        )  # fmt: skip
        faults = {name: found[k] for k, name in enumerate(FAULTS) if found[k]}
        units = list(map(_unit, arrays.values()))
        loaded, stored = (sum(int(m[k].sum()) * u for m, u in zip(kept, units, strict=True)) for k in (1, 2))
        self.machine.launches.append(Found(self.kernel.name, faults, loaded, stored))

    def regions(self, arrays):
        regions, kept = (Region * (len(arrays) + 1))(), []
        for k, (start, array) in enumerate(arrays.items()):
            words = _words(array)
            marks = (np.full(words * 40, 0xFF, np.uint8), np.zeros(words, np.uint8), np.zeros(words, np.uint8))
            known = self.machine.known.get(start)
            pointers = (known[1].ctypes.data if known else None, *(m.ctypes.data for m in marks))
            regions[k] = Region(start, array.nbytes, _unit(array), *pointers)
            kept.append(marks)
        return regions, kept


def _unit(array):
    """How many bytes a word of an array's memory has."""
    return min(array.itemsize, 4)


def _words(array):
    return array.nbytes // _unit(array) + 1


def _parameters(value, type):
    """An argument as Numba passes it: an array takes its pointer, sizes and strides."""
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous and value.dtype.name == type.dtype
        return [0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides]
    number = np.asarray(value, type.dtype)
    return [int.from_bytes(number.tobytes().ljust(8, b"\0"), "little")]
