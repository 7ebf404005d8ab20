#!/bin/sh
# Installs what a command of the Makefile needs on Debian 12. With root or sudo it installs what is missing, without either
# it only names it: what needs it then fails or is skipped.
#   tests/setup.sh build|demo|servers|test|tools
set -eu
cd "$(dirname "$0")/.."

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
found=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9]*\.[0-9]*\).*/\1/p')
if [ -z "$found" ] || [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -1)" != "$wanted" ]; then
    echo "Probity needs Rust $wanted or later, and here is ${found:-none}: install it with your distribution's rustup and try again." >&2
    exit 1
fi

# command:package, where the command is looked for in the usual folders of servers, too
# librdkafka, for Kafka, is built from its source, and with OpenSSL.
build="cc:gcc c++:g++ make:make pkg-config:pkg-config /usr/include/openssl/ssl.h:libssl-dev"
servers="clickhouse-server:clickhouse-server nginx:nginx-light memcached:memcached mosquitto:mosquitto mariadbd:mariadb-server \
    nats-server:nats-server postgres:postgresql-15 rabbitmqctl:rabbitmq-server redis-server:redis-server"
# What the servers are made with that Debian does not have; Go is needed as well, newer than Debian's.
farm="mvn:maven javac:openjdk-17-jdk-headless python3:python3-venv npm:npm"
case "${1:-build}" in
    build) needs="$build" ;;
    demo) needs="$build $servers" ;;
    servers) needs="$build $farm" ;;
    test) needs="$build $servers $farm pgbouncer:pgbouncer zkServer.sh:zookeeper promtool:prometheus" ;;
    tools) needs="shellcheck:shellcheck" ;;
    *) echo "usage: tests/setup.sh build|demo|servers|test|tools" >&2; exit 2 ;;
esac

PATH="$PATH:/usr/sbin:/sbin:/usr/lib/postgresql/15/bin:/usr/share/zookeeper/bin"
missing=""
for need in $needs; do
    command -v "${need%%:*}" >/dev/null 2>&1 || missing="$missing ${need#*:}"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed, and there is no apt here to install it:$missing" >&2
    exit 0
elif [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null 2>&1; }; then
    as_root="sudo"
else
    echo "Not installed, and neither root nor sudo is at hand to install it:$missing" >&2
    exit 0
fi

echo "Installing$missing" >&2
# Debian starts a server as soon as it is installed; ours are started by whoever needs them.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086  # the list is meant to be split
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
