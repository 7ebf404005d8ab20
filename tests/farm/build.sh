#!/bin/sh
# Fetches or builds the servers that Debian does not have, at pinned versions, once, for all clones on this machine.
#   tests/farm/build.sh [PART...]    into $PROBITY_SERVERS, or else ${XDG_CACHE_HOME:-$HOME/.cache}/probity/servers
# A part lies in PART-KEY, where KEY is the checksum of its files here: clones with other files do not get in each other's
# way, and tests/support/servers/mod.rs finds it by the same rule. It is built where it stays, because Python's environments
# and Java's class archives hold their own path. Locks keep two clones from building at once, and `.built`, written last, says
# that a part is complete. A part that was not used for 30 days is removed.
# Each part comes through the ordinary client of its registry: Maven, the Go module proxy, PyPI, npm. What is here is run by
# tests and never shipped.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
farm=${PROBITY_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/probity/servers}
mkdir -p "$farm"
farm=$(cd "$farm" && pwd)

# jars FOLDER PART: what a pom names, and the launcher beside it as a jar, which class data sharing insists on.
jars() {
    out=$1 part=$2
    shift 2
    mkdir -p "$out/lib" "$out/pom"
    cp "$here/$part/pom.xml" "$out/pom/"
    mvn -B -q -Dstyle.color=never -f "$out/pom/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DexcludeTypes=zip -DoutputDirectory="$out/lib"
    [ $# -gt 0 ] || return 0
    mkdir "$out/classes"
    javac -cp "$out/lib/*" -proc:none -d "$out/classes" "$@"
    jar cf "$out/lib/launcher.jar" -C "$out/classes" .
    rm -r "$out/classes"
}

# once FOLDER CLASS: starts a search server and ends it, for an archive of its classes as the JVM has them once it has read
# them: with it the next ones start in less than half of the time. One that cannot be made is done without.
once() {
    home=$(mktemp -d)
    mkdir "$home/config"
    java -XX:ArchiveClassesAtExit="$1/classes.jsa" -Donce=true -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -Des.distribution.flavor=default -Des.distribution.type=tar -Dlog4j2.configurationFile="$1/log4j2.properties" \
        -cp "$1/lib/*" "$2" path.home="$home" cluster.name=farm node.name=n1 network.host=127.0.0.1 http.type=netty4 \
        transport.type=netty4 http.port=0 transport.port=0 discovery.type=single-node >"$home/log" 2>&1 ||
        echo "no archive of $1's classes: $(tail -1 "$home/log")" >&2
    rm -r "$home"
}

consul() {
    mkdir -p "$1/src"
    cp "$here"/consul/* "$1/src/"
    (cd "$1/src" && export CGO_ENABLED=0 GOFLAGS="-p=2 -buildvcs=false" GOTOOLCHAIN=local && go mod tidy 2>/dev/null &&
        go build -trimpath -ldflags "-s -w" -o ../consul .)
    rm -r "$1/src"
}

elasticsearch() {
    jars "$1" elasticsearch "$here/elasticsearch/EsNode.java"
    cp "$here/elasticsearch/log4j2.properties" "$1/"
    once "$1" EsNode
}

opensearch() {
    jars "$1" opensearch "$here/opensearch/OsNode.java"
    cp "$here/elasticsearch/log4j2.properties" "$1/"
    once "$1" OsNode
}

opensearch_secure() {
    jars "$1" opensearch-secure "$here/opensearch/OsNode.java" "$here/opensearch-secure/ExtendedPluginsClassLoader.java"
    # In a call of its own: together with the jars it unpacks nothing.
    mvn -B -q -Dstyle.color=never -f "$1/pom/pom.xml" dependency:unpack-dependencies -DincludeTypes=zip -DoutputDirectory="$1/plugin"
    cp "$here/elasticsearch/log4j2.properties" "$1/"
}

neo4j() {
    jars "$1" neo4j
    cp "$here/neo4j/auth.ini" "$1/"
}

cassandra() {
    jars "$1" cassandra
    cp "$here/cassandra/jvm17.options" "$here/cassandra/logback.xml" "$1/"
}

# An archive of its classes as well: a server is started once for that.
kafka() {
    jars "$1" kafka
    once=$1/once
    mkdir "$once"
    sed "s|@FOLDER@|$once|" "$here/kafka/once.properties" >"$once/server.properties"
    (
        cd "$once"
        small="-Xmx160m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error"
        # shellcheck disable=SC2086  # several words
        java $small -cp "$1/lib/*" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c server.properties >format.log
        # shellcheck disable=SC2086
        java $small -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info -XX:ArchiveClassesAtExit="$1/classes.jsa" -cp "$1/lib/*" kafka.Kafka server.properties >server.log 2>&1 &
        server=$!
        while kill -0 $server 2>/dev/null && ! grep -q "Server started" server.log; do sleep 0.1; done
        kill $server
        wait $server || true
    )
    rm -r "$once"
}

nats() {
    mkdir -p "$1/src"
    cp "$here/nats/go.mod" "$1/src/"
    (cd "$1/src" && export CGO_ENABLED=0 GOFLAGS="-mod=mod -p=2 -buildvcs=false" GOTOOLCHAIN=local &&
        go build -trimpath -ldflags "-s -w" -o ../nats-server github.com/nats-io/nats-server/v2)
    rm -r "$1/src"
}

mongodb() {
    python3 -m venv "$1/venv"
    "$1/venv/bin/pip" install --quiet --disable-pip-version-check --pre --requirement "$here/mongodb/requirements.txt"
}

# The vendor's own clients, by which the stand-in is proven; neither needs a library of its own beside it.
oracle_clients() {
    python3 -m venv "$1/venv"
    "$1/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement "$here/oracle-clients/requirements.txt"
    cp "$here/oracle-clients"/package*.json "$1/"
    (cd "$1" && npm ci --silent --ignore-scripts --no-audit --no-fund)
}

# A server, and clients of other people that must take our own stand-in for one.
sqlserver() {
    python3 -m venv "$1/venv"
    "$1/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/sqlserver/requirements.txt"
    cp "$here"/sqlserver/package*.json "$1/"
    (cd "$1" && npm ci --silent --no-audit --no-fund)
}

# Its version list is not served, and a plain build panics at start: three files are generated and not in the module.
ferretdb() {
    version=$(cat "$here/ferretdb/version")
    mkdir -p "$1/module"
    (
        cd "$1/module" && printf 'module example.org/ferretdb\ngo 1.26\n' >go.mod
        export CGO_ENABLED=0 GOTOOLCHAIN=local
        source=$(GOFLAGS=-mod=mod go mod download -json "github.com/FerretDB/FerretDB@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
        cp -r "$source" ../src && chmod -R u+w ../src && cd ../src/build/version
        echo "$version" >version.txt && echo unknown >commit.txt && echo main >branch.txt && echo unknown >package.txt
        cd ../.. && go build -p 2 -trimpath -buildvcs=false -ldflags "-s -w" -o ../ferretdb ./cmd/ferretdb
    )
    rm -r "$1/module" "$1/src"
}

# What a part is made with.
tool() {
    case $1 in
        consul | nats | ferretdb) echo go ;;
        mongodb) echo python3 ;;
        oracle-clients | sqlserver) echo python3 npm ;;
        *) echo mvn ;;
    esac
}

# Builds a part unless it is there; called with the lock of its lane held.
build() {
    part=$1 key=$(cat "$here/$1"/* | sha256sum | cut -c1-16)
    folder=$farm/$part-$key
    if [ -e "$folder/.built" ]; then
        touch "$folder/.built"
        return
    fi
    for tool in $(tool "$part"); do
        if ! command -v "$tool" >/dev/null 2>&1; then
            echo "$part is left out: it is made with $tool, which is not installed" >&2
            return
        fi
    done
    echo "building $part" >&2
    begun=$(date +%s)
    rm -rf "$folder"
    mkdir "$folder"
    # Without the lock: a process that is left behind would hold it.
    "$(echo "$part" | tr - _)" "$folder" 9>&-
    # Last: without it the part counts as not built.
    echo "$key" >"$folder/.built"
    echo "built $part: $(du -sh "$folder" | cut -f1), $(($(date +%s) - begun)) s" >&2
}

# lane NAME PART...: parts one after the other.
lane() {
    (
        flock 9
        shift
        for part in "$@"; do
            build "$part"
        done
    ) 9>"$farm/.$1.lock"
}

# Go's compiler keeps all processors busy, the other parts mostly wait for their registry: so one lane each. Maven's and npm's
# own caches are not made for two at once.
[ $# -gt 0 ] ||
    set -- elasticsearch opensearch opensearch-secure neo4j cassandra kafka mongodb oracle-clients sqlserver nats ferretdb consul
compiled="" fetched=""
for part in "$@"; do
    case $(tool "$part") in
        go) compiled="$compiled $part" ;;
        *) fetched="$fetched $part" ;;
    esac
done
# shellcheck disable=SC2086  # lists
lane compiled $compiled &
compiling=$!
# shellcheck disable=SC2086
lane fetched $fetched &
fetching=$!
failed=""
wait "$compiling" || failed=yes
wait "$fetching" || failed=yes
[ -z "$failed" ] || exit 1

find "$farm" -mindepth 2 -maxdepth 2 -name .built -mtime +30 | while read -r mark; do
    echo "removing ${mark%/.built}: not used for 30 days" >&2
    rm -rf "${mark%/.built}"
done
echo "$farm holds $(du -sh "$farm" | cut -f1)" >&2
