//! What a component may reach on the network: nothing, but for the hosts that were named.
//!
//! The same rules answer for HTTP requests, for TCP connections and for look-ups of names. Every
//! connection is judged by the address that is dialled, not by one that was looked up before.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::app::{Host, HostRule, Scheme};

use super::address::is_public;
use super::http::Client;

/// Addresses that are remembered as the answer to an allowed look-up; beyond, all are forgotten
/// and a guest looks up again.
const MAX_RESOLVED: usize = 4096;
/// Look-ups of one component at once: each holds a thread for as long as the resolver takes.
const MAX_LOOKUPS: usize = 8;

/// One component's way out: its rules, its pool of HTTP connections and the names it looked up.
///
/// Connections are never shared between components: what one leaves behind on a connection
/// cannot reach another.
pub struct Egress {
    rules: Rules,
    client: Option<Client>,
    resolved: Mutex<HashSet<SocketAddr>>,
}

/// What is allowed, and the look-ups that follow from it.
#[derive(Clone)]
pub(super) struct Rules {
    rules: Arc<[HostRule]>,
    lookups: Arc<Semaphore>,
}

/// Why a name was not resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LookupError {
    /// No rule allows it.
    Denied,
    /// No address was found, or none that may be reached.
    NotFound,
}

impl Egress {
    /// A way out to exactly what `rules` allow, over TLS as `tls` says; none where there is no
    /// rule.
    pub(super) fn new(rules: Vec<HostRule>, tls: Option<&Arc<rustls::ClientConfig>>) -> Self {
        let rules = Rules {
            rules: rules.into(),
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        };
        Self {
            client: tls.map(|tls| Client::new(rules.clone(), tls)),
            rules,
            resolved: Mutex::default(),
        }
    }

    /// Whether any rule opens TCP, and with it sockets and look-ups.
    pub(super) fn opens_tcp(&self) -> bool {
        let opens = |rule: &HostRule| rule.allows_lookup(rule.host());
        self.rules.rules.iter().any(opens)
    }

    /// The client for a request to this host and port, where a rule allows it.
    pub(super) fn client(&self, scheme: Scheme, host: &Host, port: u16) -> Option<&Client> {
        self.rules.http(scheme, host, port)?;
        self.client.as_ref()
    }

    /// Looks up a name that a rule with a TCP port allows, and remembers the answer: a guest may
    /// then dial these addresses at that rule's port.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let host: Host = name.parse().map_err(|_| LookupError::Denied)?;
        let allows = |rule: &&HostRule| rule.allows_lookup(&host);
        let rules: Vec<_> = self.rules.rules.iter().filter(allows).collect();
        let Some(rule) = rules.first() else {
            return Err(LookupError::Denied);
        };
        let allowed = self.rules.addresses(rule).await?;
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if resolved.len() > MAX_RESOLVED {
            resolved.clear();
        }
        for port in rules.iter().filter_map(|rule| rule.port()) {
            resolved.extend(allowed.iter().map(|ip| SocketAddr::new(*ip, port)));
        }
        Ok(allowed)
    }

    /// Whether a guest may dial this address by TCP: it was named as an address, or it is the
    /// answer to a look-up of an allowed name.
    pub(super) fn may_connect(&self, to: SocketAddr) -> bool {
        let ip = to.ip().to_canonical();
        let named = self.rules.rules.iter().any(|rule| {
            rule.allows_tcp_port(to.port())
                && matches!(rule.host(), Host::Address(address) if *address == ip)
        });
        let resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        named || resolved.contains(&SocketAddr::new(ip, to.port()))
    }
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress")
            .field("rules", &self.rules.rules)
            .finish()
    }
}

impl Rules {
    /// The rule that allows an HTTP request to this host and port.
    pub(super) fn http(&self, scheme: Scheme, host: &Host, port: u16) -> Option<&HostRule> {
        let allows = |rule: &&HostRule| rule.allows_http(scheme, host, port);
        self.rules.iter().find(allows)
    }

    /// The addresses that may be dialled for a rule's host, by the system's resolver.
    pub(super) async fn addresses(&self, rule: &HostRule) -> Result<Vec<IpAddr>, LookupError> {
        let found = match rule.host() {
            Host::Address(address) => vec![*address],
            Host::Named(name) => self.lookup(name.clone()).await?,
        };
        let allowed: Vec<_> = found
            .into_iter()
            .filter(|address| may_dial(rule, *address))
            .collect();
        if allowed.is_empty() {
            return Err(LookupError::NotFound);
        }
        Ok(allowed)
    }

    /// The resolver works on a thread that cannot be stopped: the permit goes with it, so that a
    /// guest that gives up early cannot start ever more of them.
    async fn lookup(&self, name: String) -> Result<Vec<IpAddr>, LookupError> {
        let failed = |_| LookupError::NotFound;
        let lookups = Arc::clone(&self.lookups);
        let permit = lookups.acquire_owned().await.map_err(failed)?;
        let looking = tokio::task::spawn_blocking(move || {
            let found = (name.as_str(), 0).to_socket_addrs();
            drop(permit);
            found
        });
        match looking.await {
            Ok(Ok(found)) => Ok(found.map(|found| found.ip().to_canonical()).collect()),
            _ => Err(LookupError::NotFound),
        }
    }
}

/// Whether an address may be dialled for a host that a rule names: `localhost` is loopback and
/// nothing else, an address is itself, any other name stands for public addresses only.
fn may_dial(rule: &HostRule, address: IpAddr) -> bool {
    match rule.host() {
        Host::Address(named) => *named == address.to_canonical(),
        Host::Named(_) if rule.permits_private() => address.to_canonical().is_loopback(),
        Host::Named(_) => is_public(address),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn egress(rules: &[&str]) -> Egress {
        Egress::new(
            rules.iter().map(|rule| rule.parse().unwrap()).collect(),
            None,
        )
    }

    #[test]
    fn a_name_stands_for_public_addresses_only() {
        let may =
            |rule: &str, address: &str| may_dial(&rule.parse().unwrap(), address.parse().unwrap());
        assert!(may("example.com", "1.1.1.1"));
        assert!(!may("example.com", "127.0.0.1"));
        assert!(!may("example.com", "169.254.169.254"));
        assert!(!may("example.com", "::ffff:10.0.0.1"));
        assert!(may("localhost", "127.0.0.1"));
        assert!(may("localhost", "::1"));
        assert!(!may("localhost", "10.0.0.1"));
        assert!(may("10.0.0.1", "10.0.0.1"));
        assert!(may("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(!may("10.0.0.1", "10.0.0.2"));
    }

    #[tokio::test]
    async fn only_what_was_looked_up_or_named_may_be_dialled() {
        let egress = egress(&["localhost:5432", "10.0.0.1:22", "example.com"]);
        assert!(egress.opens_tcp());
        let may = |to: &str| egress.may_connect(to.parse().unwrap());
        assert!(may("10.0.0.1:22"));
        assert!(!may("10.0.0.1:23"));
        assert!(!may("127.0.0.1:5432"), "not looked up yet");
        assert!(egress.resolve("LOCALHOST").await.is_ok());
        assert!(may("127.0.0.1:5432"));
        assert!(!may("127.0.0.1:5433"));
        // Named without a port: HTTPS alone.
        assert_eq!(
            egress.resolve("example.com").await,
            Err(LookupError::Denied)
        );
        assert_eq!(egress.resolve("other").await, Err(LookupError::Denied));
    }

    #[test]
    fn without_a_port_nothing_opens_tcp() {
        assert!(!egress(&["example.com", "http://example.com:80"]).opens_tcp());
        assert!(!egress(&[]).opens_tcp());
    }
}
