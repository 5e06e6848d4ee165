#!/bin/sh
# Object files of one instruction set each: none may define a symbol that the linker could take for other files too,
# or a machine without that instruction set would run into its code.
#     isa_symbols.sh NM OBJECT...
nm=$1
shift
checked=0
status=0
for object in "$@"; do
    case $object in *_avx* | *_neon*) ;; *) continue ;; esac
    checked=$((checked + 1))
    # W, V, u: weak and unique symbols. Everything but the tables is local (lower case).
    if "$nm" -C --defined-only "$object" | grep -E ' [WVuiwv] '; then
        echo "$object defines shared symbols" >&2
        status=1
    fi
    if "$nm" -C --defined-only "$object" | grep -E ' [A-Z] ' | grep -vE ' aigc_fast::[a-z0-9]+(_[a-z0-9]+)*_(avx|neon)[a-z0-9_]*$'; then
        echo "$object exports more than its table" >&2
        status=1
    fi
done
[ "$checked" -gt 0 ] || { echo "no object files of instruction sets among: $*" >&2; exit 1; }
exit $status
