#!/bin/sh
# First process of the test machine: mounts, modules, tests, power off.
# Everything is in memory already; nothing is mounted over /tmp, because the
# checkout whose files the tests read may lie there.
# Lines that begin with "@@" are read by vm/console.rs.

/bin/busybox --install -s /bin
export PATH=/tools:/bin HOME=/tmp TMPDIR=/tmp RUST_BACKTRACE=1 CI=true
# Emulation makes each packet cost milliseconds: the host generates the many.
export BOT_AGENT=/bin/bot-agent BOT_VM=1 BOT_FRAMES=4000

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /var/run
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debugfs /sys/kernel/debug
mount -t cgroup2 cgroup2 /sys/fs/cgroup

while read -r module; do
    insmod "/modules/$module.ko" || echo "@@ trouble module $module does not load"
done < /modules/order

ip link set lo up
ulimit -l unlimited

set --
while read -r argument || [ -n "$argument" ]; do
    set -- "$@" "$argument"
done < /arguments

echo "@@ kernel $(uname -r)"
for test in /tests/*; do
    name=${test##*/}
    echo "@@ begin $name"
    cd /tmp && timeout 900 "$test" --test-threads=1 "$@" 2>&1
    echo "@@ end $name $?"
done
echo "@@ done"
poweroff -f
