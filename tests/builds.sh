#!/bin/sh
# Builds Probity as images have it, and prints how long each build took and how large it is.
#   tests/builds.sh one|light|all|static...
# one: one backend; light: without the large ones; all: all backends; static: all backends as a static binary. Each is built
# in a folder of its own and from scratch the first time, so that what is printed is what the README quotes.
set -eu
cd "$(dirname "$0")/.."
machine=$(uname -m)
folder=target/builds
catalog=$folder/catalog.toml
mkdir -p "$folder"
printf '[dependencies.cache]\nbackend = "redis"\nurl = "redis://localhost"\n' >"$catalog"

# name, features, further arguments of cargo
build() {
    name=$1 features=$2
    shift 2
    begin=$(date +%s)
    CARGO_TARGET_DIR=$folder/$name cargo build --quiet --locked --profile dist --bin probity --no-default-features \
        --features "$features" "$@"
    took=$(($(date +%s) - begin))
    binary=$(find "$folder/$name" -path '*/dist/probity' -type f)
    "$binary" validate --catalog "$catalog" >/dev/null
    printf '%-8s %4d s %5d kB  %s\n' "$name" "$took" "$(($(stat -c %s "$binary") / 1000))" "$binary"
}

for wanted in "$@"; do
    case $wanted in
        one) build one redis ;;
        light | all) build "$wanted" "$wanted" ;;
        static)
            (
                # librdkafka wants OpenSSL, and a static binary a static one, which Debian's libssl-dev has.
                export RUSTFLAGS="-C target-feature=+crt-static" OPENSSL_STATIC=1 OPENSSL_INCLUDE_DIR=/usr/include
                export OPENSSL_LIB_DIR="/usr/lib/$machine-linux-gnu"
                build static all --target "$machine-unknown-linux-gnu"
                if ldd "$binary" 2>/dev/null | grep -q '=>'; then
                    echo "$binary needs libraries of the system" >&2
                    exit 1
                fi
            )
            ;;
        *) echo "usage: tests/builds.sh one|light|all|static..." >&2 && exit 2 ;;
    esac
done
