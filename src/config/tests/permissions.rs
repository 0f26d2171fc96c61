//! Tests of `permissions:`.

use std::net::IpAddr;
use std::path::Path;

use super::{config, faults};
use crate::config::{Need, Permissions};

fn permissions(text: &str) -> Permissions {
    config(text).permissions
}

fn is_allowed(permissions: &Permissions, script: &str, need: Need<'_>) -> bool {
    permissions.check(script, need).is_ok()
}

fn is_allowed_address(permissions: &Permissions, host: &str, address: &str) -> bool {
    permissions.check_address("door", host, 443, address.parse::<IpAddr>().unwrap()).is_ok()
}

#[test]
fn without_rules_the_network_is_allowed_and_the_machine_is_denied() {
    let permissions = permissions("");
    assert!(is_allowed(&permissions, "door", Need::Host("nas.local", 80)));
    assert!(is_allowed(&permissions, "door", Need::Host("192.168.1.4", 80)));
    assert!(is_allowed(&permissions, "door", Need::Publish("house/door")));
    assert!(is_allowed(&permissions, "door", Need::Subscribe("$SYS/#")));
    for need in [
        Need::Read(Path::new("/house/x")),
        Need::Write(Path::new("/house/x")),
        Need::Program("ls"),
        Need::Variable("HOME"),
        Need::Secret("ntfy"),
    ] {
        assert!(!is_allowed(&permissions, "door", need), "{need:?}");
    }
}

#[test]
fn metadata_services_are_denied_unless_named() {
    let open = permissions("permissions: {\"*\": {http: [\"*\"]}}");
    for permissions in [&Permissions::default(), &open] {
        for host in ["169.254.169.254", "METADATA.google.internal.", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]"] {
            assert!(!is_allowed(permissions, "door", Need::Host(host, 80)), "{host}");
        }
        assert!(!is_allowed_address(permissions, "harmless.example.com", "169.254.169.254"));
        assert!(!is_allowed_address(permissions, "harmless.example.com", "::ffff:169.254.169.254"));
        assert!(is_allowed_address(permissions, "nas.local", "192.168.1.4"));
    }
    let private = permissions("permissions: {\"*\": {http: [\"192.168.*\", \"[fd00:0:0::1]:80\", bücher.example]}}");
    assert!(is_allowed(&private, "door", Need::Host("[::ffff:192.168.1.4]", 80)));
    assert!(is_allowed(&private, "door", Need::Host("[fd00::1]", 80)));
    assert!(is_allowed(&private, "door", Need::Host("xn--bcher-kva.example", 80)));
    let named = permissions("permissions: {\"*\": {http: [\"*\", 169.254.169.254, metadata.google.internal]}}");
    assert!(is_allowed(&named, "door", Need::Host("169.254.169.254", 80)));
    assert!(is_allowed(&named, "door", Need::Host("metadata.google.internal", 80)));
    assert!(is_allowed_address(&named, "metadata.google.internal", "169.254.169.254"));
}

#[test]
fn public_denies_private_addresses() {
    let permissions = permissions("permissions: {\"*\": {http: [public, \"nas.local:443\"]}}");
    assert!(is_allowed_address(&permissions, "example.com", "93.184.216.34"));
    assert!(!is_allowed_address(&permissions, "example.com", "192.168.1.4"));
    assert!(!is_allowed_address(&permissions, "example.com", "::1"));
    assert!(is_allowed_address(&permissions, "nas.local", "192.168.1.4"));
    assert!(!is_allowed(&permissions, "door", Need::Host("127.0.0.1", 80)));
    assert!(!is_allowed(&permissions, "door", Need::Host("[::1]", 80)));
    let denied = permissions.check_address("door", "example.com", 80, "10.0.0.1".parse().unwrap()).unwrap_err();
    assert_eq!(denied.message, "`door` may not call \"example.com\", which is 10.0.0.1 (rhaid.yaml:1:15)");
}

#[test]
fn a_rule_replaces_the_default_and_rules_are_combined() {
    let permissions = permissions(
        "permissions:\n  \"*\":\n    http: [\"*.example.com\", \"nas.local:8080\"]\n    publish: [house/#]\n  garden/*:\n    http: other.org\n    publish: [garden/+/valve]\n    subscribe: []\n",
    );
    assert!(is_allowed(&permissions, "door", Need::Host("api.EXAMPLE.com", 443)));
    assert!(!is_allowed(&permissions, "door", Need::Host("example.com", 443)));
    assert!(is_allowed(&permissions, "door", Need::Host("nas.local", 8080)));
    assert!(!is_allowed(&permissions, "door", Need::Host("nas.local", 80)));
    assert!(!is_allowed(&permissions, "door", Need::Host("other.org", 80)));
    assert!(is_allowed(&permissions, "garden/water", Need::Host("other.org", 80)));
    assert!(is_allowed(&permissions, "garden/water", Need::Host("api.example.com", 80)));
    assert!(is_allowed(&permissions, "garden/water", Need::Publish("garden/1/valve")));
    assert!(!is_allowed(&permissions, "door", Need::Publish("garden/1/valve")));
    assert!(is_allowed(&permissions, "door", Need::Subscribe("#")));
    assert!(!is_allowed(&permissions, "garden/water", Need::Subscribe("garden/1")));
}

#[test]
fn a_filter_is_allowed_if_an_allowed_one_covers_it() {
    let permissions = permissions("permissions: {\"*\": {subscribe: [\"house/+/state\", \"garden/#\"]}}");
    for filter in ["house/door/state", "house/{room}/state", "garden", "garden/+/x", "$share/g/garden/#"] {
        assert!(is_allowed(&permissions, "door", Need::Subscribe(filter)), "{filter}");
    }
    for filter in ["house/#", "#", "+/door/state", "house/door"] {
        assert!(!is_allowed(&permissions, "door", Need::Subscribe(filter)), "{filter}");
    }
}

#[test]
fn paths_are_folders_with_their_contents_or_globs() {
    let permissions = permissions(
        "permissions:\n  \"*\":\n    read: [./data, \"logs/*.txt\", \"deep/**\", /etc/hostname]\n    write: [../shared/out]\n    exec: [git, /usr/bin/curl, ./tools/*]\n    env: [HOME, \"CITY_*\"]\n    secrets: ntfy\n",
    );
    let read = |path: &str| is_allowed(&permissions, "door", Need::Read(Path::new(path)));
    for path in
        ["/house/data", "/house/data/a/b", "/house/logs/a.txt", "/house/deep", "/house/deep/a/b", "/etc/hostname"]
    {
        assert!(read(path), "{path}");
    }
    for path in ["/house", "/house/database", "/house/logs/a/b.txt", "/etc/passwd", "/house/data/../rhaid.yaml"] {
        assert!(!read(path), "{path}");
    }
    assert!(is_allowed(&permissions, "door", Need::Write(Path::new("/shared/out/x"))));
    assert!(!is_allowed(&permissions, "door", Need::Write(Path::new("/house/data/x"))));
    for (program, allowed) in [
        ("git", true),
        ("/usr/bin/git", false),
        ("/usr/bin/curl", true),
        ("/house/tools/x", true),
        ("./tools/x", true),
        ("sh", false),
    ] {
        assert_eq!(is_allowed(&permissions, "door", Need::Program(program)), allowed, "{program}");
    }
    assert!(is_allowed(&permissions, "door", Need::Variable("CITY_NAME")));
    assert!(!is_allowed(&permissions, "door", Need::Variable("PATH")));
    assert!(is_allowed(&permissions, "door", Need::Secret("ntfy")));
}

#[test]
fn a_denial_says_which_line_to_add() {
    let hint = |text: &str, need: Need<'_>| permissions(text).check("door", need).unwrap_err().hint;
    let file = Path::new("/house/data/x.txt");
    assert_eq!(
        hint("", Need::Read(file)),
        "add to rhaid.yaml: `permissions: { \"door\": { read: [\"./data/x.txt\"] } }`"
    );
    assert_eq!(
        hint("permissions: {\"*\": {read: []}}", Need::Program("git")),
        "add to rhaid.yaml, below `permissions:`: `\"door\": { exec: [\"git\"] }`"
    );
    assert_eq!(
        hint("permissions:\n  door:\n    env: [A]\n", Need::Secret("ntfy")),
        "in rhaid.yaml, line 2: add `secrets: [\"ntfy\"]` below \"door\""
    );
    assert_eq!(
        hint("permissions:\n  door:\n    env: [A]\n", Need::Variable("B")),
        "in rhaid.yaml, line 2: add `\"B\"` to `env` of \"door\""
    );
    assert_eq!(
        hint("", Need::Host("169.254.169.254", 80)),
        "add to rhaid.yaml: `permissions: { \"door\": { http: [\"*\", \"169.254.169.254\"] } }`"
    );
}

#[test]
fn the_line_of_a_denial_allows_the_access() {
    let line = |text: &str, need: Need<'_>| {
        let hint = permissions(text).check("door", need).unwrap_err().hint;
        hint.split('`').nth(1).unwrap().to_owned()
    };
    for need in [
        Need::Host("169.254.169.254", 8080),
        Need::Host("fd00:ec2::254", 80),
        Need::Read(Path::new("/house/data/with space [x].txt")),
        Need::Write(Path::new("/elsewhere/x")),
        Need::Read(Path::new("/odd/back\\slash \u{7}}")),
        Need::Program("/usr/bin/curl"),
        Need::Program("./tools/*"),
        Need::Variable("HOME"),
        Need::Secret("a \"b\""),
    ] {
        let line = line("", need);
        assert_eq!(permissions(&line).check("door", need), Ok(()), "{line}");
    }
    let open = permissions(&line("", Need::Host("169.254.169.254", 80)));
    assert!(is_allowed(&open, "door", Need::Host("example.com", 80)), "allowed access stays allowed");
}

#[test]
fn a_wrong_rule_says_what_to_write() {
    assert_eq!(
        faults(
            "permissions:\n  \"[\":\n    htp: x\n  door:\n    http: [\"https://a.b\", \"a:x\"]\n    publish: [a/#/b]\n    read: [3, [x]]\n    env: \"\"\n  x: [read]\n"
        ),
        [
            "rhaid.yaml:2:3: `permissions`: \"[\" is not a glob: unclosed character class; missing ']'",
            "rhaid.yaml:3:5: unknown key `permissions.\"[\".htp`: did you mean `permissions.\"[\".http`?",
            "rhaid.yaml:5:12: `permissions.\"door\".http`: \"https://a.b\" is not a host: write only its name, such as \"api.example.com\" or \"*.example.com:8443\"",
            "rhaid.yaml:5:27: `permissions.\"door\".http`: \"a:x\" has an invalid port: write a number from 1 to 65535",
            "rhaid.yaml:6:15: `permissions.\"door\".publish`: \"a/#/b\": `#` matches all remaining levels: write it last",
            "rhaid.yaml:7:15: `permissions.\"door\".read`: write a single value, not a list",
            "rhaid.yaml:8:10: `permissions.\"door\".env`: write some text, not \"\"",
            "rhaid.yaml:9:6: `permissions.\"x\"` must be a map: write `key: value` lines, not a list",
        ]
    );
}
