# In the guest: what becomes of the shipped unit under a real systemd. A line for each finding.
show() { systemctl show "${2:-tsq-server}" -p "$1" --value; }
log() { journalctl -u tsq-server -o cat --no-pager; }
field() { grep "^$1:" "/proc/$(show MainPID)/status" | tr '\t' ' ' | cut -d' ' -f2; }
# Name, what was found, what is expected (a pattern).
expect() {
    case "$2" in
    $3) echo "judge ok $1: $2" ;;
    *) echo "judge WRONG $1: $2, expected $3" ;;
    esac
}
answers() {
    tsq-adjtime --dry-run --timeout 10000 --pin "$pin" 127.0.0.1:443 >/run/answer 2>&1
    echo $?
}
# Waits for a property to become a value.
await() {
    for _ in $(busybox seq 60); do
        [ "$(show "$1" "$3")" = "$2" ] && break
        sleep 2
    done
    show "$1" "$3"
}

pin=$(log | grep -o 'pin=[0-9a-f]*' | tail -n 1 | cut -d= -f2)
expect "started, and said so itself" "$(show Type) $(show ActiveState)" "notify active"
expect "user made at the start" "$(field Uid)" "6[1-5]???"
expect "capabilities: the port below 1024" "$(field CapEff) $(field CapBnd)" "0000000000000400 0000000000000400"
expect "no new privileges, seccomp" "$(field NoNewPrivs) $(field Seccomp)" "1 2"
expect "its own sandbox inside the unit's" "$(log | grep -c 'confined (landlock).*confined (seccomp)')" 1
expect "file system for reading only" "$(cut -d' ' -f5,6 "/proc/$(show MainPID)/mountinfo" | grep '^/ ' | tail -n 1)" "/ ro*"
expect "state directory its own" "$(stat -c '%a %u' /var/lib/private/tsq)" "700 $(field Uid)"
expect "clients are answered" "$(answers)" 0

systemctl reload tsq-server
expect "reload is waited for, and done" "$(log | grep -c 'certificates read again') $(show ActiveState)" "1 active"

# The thread that reads a packet from there panics.
ip address add 10.6.6.6/32 dev lo
tsq-adjtime --dry-run --timeout 1000 --pin "$pin" 10.6.6.6:443 >/dev/null 2>&1
expect "dead thread: started again" "$(await NRestarts 1)" 1
expect "dead thread: ended with 1, the reason in the journal" \
    "$(log | grep -c 'failed while running: thread tsq-. panicked') $(log | grep -c 'status=1/FAILURE')" "1 1"
await ActiveState active >/dev/null
expect "dead thread: answered by the next, same certificate" "$(answers)" 0

kill -STOP "$(show MainPID)"
expect "hanging: the watchdog starts it again" "$(await NRestarts 2)" 2
expect "hanging: why" "$(log | grep -c 'Watchdog timeout')" 1
await ActiveState active >/dev/null
expect "hanging: answered by the next" "$(answers)" 0

systemctl start tsq-server@2
expect "instance takes over" "$(show ActiveState tsq-server@2)" active
expect "the one before ends by itself" "$(await ActiveState inactive) $(show Result) $(show NRestarts)" "inactive success *"
expect "instance answers" "$(answers)" 0
systemctl stop tsq-server@2
expect "stopped with 0" "$(show Result tsq-server@2) $(show ExecMainStatus tsq-server@2)" "success 0"

# Five starts in ten seconds would be the end by systemd's own rules.
mv /etc/tsq/tsq-server.toml /etc/tsq/away.toml
systemctl start --no-block tsq-server
for _ in $(busybox seq 60); do
    [ "$(show NRestarts)" -gt 10 ] && break
    sleep 2
done
expect "cannot start: tried on and on" "$([ "$(show NRestarts)" -gt 10 ] && show ActiveState)" activating
mv /etc/tsq/away.toml /etc/tsq/tsq-server.toml
await ActiveState active >/dev/null
expect "cannot start: until it can" "$(answers)" 0
echo "judge done"
systemctl poweroff --force --force
