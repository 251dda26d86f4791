//! A host that a guest may reach: `[SCHEME://]HOST[:PORT]`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::suggest::{shown, shown_char};

/// How a guest speaks HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// HTTP over TLS, port 443 by default.
    Https,
    /// Plain HTTP, port 80 by default.
    Http,
}

/// A host by name or by address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An ASCII name in lower case, without the period at the end. Other scripts are written in
    /// their `xn--` form.
    Named(String),
    /// An address; IPv4 addresses mapped into IPv6 are their IPv4 form.
    Address(IpAddr),
}

/// A host that may be reached, and how.
///
/// | typed | opens |
/// | --- | --- |
/// | `example.com`, `https://example.com` | HTTPS on port 443 |
/// | `example.com:5432`, `https://example.com:5432` | HTTPS and TCP to port 5432, and looking that name up |
/// | `http://example.com` | plain HTTP on port 80 |
/// | `http://example.com:8080` | plain HTTP on port 8080 |
///
/// The host may be a name, an IPv4 address, or an IPv6 address (in brackets if a port follows).
/// A rule covers exactly the host it names: there are no wildcards, and no paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostRule {
    scheme: Scheme,
    host: Host,
    /// Never the default one of plain HTTP, so that equal rules are equal.
    port: Option<u16>,
}

/// A host could not be read from what was typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostRuleError {
    /// There is no host.
    #[error("no host is named: write HOST[:PORT]")]
    Empty,
    /// A scheme other than `http` and `https`.
    #[error(
        "{} is not a scheme Leyden knows: write `http://HOST`, or HOST[:PORT] for HTTPS and TCP",
        shown(typed)
    )]
    Scheme {
        /// What was typed.
        typed: String,
    },
    /// User and password before the host.
    #[error("a host rule holds no user or password: leave out all up to the `@`")]
    UserInfo,
    /// A path, query or range after the host.
    #[error("a host rule holds no path, query or address range: write HOST[:PORT] alone")]
    Path,
    /// A `*`.
    #[error("there are no wildcards: name each host")]
    Wildcard,
    /// The port is none.
    #[error("{} is not a port: write a number from 1 to 65535", shown(typed))]
    Port {
        /// What was typed.
        typed: String,
    },
    /// An IPv6 address that cannot be told from its port, or is none.
    #[error("an IPv6 address is written `::1`, or `[::1]:PORT`, without a zone")]
    Ipv6,
    /// A number that is not an IPv4 address in its usual form.
    #[error(
        "{} is not an IPv4 address: write four decimal numbers, such as 192.0.2.1",
        shown(typed)
    )]
    Ipv4 {
        /// What was typed.
        typed: String,
    },
    /// A character that may not stand in a name.
    #[error(
        "{} is not a host's name: character {place} is `{}`, but only ASCII letters, digits, \
         dashes and periods may stand in it (other scripts in their `xn--` form)",
        shown(typed), shown_char(*found)
    )]
    Character {
        /// What was typed.
        typed: String,
        /// The character.
        found: char,
        /// Its place, in characters from 1.
        place: usize,
    },
    /// A name whose parts are empty, too long, or begin or end with a dash.
    #[error(
        "{} is not a host's name: its parts have 1 to 63 characters, do not begin or end with a \
         dash, and together have at most 253",
        shown(typed)
    )]
    Parts {
        /// What was typed.
        typed: String,
    },
}

impl Host {
    /// Whether this is the name `localhost`.
    fn is_localhost(&self) -> bool {
        matches!(self, Self::Named(name) if name == "localhost")
    }
}

/// A name, an IPv4 address, or an IPv6 address with or without brackets; no port.
impl FromStr for Host {
    type Err = HostRuleError;

    fn from_str(typed: &str) -> Result<Self, HostRuleError> {
        if let Some(inner) = typed.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostRuleError::Ipv6)?;
            return inner
                .parse::<Ipv6Addr>()
                .map(Self::from)
                .map_err(|_| HostRuleError::Ipv6);
        }
        if let Ok(address) = typed.parse::<IpAddr>() {
            return Ok(address.into());
        }
        if typed.contains(':') {
            return Err(HostRuleError::Ipv6);
        }
        let name = typed.strip_suffix('.').unwrap_or(typed);
        if name.is_empty() {
            return Err(HostRuleError::Empty);
        }
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if let Some((index, found)) = name.chars().enumerate().find(|(_, c)| !good(*c)) {
            return Err(HostRuleError::Character {
                typed: typed.to_owned(),
                found,
                place: index + 1,
            });
        }
        let good = |part: &str| {
            (1..=63).contains(&part.len()) && !part.starts_with('-') && !part.ends_with('-')
        };
        if name.len() > 253 || !name.split('.').all(good) {
            return Err(HostRuleError::Parts {
                typed: typed.to_owned(),
            });
        }
        let name = name.to_ascii_lowercase();
        if name.rsplit('.').next().is_some_and(is_number) {
            return Err(HostRuleError::Ipv4 {
                typed: typed.to_owned(),
            });
        }
        Ok(Self::Named(name))
    }
}

/// Whether the last part of a host makes resolvers read it all as an IPv4 address: `127.1`,
/// `0x7f.1`, `2130706433` (the URL standard's "ends in a number").
fn is_number(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit())
        || part
            .strip_prefix("0x")
            .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl From<Ipv4Addr> for Host {
    fn from(address: Ipv4Addr) -> Self {
        IpAddr::from(address).into()
    }
}

impl From<Ipv6Addr> for Host {
    fn from(address: Ipv6Addr) -> Self {
        IpAddr::from(address).into()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl Scheme {
    /// The port where none is given.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

impl HostRule {
    /// How HTTP may be spoken to it.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host it opens.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port that was named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether a request of this scheme to this host and port may be sent.
    pub fn allows_http(&self, scheme: Scheme, host: &Host, port: u16) -> bool {
        self.scheme == scheme
            && self.host == *host
            && self.port.unwrap_or(scheme.default_port()) == port
    }

    /// Whether TCP to this port of the rule's host may be opened: only to a port that was named,
    /// and not by a rule for plain HTTP.
    pub fn allows_tcp_port(&self, port: u16) -> bool {
        self.scheme == Scheme::Https && self.port == Some(port)
    }

    /// Whether this name may be looked up: only by a rule that opens TCP to it.
    pub fn allows_lookup(&self, host: &Host) -> bool {
        self.scheme == Scheme::Https && self.port.is_some() && self.host == *host
    }

    /// Whether private, loopback and link-local addresses may be dialled: only where the host was
    /// named as an address, or as `localhost`.
    pub fn permits_private(&self) -> bool {
        matches!(self.host, Host::Address(_)) || self.host.is_localhost()
    }

    /// Whether all that the other rule opens is opened by this one.
    pub fn includes(&self, other: &Self) -> bool {
        // `example.com:443` opens TCP besides the HTTPS that `example.com` opens.
        let https = Scheme::Https.default_port();
        self == other
            || (other.scheme == Scheme::Https
                && other.port.is_none()
                && self.allows_http(Scheme::Https, &other.host, https))
    }
}

impl FromStr for HostRule {
    type Err = HostRuleError;

    fn from_str(typed: &str) -> Result<Self, HostRuleError> {
        let (scheme, rest) = match typed.split_once("://") {
            None => (Scheme::Https, typed),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((other, _)) if other.chars().all(|c| c.is_ascii_alphanumeric()) => {
                return Err(HostRuleError::Scheme {
                    typed: other.to_owned(),
                });
            }
            Some(_) => return Err(HostRuleError::Path),
        };
        // These two come first: what they refuse may be a password or a token, and is not shown.
        if rest.contains('@') {
            return Err(HostRuleError::UserInfo);
        }
        if rest.contains(['/', '?', '#', '\\']) {
            return Err(HostRuleError::Path);
        }
        if rest.contains('*') {
            return Err(HostRuleError::Wildcard);
        }
        let (host, port) = split_port(rest)?;
        let host = host.parse()?;
        let port = port.map(parse_port).transpose()?;
        let port = port.filter(|port| scheme == Scheme::Https || *port != scheme.default_port());
        Ok(Self { scheme, host, port })
    }
}

/// Splits `HOST[:PORT]`, where the host may be an IPv6 address.
fn split_port(typed: &str) -> Result<(&str, Option<&str>), HostRuleError> {
    if typed.starts_with('[') {
        let end = typed.find(']').ok_or(HostRuleError::Ipv6)?;
        let (host, rest) = typed.split_at(end + 1);
        return match rest.strip_prefix(':') {
            None if rest.is_empty() => Ok((host, None)),
            None => Err(HostRuleError::Ipv6),
            port => Ok((host, port)),
        };
    }
    if typed.parse::<Ipv6Addr>().is_ok() {
        return Ok((typed, None));
    }
    Ok(match typed.split_once(':') {
        None => (typed, None),
        // Two colons outside brackets: an address, or a slip, but no host and port.
        Some((_, port)) if port.contains(':') => return Err(HostRuleError::Ipv6),
        Some((host, port)) => (host, Some(port)),
    })
}

fn parse_port(typed: &str) -> Result<u16, HostRuleError> {
    typed
        .parse()
        .ok()
        .filter(|port| *port > 0 && typed.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| HostRuleError::Port {
            typed: typed.to_owned(),
        })
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::Http {
            f.write_str("http://")?;
        }
        write!(f, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(typed: &str) -> HostRule {
        typed.parse().unwrap()
    }

    fn host(typed: &str) -> Host {
        typed.parse().unwrap()
    }

    #[test]
    fn forms_and_how_they_are_shown() {
        for (typed, shown) in [
            ("example.com", "example.com"),
            ("Example.COM.", "example.com"),
            ("HTTPS://example.com", "example.com"),
            ("https://example.com:443", "example.com:443"),
            ("example.com:5432", "example.com:5432"),
            ("http://example.com", "http://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("http://example.com:8080", "http://example.com:8080"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:22", "10.0.0.1:22"),
            ("[::1]", "[::1]"),
            ("::1", "[::1]"),
            ("[::1]:443", "[::1]:443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("localhost", "localhost"),
            ("my_db:5432", "my_db:5432"),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ] {
            assert_eq!(rule(typed).to_string(), shown, "{typed}");
            assert_eq!(rule(shown), rule(typed), "{typed}");
        }
    }

    #[test]
    fn bad_forms_are_refused_with_their_reason() {
        use HostRuleError as E;
        let error = |typed: &str| typed.parse::<HostRule>().unwrap_err();
        for typed in ["", "http://", ".", ":80", "https://."] {
            assert_eq!(error(typed), E::Empty, "{typed:?}");
        }
        for typed in [
            "example.com/",
            "example.com/a",
            "10.0.0.0/8",
            "a?b",
            "a#b",
            "a\\b",
        ] {
            assert_eq!(error(typed), E::Path, "{typed}");
        }
        for typed in ["user:pw@example.com", "https://user@example.com/x"] {
            assert_eq!(error(typed), E::UserInfo, "{typed}");
        }
        for typed in ["*", "*.example.com", "example.*:80"] {
            assert_eq!(error(typed), E::Wildcard, "{typed}");
        }
        for typed in ["a:", "a:0", "a:65536", "a:+80", "a:http", "[::1]:"] {
            assert!(matches!(error(typed), E::Port { .. }), "{typed}");
        }
        for typed in [
            "[::1",
            "[::1]x",
            "[a]",
            "a:b:c",
            "fe80::1%eth0",
            "[1.2.3.4]",
            "1:2:3",
        ] {
            assert_eq!(error(typed), E::Ipv6, "{typed}");
        }
        for typed in [
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0x7f000001",
            "1.2.3.4.5",
            "1.2.3.256",
            "a.1",
        ] {
            assert!(matches!(error(typed), E::Ipv4 { .. }), "{typed}");
        }
        for typed in ["-a", "a-.b", "a..b", &"a".repeat(64), &"a.".repeat(128)] {
            assert!(matches!(error(typed), E::Parts { .. }), "{typed}");
        }
        for (typed, place) in [("a b", 2), ("münchen.de", 2), ("a%20", 2)] {
            assert!(
                matches!(error(typed), E::Character { place: p, .. } if p == place),
                "{typed}"
            );
        }
        assert!(matches!(error("ftp://a"), E::Scheme { .. }));
    }

    #[test]
    fn a_password_in_a_host_is_never_shown() {
        for typed in [
            "https://user:hunter2@example.com",
            "db://u:hunter2@h",
            "a/?token=hunter2",
        ] {
            let error = typed.parse::<HostRule>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{typed}");
        }
    }

    #[test]
    fn what_a_rule_opens() {
        use Scheme::{Http, Https};
        let example = host("EXAMPLE.com");
        for (typed, https_443, https_5432, http_80, tcp_443, tcp_5432) in [
            ("example.com", true, false, false, false, false),
            ("example.com:5432", false, true, false, false, true),
            ("example.com:443", true, false, false, true, false),
            ("http://example.com", false, false, true, false, false),
            ("http://example.com:5432", false, false, false, false, false),
            ("sub.example.com", false, false, false, false, false),
        ] {
            let rule = rule(typed);
            assert_eq!(rule.allows_http(Https, &example, 443), https_443, "{typed}");
            assert_eq!(
                rule.allows_http(Https, &example, 5432),
                https_5432,
                "{typed}"
            );
            assert_eq!(rule.allows_http(Http, &example, 80), http_80, "{typed}");
            assert_eq!(rule.allows_tcp_port(443), tcp_443, "{typed}");
            assert_eq!(rule.allows_tcp_port(5432), tcp_5432, "{typed}");
            assert_eq!(rule.allows_lookup(&example), tcp_443 || tcp_5432, "{typed}");
        }
        assert!(rule("http://example.com:8080").allows_http(Http, &example, 8080));
    }

    #[test]
    fn private_addresses_need_an_address_or_localhost() {
        for typed in [
            "127.0.0.1",
            "[fe80::1]:80",
            "http://localhost:8080",
            "LOCALHOST",
            "localhost.",
        ] {
            assert!(rule(typed).permits_private(), "{typed}");
        }
        for typed in ["example.com", "localhost.example.com", "a.localhost"] {
            assert!(!rule(typed).permits_private(), "{typed}");
        }
    }

    #[test]
    fn one_rule_includes_another() {
        for (wide, narrow, included) in [
            ("a.de", "a.de", true),
            ("a.de:443", "a.de", true),
            ("a.de", "a.de:443", false),
            ("a.de:5432", "a.de", false),
            ("http://a.de", "a.de", false),
            ("a.de:80", "http://a.de", false),
            ("a.de", "b.de", false),
            ("a.de:443", "b.de", false),
        ] {
            assert_eq!(
                rule(wide).includes(&rule(narrow)),
                included,
                "{wide} {narrow}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_rule_that_reads_back_or_an_error(
            typed in "\\PC{0,60}|(https?://)?[a-zA-Z0-9:.\\[\\]-]{0,24}|(?s).{0,20}"
        ) {
            match typed.parse::<HostRule>() {
                Ok(rule) => prop_assert_eq!(rule.to_string().parse::<HostRule>().unwrap(), rule),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
