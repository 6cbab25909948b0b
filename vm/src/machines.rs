//! The machines and what is tried on each.

use super::scenario::{After, Battery, Before, Hardware, Machine, PLAIN, Scenario};

/// A slew takes 2000 times its length; this machine runs beside the others.
pub(super) const SLEWED: Machine = Machine {
    name: "slewed",
    battery: Battery::Ahead(0),
    scenarios: &[Scenario {
        name: "50 ms behind is slewed to the end",
        before: Before::Drifted(50),
        action: Some("slew"),
        after: After::Slewed,
        ..PLAIN
    }],
};

/// In this order.
pub(super) const MACHINES: [Machine; 4] = [
    Machine {
        name: "slow",
        battery: Battery::Ahead(-17 * HOUR),
        scenarios: &[
            Scenario {
                name: "17 h behind since boot, dates that may not wait are not yet valid",
                before: Before::Booted,
                command: "tsq-adjtime --timeout 10000 $DATED --max-start-offset none --bootstrap never",
                exit: 7,
                action: Some("refused"),
                json: &[
                    ("/trust/state", "floor"),
                    ("/sources/0/verdict", "certificate_not_yet_valid"),
                ],
                ..PLAIN
            },
            Scenario {
                name: "17 h behind since boot, trust widens no limit",
                before: Before::Booted,
                command: "tsq-adjtime --timeout 10000 $DATED",
                exit: 5,
                action: Some("refused"),
                json: &[("/trust/state", "verified")],
                ..PLAIN
            },
            Scenario {
                name: "17 h behind since boot, certificates not yet valid, is stepped",
                before: Before::Booted,
                command: "tsq-adjtime --timeout 10000 $DATED --max-start-offset none",
                action: Some("step"),
                json: &[
                    ("/trust/before", "floor"),
                    ("/trust/state", "verified"),
                    (
                        "/sources/2/certificate/deferred",
                        "certificate_not_yet_valid",
                    ),
                ],
                after: After::Right,
                ..PLAIN
            },
            Scenario {
                name: "3 s behind after the first of a boot is past the limit",
                before: Before::Behind(3),
                command: "tsq-adjtime $SERVERS --max-start-offset none",
                exit: 5,
                action: Some("refused"),
                ..PLAIN
            },
            Scenario {
                name: "300 ms behind is stepped",
                before: Before::Drifted(300),
                action: Some("step"),
                after: After::Right,
                ..PLAIN
            },
            Scenario {
                name: "2 ms ahead is slewed to the end",
                before: Before::Drifted(-2),
                action: Some("slew"),
                after: After::Slewed,
                ..PLAIN
            },
            Scenario {
                name: "3 s behind is past the limit",
                before: Before::Behind(3),
                exit: 5,
                action: Some("refused"),
                ..PLAIN
            },
            Scenario {
                name: "not root is refused at once",
                before: Before::Drifted(300),
                user: "nobody",
                exit: 6,
                action: None,
                ..PLAIN
            },
            Scenario {
                name: "--no-verify does not look again",
                before: Before::Drifted(300),
                command: "tsq-adjtime $SERVERS --no-verify",
                action: Some("step"),
                after: After::Right,
                ..PLAIN
            },
            Scenario {
                name: "two runs at once make one step",
                before: Before::Drifted(300),
                // The object of the one that stepped; two would be none.
                command: "tsq-adjtime $SERVERS >/1 & tsq-adjtime $SERVERS >/2; wait; grep -h action.:.step /1 /2",
                action: Some("step"),
                after: After::Right,
                ..PLAIN
            },
            Scenario {
                name: "folder of state on a read-only disk is refused where it was named",
                before: Before::Drifted(300),
                command: "mkdir -p /ro; mount -t tmpfs -o ro,mode=700 tmpfs /ro; tsq-adjtime $SERVERS --state-dir /ro",
                exit: 2,
                action: None,
                ..PLAIN
            },
            Scenario {
                name: "folder of state on a read-only disk that nobody named keeps no clock wrong",
                before: Before::Drifted(300),
                command: "STATE_DIRECTORY=/ro tsq-adjtime $SERVERS",
                action: Some("step"),
                after: After::Right,
                ..PLAIN
            },
            Scenario {
                name: "self-test works",
                command: "tsq-adjtime self-test --queries 10 --json",
                ..PLAIN
            },
        ],
    },
    Machine {
        name: "fast",
        battery: Battery::Ahead(3 * 365 * 24 * HOUR),
        scenarios: &[
            Scenario {
                name: "3 years ahead since boot, dates that may not wait are expired",
                before: Before::Booted,
                command: "tsq-adjtime --timeout 10000 $DATED --max-start-offset none --bootstrap never",
                exit: 7,
                action: Some("refused"),
                json: &[("/sources/0/verdict", "certificate_expired")],
                ..PLAIN
            },
            Scenario {
                name: "3 years ahead since boot, certificates expired, is stepped",
                before: Before::Booted,
                command: "tsq-adjtime --timeout 10000 $DATED --max-start-offset none",
                action: Some("step"),
                json: EXPIRED_AND_VERIFIED,
                after: After::Right,
                ..PLAIN
            },
        ],
    },
    Machine {
        name: "era",
        // A day after the seconds of NTP's timestamps began anew.
        battery: Battery::Shows(2_085_978_496 + 24 * HOUR),
        scenarios: &[Scenario {
            name: "2036, in the next NTP era, since boot is stepped back into this one",
            before: Before::Booted,
            command: "tsq-adjtime --timeout 10000 $DATED --max-start-offset none",
            action: Some("step"),
            json: EXPIRED_AND_VERIFIED,
            after: After::Right,
            ..PLAIN
        }],
    },
    Machine {
        name: "local",
        battery: Battery::Ahead(2 * HOUR),
        scenarios: &[
            Scenario {
                name: "RTC in local time is recognised",
                before: Before::Booted,
                command: "tsq-adjtime rtc --timeout 10s $DATED",
                exit: 5,
                action: None,
                json: &[("/verdict", "local_time"), ("/trust", "verified")],
                ..PLAIN
            },
            Scenario {
                name: "RTC in local time stays so when the clock is stepped",
                before: Before::Booted,
                command: "tsq-adjtime --timeout 10000 $DATED --max-start-offset none",
                action: Some("step"),
                after: After::Right,
                ..PLAIN
            },
            Scenario {
                name: "RTC in local time is set with --write",
                command: "tsq-adjtime rtc --timeout 10s --write $DATED",
                action: None,
                json: &[("/verdict", "local_time")],
                hardware: Hardware::Right,
                ..PLAIN
            },
            Scenario {
                name: "RTC that was set is right",
                command: "tsq-adjtime rtc --timeout 10s $DATED",
                action: None,
                json: &[("/verdict", "right")],
                hardware: Hardware::Right,
                ..PLAIN
            },
        ],
    },
];

const EXPIRED_AND_VERIFIED: &[(&str, &str)] = &[
    ("/trust/state", "verified"),
    ("/sources/0/certificate/deferred", "certificate_expired"),
    ("/sources/1/certificate/deferred", "certificate_expired"),
    ("/sources/2/certificate/deferred", "certificate_expired"),
];

const HOUR: i64 = 3600;
