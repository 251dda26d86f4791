//! What a component may reach on the network: nothing, but for the hosts that were named.
//!
//! The same rules answer for HTTP requests, for TCP connections and for look-ups of names. Every
//! connection is judged by the address that is dialled, not by one that was looked up before.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::app::{Host, HostRule, Scheme};

use super::address::is_public;
use super::http::Client;

/// Addresses that are remembered as the answer to an allowed look-up; beyond, all are forgotten
/// and a guest looks up again.
const MAX_RESOLVED: usize = 4096;

/// One component's way out: its rules, its pool of HTTP connections and the names it looked up.
///
/// Connections are never shared between components: what one leaves behind on a connection
/// cannot reach another.
pub struct Egress {
    rules: Vec<HostRule>,
    client: OnceLock<Client>,
    resolved: Mutex<HashSet<SocketAddr>>,
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
    /// A way out to exactly what `rules` allow.
    pub fn new(rules: Vec<HostRule>) -> Self {
        Self {
            rules,
            client: OnceLock::new(),
            resolved: Mutex::default(),
        }
    }

    /// Whether any rule opens TCP, and with it sockets and look-ups.
    pub(super) fn opens_tcp(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.allows_lookup(rule.host()))
    }

    /// The rule that allows an HTTP request to this host and port.
    pub(super) fn http_rule(&self, scheme: Scheme, host: &Host, port: u16) -> Option<&HostRule> {
        self.rules
            .iter()
            .find(|rule| rule.allows_http(scheme, host, port))
    }

    /// The connections of this component, made with its first request.
    pub(super) fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::new(self.rules.clone()))
    }

    /// Looks up a name that a rule with a TCP port allows, and remembers the answer: a guest may
    /// then dial these addresses at that rule's port.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let host: Host = name.parse().map_err(|_| LookupError::Denied)?;
        let allows = |rule: &&HostRule| rule.allows_lookup(&host);
        let rules: Vec<_> = self.rules.iter().filter(allows).collect();
        let Some(rule) = rules.first() else {
            return Err(LookupError::Denied);
        };
        let found = lookup(&host).await?;
        let allowed: Vec<IpAddr> = found
            .into_iter()
            .filter(|address| may_dial(rule, *address))
            .collect();
        if allowed.is_empty() {
            return Err(LookupError::NotFound);
        }
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
        let named = self.rules.iter().any(|rule| {
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
            .field("rules", &self.rules)
            .finish()
    }
}

/// Whether an address may be dialled for a host that a rule names: `localhost` is loopback and
/// nothing else, an address is itself, any other name stands for public addresses only.
pub(super) fn may_dial(rule: &HostRule, address: IpAddr) -> bool {
    match rule.host() {
        Host::Address(named) => *named == address.to_canonical(),
        Host::Named(_) if rule.permits_private() => address.to_canonical().is_loopback(),
        Host::Named(_) => is_public(address),
    }
}

/// All addresses of a host; of a name, by the system's resolver.
pub(super) async fn lookup(host: &Host) -> Result<Vec<IpAddr>, LookupError> {
    let name = match host {
        Host::Address(address) => return Ok(vec![*address]),
        Host::Named(name) => name.as_str(),
    };
    let found = tokio::net::lookup_host((name, 0))
        .await
        .map_err(|_| LookupError::NotFound)?;
    Ok(found.map(|address| address.ip().to_canonical()).collect())
}
