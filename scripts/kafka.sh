#!/usr/bin/env bash
# Apache Kafka on loopback, one broker in KRaft mode, for tests and for trying things out:
#
#   scripts/kafka.sh fetch              its jars from Maven into .cache, once
#   scripts/kafka.sh start DIR [PORT [VIA]]   formats DIR if it is new, starts the broker and waits until it answers; 9092.
#                                       With VIA, the port of a proxy that leads to PORT + 2, clients that come
#                                       through the proxy are told to come back through it
#   scripts/kafka.sh stop DIR           stops it
#   scripts/kafka.sh kill DIR           kills it, as a crash would
#   scripts/kafka.sh freeze DIR         stops it where it is; its connections stay open
#   scripts/kafka.sh thaw DIR           lets it go on
#
# Takes Java 17 or newer, and Maven for the first time. Exits with 3 where they are missing. The broker's log is DIR/log.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

version=4.1.1
libs=$here/.cache/kafka-$version

fetch() {
    [ ! -e "$libs/complete" ] || return 0
    command -v mvn >/dev/null || { echo "kafka: Maven is missing (apt-get install maven)" >&2; exit 3; }
    mkdir -p "$libs"
    cat >"$libs/pom.xml" <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tessera</groupId> <artifactId>kafka</artifactId> <version>1</version> <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId> <artifactId>kafka_2.13</artifactId> <version>$version</version>
    </dependency>
    <dependency> <groupId>org.slf4j</groupId> <artifactId>slf4j-simple</artifactId> <version>1.7.36</version> </dependency>
  </dependencies>
</project>
END
    mvn -q -B -f "$libs/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$libs" || { echo "kafka: its jars could not be fetched, see above" >&2; exit 3; }
    touch "$libs/complete"
}

is_running() {
    [ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null
}

start() {
    local dir=$1 port=${2:-9092} via=${3:-} listeners='' advertised=''
    command -v java >/dev/null || { echo "kafka: Java is missing (apt-get install openjdk-17-jre-headless)" >&2; exit 3; }
    fetch
    is_running "$dir" && { echo "kafka: it runs already in $dir" >&2; exit 1; }
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if [ -n "$via" ]; then
        listeners=,PROXIED://127.0.0.1:$((port + 2))
        advertised=,PROXIED://127.0.0.1:$via
    fi
    cat >"$dir/server.properties" <<END
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))$listeners
advertised.listeners=PLAINTEXT://127.0.0.1:$port$advertised
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$((port + 1))
log.dirs=$dir/data
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
END
    local java=(java -Xms128m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$libs/*")
    if [ ! -e "$dir/data/meta.properties" ]; then
        "${java[@]}" kafka.tools.StorageTool format -t dGVzc2VyYS10ZXN0LWtmaw -c "$dir/server.properties" >>"$dir/log" 2>&1 ||
            { tail -n 20 "$dir/log" >&2; echo "kafka: $dir could not be formatted" >&2; exit 1; }
    fi
    # Its port is open long before it answers.
    local before
    touch "$dir/log"
    before=$(grep -c 'Kafka Server started' "$dir/log" || true)
    nohup "${java[@]}" kafka.Kafka "$dir/server.properties" >>"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    for _ in $(seq 600); do
        is_running "$dir" || { tail -n 20 "$dir/log" >&2; echo "kafka: it did not start" >&2; exit 1; }
        [ "$(grep -c 'Kafka Server started' "$dir/log" || true)" -gt "$before" ] && return 0
        sleep 0.2
    done
    echo "kafka: it does not come up on port $port; see $dir/log" >&2
    exit 1
}

end() {
    local signal=$1 dir=$2
    is_running "$dir" || return 0
    local pid
    pid=$(cat "$dir/pid")
    kill "-$signal" "$pid" 2>/dev/null || true
    for _ in $(seq 150); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$dir/pid"
}

case "${1:-}" in
    fetch) fetch ;;
    start) start "${2:?a folder}" "${3:-}" "${4:-}" ;;
    stop) end TERM "${2:?a folder}" ;;
    kill) end KILL "${2:?a folder}" ;;
    freeze) kill -STOP "$(cat "${2:?a folder}/pid")" ;;
    thaw) kill -CONT "$(cat "${2:?a folder}/pid")" ;;
    *) sed -n '2,14p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 2 ;;
esac
