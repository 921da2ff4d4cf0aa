# Sourced by quickstart and test: the checkout's own virtual environment, .venv.
#
# $root is the checkout's directory.  Packages come from pip's index; pip's settings hold.
# Python runs with -I, so that no file of the caller's directory is taken for a module.

venv="$root/.venv"
made_here="$venv/.made-by-scripts" # tells our own .venv, half-made or not, from anybody else's

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Set $python to a Python that is new enough and can make virtual environments.
find_python() {
    lame=
    for python in python3.13 python3.12 python3.11 python3; do
        "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        "$python" -I -c 'import ensurepip, venv' 2>/dev/null && return
        lame=${lame:-$python}
    done
    [ -z "$lame" ] || fail "$lame cannot make virtual environments: install python3-venv" \
        "(Debian, Ubuntu), or what has its modules venv and ensurepip"
    fail "no Python 3.11 or later: expected python3.13, python3.12, python3.11 or python3 on PATH"
}

# What the environment was made for: moved, or given other dependencies, it is not fit any more.
describe_venv() {
    printf '%s\n' "$root"
    cksum <"$root/pyproject.toml"
}

is_fit() { # EXTRA
    [ -f "$venv/fit-for-$1" ] && [ "$(cat "$venv/fit-for-$1")" = "$(describe_venv)" ] &&
        "$venv/bin/python" -I -c 'import bundler' 2>/dev/null
}

install() { # EXTRA
    (cd "$root" && "$venv/bin/python" -I -m pip --disable-pip-version-check install --quiet \
        --editable ".[$1]") >"$venv/install.log" 2>&1 ||
        fail "cannot install the package: $(last_error) (all of it: $venv/install.log)"
    describe_venv >"$venv/fit-for-$1"
}

last_error() {
    sed -n 's/.*ERROR: *//p' "$venv/install.log" | tail -n 1
}

# Begin $venv anew.  A half-made one, or one that is fit no more, goes; nobody else's does.
make_venv() {
    find_python
    if [ -e "$venv" ] || [ -L "$venv" ]; then
        [ -f "$made_here" ] || fail "$venv was not made by this script: remove or rename it"
        rm -rf -- "$venv" || fail "cannot remove $venv"
    fi
    { mkdir -- "$venv" 2>/dev/null && : >"$made_here"; } || fail "cannot make $venv"
    "$python" -I -m venv "$venv" >"$venv/install.log" 2>&1 ||
        fail "$python cannot make a virtual environment: $(tail -n 1 "$venv/install.log")"
}

# Make $venv fit for EXTRA: demo, or dev, which has all that demo has.
prepare_venv() { # EXTRA
    # What a caller's Python finds there is not ours.
    unset PYTHONHOME PYTHONPATH
    if is_fit "$1" || is_fit dev; then
        return
    fi
    is_fit demo || make_venv
    printf '%s: installing into %s\n' "${0##*/}" "$venv" >&2
    install "$1"
}
