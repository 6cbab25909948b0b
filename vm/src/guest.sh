#!/bin/busybox sh
# /init of the guest of `cargo xtask vm`. The scenarios follow below, written by the host.
# Every line for the host begins with "@ "; anything else on the console is for people.

/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
# The host ends this machine earlier; this is for a host that died.
(sleep 400; poweroff -f) &

for module in /modules/*; do
    insmod "$module"
done
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2

say() { echo "@ $*"; }

# --- How the clock is put wrong. Only "right" is the code under test.

# The clock as the machine's battery-backed one had it.
booted() { :; }

# A step for any offset: it also ends a slew that a scenario before left.
right() {
    measured --max-offset 100000000 --slew-threshold 0 --no-verify ||
        say error "cannot set the clock right first: $seen"
}

# Behind by so many seconds and the part of one that has gone by.
behind() {
    right
    date -s @$(($(date +%s) - $1)) >/dev/null
}

# Without a step: so many milliseconds with a tick of so many microseconds instead of 10000.
drifted() {
    right
    adjtimex -q -t "$1"
    usleep $(($2 * 1000))
    adjtimex -q -t 10000
}

# Seconds and microseconds that the clock shows, read at once. The kernel counts in nanoseconds (STA_NANO, 8192) after
# the first step.
reading() {
    adjtimex | awk '/status:/ { nano = and($2, 8192) }
        /tv_sec:/ { second = $2 }
        /tv_usec:/ { print second, int(nano ? $2 / 1000 : $2) }'
}

# --- What the scenarios do.

look() {
    measured --dry-run
    say "$1" "$seen"
}

# Runs the command until it is sure to half a millisecond, five times at most: a busy host stops this machine for longer
# than that, now and then.
measured() {
    for _ in 1 2 3 4 5; do
        seen=$(tsq-adjtime $SERVERS "$@" 2>&1) || return
        bound=$(echo "${seen%%sources*}" | sed 's/.*"bound_ns":\([0-9]*\).*/\1/')
        [ "$bound" -lt 500000 ] && return
    done
    true
}

# Runs the command as this user and tells all about it.
try() {
    user=$1
    shift
    before=$(udp_sent)
    su "$user" -s /bin/sh -c "$*" >/out 2>/err
    say exit $?
    say sent $(($(udp_sent) - before))
    say out "$(cat /out)"
    say err "$(cat /err)"
}

# Waits for the end of the slew that the command began; the kernel slews from one full second to the next.
slewed() {
    nanos=$(sed -n 's/.*"slew_ns":\([0-9]*\).*/\1/p' /out)
    sleep $((${nanos:-0} / 1000000000 + 3))
}

# UDP packets this machine has sent since it started, over any interface.
udp_sent() { awk '/^Udp: [0-9]/ { print $5 }' /proc/net/snmp; }

# The clock itself, for the host to compare with its own on receipt; more than once, for a line may be late.
clock() {
    for _ in 1 2 3 4 5; do
        say clock "$(reading)"
    done
    say hardware "$(cat /sys/class/rtc/rtc0/since_epoch)"
}
