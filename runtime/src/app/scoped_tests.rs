//! Every form of the command line, and what is said of bad ones.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::app::binding::{Encoding, SecretRef};
use std::num::NonZeroU32;

fn env(typed: &str) -> Result<Scoped<EnvEntry>, BindingError> {
    typed.parse()
}

fn secret(typed: &str) -> Result<Scoped<SecretBinding>, BindingError> {
    typed.parse()
}

fn work(scoped: &Option<WorkName>) -> Option<&str> {
    scoped.as_ref().map(WorkName::as_str)
}

#[test]
fn env_entries() {
    for (typed, of, name, value) in [
        ("FOO=bar", None, "FOO", "bar"),
        ("FOO=a=b", None, "FOO", "a=b"),
        ("FOO=", None, "FOO", ""),
        ("FOO=a:b", None, "FOO", "a:b"),
        ("train:FOO=x:y=z", Some("train"), "FOO", "x:y=z"),
    ] {
        let entry = env(typed).unwrap();
        assert_eq!(work(&entry.work), of, "{typed}");
        assert_eq!(
            (entry.item.name.as_str(), entry.item.value.as_str()),
            (name, value)
        );
    }
}

#[test]
fn env_entries_are_refused_with_reasons_and_without_values() {
    assert!(
        env("FOO")
            .unwrap_err()
            .to_string()
            .contains("never inherited")
    );
    assert!(
        env("train:FOO")
            .unwrap_err()
            .to_string()
            .contains("never inherited")
    );
    assert_eq!(
        env("=hunter2").unwrap_err(),
        BindingError::NoName { form: "VALUE" }
    );
    assert_eq!(
        env("train:=x").unwrap_err(),
        BindingError::NoName { form: "VALUE" }
    );
    assert_eq!(
        env("hunter-2").unwrap_err(),
        BindingError::NoEquals { form: "VALUE" }
    );
    assert!(matches!(
        env("MY-VAR=hunter2").unwrap_err(),
        BindingError::Name(_)
    ));
    assert!(matches!(
        env("LEYDEN_X=hunter2").unwrap_err(),
        BindingError::Name(_)
    ));
    assert!(matches!(
        env("a.b:FOO=hunter2").unwrap_err(),
        BindingError::Name(_)
    ));
    assert!(matches!(
        env("FOO=hunter2\0").unwrap_err(),
        BindingError::Nul { .. }
    ));
    for bad in [
        "=hunter2",
        "MY-VAR=hunter2",
        "a.b:FOO=hunter2",
        "FOO=hunter2\0",
        "hunter2=",
    ] {
        if let Err(error) = env(bad) {
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{bad}");
        }
    }
    assert!(!format!("{:?}", env("FOO=hunter2").unwrap()).contains("hunter2"));
}

#[test]
fn secrets() {
    for (typed, of, name, version, encoding) in [
        ("A=my-secret", None, "my-secret", None, Encoding::Text),
        ("A=My-Secret@3", None, "My-Secret", Some(3), Encoding::Text),
        (
            "w:A=s.t@12:base64",
            Some("w"),
            "s.t",
            Some(12),
            Encoding::Base64,
        ),
        ("A=s:base64", None, "s", None, Encoding::Base64),
    ] {
        let binding = secret(typed).unwrap();
        assert_eq!(work(&binding.work), of, "{typed}");
        let SecretRef {
            name: n,
            version: v,
            encoding: e,
        } = binding.item.secret;
        assert_eq!(
            (n.as_str(), v.map(NonZeroU32::get), e),
            (name, version, encoding)
        );
    }
    let no_secret = |env: &str| BindingError::NoSecret {
        env: env.parse().unwrap(),
    };
    assert_eq!(secret("A").unwrap_err(), no_secret("A"));
    assert_eq!(secret("A=").unwrap_err(), no_secret("A"));
    assert_eq!(
        secret("=s").unwrap_err(),
        BindingError::NoName { form: "SECRET" }
    );
    for bad in [
        "A=s@0",
        "A=s@",
        "A=s@-1",
        "A=s@+1",
        "A=s@01",
        "A=s@latest",
        "A=s@4294967296",
    ] {
        assert!(
            matches!(secret(bad).unwrap_err(), BindingError::Version { .. }),
            "{bad}"
        );
    }
    for bad in [
        "A=s:",
        "A=s:BASE64",
        "A=s:hex",
        "A=s:base64@1",
        "A=s:base64:base64",
    ] {
        assert!(
            matches!(secret(bad).unwrap_err(), BindingError::Encoding { .. }),
            "{bad}"
        );
    }
    assert!(matches!(
        secret("A=MY_SECRET").unwrap_err(),
        BindingError::Name(_)
    ));
}

#[test]
fn a_work_before_a_host() {
    for (typed, of, host) in [
        ("a:123", None, "a:123"),
        ("train:db", Some("train"), "db"),
        ("train:db:5432", Some("train"), "db:5432"),
        ("train:http://db:80", Some("train"), "http://db"),
        ("http://db", None, "http://db"),
        ("http:db", Some("http"), "db"),
        ("https://example.com:8443", None, "example.com:8443"),
        ("fe80::1", None, "[fe80::1]"),
        ("train:[fe80::1]:80", Some("train"), "[fe80::1]:80"),
        ("train:::1", Some("train"), "[::1]"),
        ("::1", None, "[::1]"),
        ("train:1.2.3.4", Some("train"), "1.2.3.4"),
    ] {
        let scoped: Scoped<HostRule> = typed.parse().unwrap();
        assert_eq!(work(&scoped.work), of, "{typed}");
        assert_eq!(scoped.item.to_string(), host, "{typed}");
    }
    assert!("train:".parse::<Scoped<HostRule>>().is_err());
    assert!("example.com:foo".parse::<Scoped<HostRule>>().is_err());
}

#[test]
fn a_work_before_a_folder() {
    for (typed, of, host, guest, read_only) in [
        ("data", None, "data", "data", false),
        ("data:ro", None, "data", "data", true),
        ("data::/in", None, "data", "/in", false),
        ("data::/in:ro", None, "data", "/in", true),
        ("train:data", Some("train"), "data", "data", false),
        ("train:/d::/in:ro", Some("train"), "/d", "/in", true),
        ("train:ro:ro", Some("train"), "ro", "ro", true),
        ("./data::in", None, "./data", "in", false),
    ] {
        let scoped: Scoped<DirRule> = typed.parse().unwrap();
        assert_eq!(work(&scoped.work), of, "{typed}");
        let rule = scoped.item;
        assert_eq!(
            (rule.host.to_str().unwrap(), &*rule.guest),
            (host, guest),
            "{typed}"
        );
        assert_eq!(rule.read_only, read_only, "{typed}");
    }
}

#[test]
fn the_flow_is_no_work_before_a_host_or_a_folder_either() {
    let host = |typed: &str| typed.parse::<Scoped<HostRule>>().map_err(|e| e.to_string());
    let folder = |typed: &str| typed.parse::<Scoped<DirRule>>().map_err(|e| e.to_string());
    let told = "`flow` is not a Work's name: that is what the Flow is called; a folder or a host \
                that names no Work is for the Flow";
    assert_eq!(host("flow:example.com").unwrap_err(), told);
    assert_eq!(host("flow:db:5432").unwrap_err(), told);
    assert_eq!(folder("flow:state::/x").unwrap_err(), told);
    assert_eq!(folder("flow:/data:ro").unwrap_err(), told);
    // A host and a folder may be called so.
    assert_eq!(host("flow:5432").unwrap().item.to_string(), "flow:5432");
    assert_eq!(folder("flow::/x:ro").unwrap().item.guest, "/x");
    assert!(folder("flow:ro").unwrap().item.read_only);
}

fn work_names() -> impl Strategy<Value = Option<WorkName>> {
    proptest::option::of("[A-Za-z][A-Za-z0-9_-]{0,8}".prop_map(|name| name.parse().unwrap()))
}

proptest! {
    #[test]
    fn nothing_panics(typed in "\\PC{0,60}|[a-z0-9:=@./\\[\\]-]{0,30}|(?s).{0,20}") {
        let _ = env(&typed).map_err(|error| error.to_string());
        let _ = secret(&typed).map_err(|error| error.to_string());
        let _ = typed.parse::<Scoped<DirRule>>().map_err(|error| error.to_string());
        let _ = typed.parse::<Scoped<HostRule>>().map_err(|error| error.to_string());
    }

    #[test]
    fn env_values_are_exact(work in work_names(), value in "[^\\x00]{0,40}") {
        let prefix = work.as_ref().map_or_else(String::new, |work| format!("{work}:"));
        let entry = env(&format!("{prefix}FOO={value}")).unwrap();
        prop_assert_eq!(entry.work, work);
        prop_assert_eq!(entry.item.value.as_str(), value);
    }

    #[test]
    fn secrets_round_trip(
        work in work_names(),
        env in "[A-Z_][A-Z0-9_]{0,6}x",
        name in "[a-zA-Z][a-zA-Z0-9]{0,5}(\\.[a-z0-9]{1,4}){0,2}",
        version in proptest::option::of(1u32..),
        base64: bool,
    ) {
        let item = SecretBinding {
            env: env.parse().unwrap(),
            secret: SecretRef {
                name: name.parse().unwrap(),
                version: version.and_then(NonZeroU32::new),
                encoding: if base64 { Encoding::Base64 } else { Encoding::Text },
            },
        };
        let scoped = Scoped { work, item };
        prop_assert_eq!(secret(&scoped.to_string()).unwrap(), scoped);
    }

    #[test]
    fn hosts_round_trip(
        work in work_names(),
        host in prop_oneof![
            "[a-z][a-z0-9-]{0,5}x(\\.[a-z][a-z0-9]{0,3}){0,2}",
            any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
            any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
        ],
        scheme in prop_oneof![Just(""), Just("http://"), Just("https://")],
        port in proptest::option::of(1u16..),
    ) {
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let item: HostRule = format!("{scheme}{host}{port}").parse().unwrap();
        let scoped = Scoped { work, item };
        prop_assert_eq!(scoped.to_string().parse::<Scoped<HostRule>>().unwrap(), scoped);
    }

    #[test]
    fn folders_round_trip(
        work in work_names(),
        host in "/?[a-zA-Z ./]{1,12}",
        guest in proptest::option::of("/?[a-zA-Z/]{1,12}"),
        read_only: bool,
    ) {
        // Without a Work, a relative folder reads back the same whatever its name is.
        let guest = guest.unwrap_or_else(|| host.clone());
        let scoped = Scoped { work, item: DirRule { host: host.into(), guest, read_only } };
        prop_assert_eq!(scoped.to_string().parse::<Scoped<DirRule>>().unwrap(), scoped);
    }
}
