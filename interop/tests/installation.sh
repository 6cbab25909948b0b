# Runs the blocks of docs/operate/install.md as four hosts would: three servers and a client, in a network namespace of their
# own whose root may set no clock. $1: the built programs, $2: the project, $3: the blocks (NUMBER.sh), $4: a folder to work in.
#
# What belongs to a whole system stands for itself here: a path of it is one below the host's own folder, systemctl
# starts what the installed unit names, sudo and the makers of users do nothing.
set -eu
programs=$1 project=$2 blocks=$3 work=$4
ip link set lo up
mkdir -p "$work/stubs" "$work/tree"
cd "$work"
ln -s "$project/packaging" tree/packaging
mkdir -p tree/target
ln -s "$programs" tree/target/release

stub() { cat >"stubs/$1"; chmod +x "stubs/$1"; }
printf '#!/bin/sh\nexec "$@"\n' | stub sudo
for name in cargo useradd userdel; do printf '#!/bin/sh\n' | stub $name; done
stub systemctl <<'END'
#!/bin/sh
# Does what the unit's ExecStartPre= and ExecStart= say; of a timer, nothing.
set -eu
verb=$1
shift
[ "$verb" = daemon-reload ] && exit
for unit; do
    case $unit in --now | *.timer) continue ;; esac
    name=${unit%.service}
    file=$ROOT/etc/systemd/system/$name.service
    line() { sed -n "s,^$1=/usr/bin,$ROOT/usr/bin,p" "$file" | sed "s, /etc/, $ROOT/etc/,g"; }
    case $verb in restart | disable)
        [ ! -e "$ROOT/$name.pid" ] || kill "$(cat "$ROOT/$name.pid")"
        while [ -e "$ROOT/$name.pid" ] && kill -0 "$(cat "$ROOT/$name.pid")" 2>/dev/null; do sleep 0.1; done
        ;;
    esac
    case $verb in enable | start | restart)
        $(line ExecStartPre)
        if grep -q '^Type=oneshot' "$file"; then
            # A clock is set nowhere here.
            $(line ExecStart) --dry-run --state-dir "$ROOT/var/lib"
        else
            : >"$ROOT/log"
            $(line ExecStart | sed 's/ --take-over//') --state-dir "$ROOT/var/lib" >>"$ROOT/log" 2>&1 &
            echo $! >"$ROOT/$name.pid"
            until grep -qs listening "$ROOT/log"; do kill -0 $! || { cat "$ROOT/log" >&2; exit 1; }; sleep 0.1; done
        fi
        ;;
    esac
done
END

# Runs block $2 as host $1, in folder $3.
block() {
    ROOT=$work/host$1
    mkdir -p "$ROOT/usr/bin" "$ROOT/etc/systemd/system" "$ROOT/var/lib" "$3"
    sed -e "s,/usr/bin,$ROOT/usr/bin,g" -e "s,/etc/,$ROOT/etc/,g" \
        -e "s,/var/lib,$ROOT/var/lib,g" -e 's, -o tsq,,' -e "s,\\[::\\]:443,127.0.0.$1:443," -e "s,127\\.0\\.0\\.1:9443,127.0.0.$1:9443,g" \
        -e 's,time\([123]\)\.example,127.0.0.\1,g' "$blocks/$2.sh" >"$work/block.sh"
    echo "== host $1, block $2"
    (cd "$3" && ROOT=$ROOT PATH=$ROOT/usr/bin:$work/stubs:$PATH sh -eu "$work/block.sh")
}

for host in 1 2 3 4; do block $host 1 tree; done
mkdir authority-host
block 4 2 authority-host
for host in 1 2 3; do
    block $host 3 "authority-host/time$host"
    # Nobody keeps the clock of a host that tests run on.
    echo 'serve-unsynchronised = true' >>"host$host/etc/tsq/tsq-server.toml"
    block $host 4 tree
done
block 4 5 authority-host/authority
block 4 6 tree
for host in 1 2 3; do block $host 7 tree; done
mkdir receipts
block 1 8 receipts
block 4 9 receipts
block 4 10 tree
block 2 11 tree
for host in 1 2 3; do block $host 12 tree; done
for host in 1 2 3; do
    [ -z "$(find "host$host/etc" "host$host/usr" -type f)" ] || { find "host$host"; exit 1; }
done
echo "all blocks done"
