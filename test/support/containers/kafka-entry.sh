#!/bin/busybox sh
# shellcheck shell=dash
# Entry point of the image: formats the storage the first time and becomes the broker. Settings come as they do in the official
# image: KAFKA_LOG_DIRS of the environment is log.dirs, KAFKA_HEAP_OPTS are options of Java.
set -eu
config=/tmp/server.properties
/bin/busybox awk 'BEGIN {
  for (name in ENVIRON) {
    if (name !~ /^KAFKA_/ || name ~ /_OPTS$/) continue
    key = tolower(substr(name, 7))
    gsub(/_/, ".", key)
    print key "=" ENVIRON[name]
  }
}' >$config
run="/usr/bin/java ${KAFKA_HEAP_OPTS:-} -Dorg.slf4j.simpleLogger.defaultLogLevel=info -cp /opt/kafka/libs/*"
# Not expanded by the shell: Java does that.
set -f
if [ ! -e "$KAFKA_LOG_DIRS/meta.properties" ]; then
  $run kafka.tools.StorageTool format --cluster-id MkU3OEVBNTcwNTJENDM2Qg --config $config
fi
exec $run kafka.Kafka $config
