//! Outbound HTTP: one client for each component, which resolves, checks and dials.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::Scheme as UriScheme;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::app::{Host, HostRule, Scheme};

use super::egress::{Egress, lookup, may_dial};

/// Time to connect, to the first byte and between bytes where a guest sets none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// An HTTP/1.1 client with a pool of connections, over TLS with the system's roots.
pub(super) struct Client {
    inner: Result<legacy::Client<HttpsConnector<Dialer>, WasiBody>, rustls::Error>,
}

impl Client {
    pub(super) fn new(rules: Vec<HostRule>) -> Self {
        let inner = tls().map(|tls| {
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_or_http()
                .enable_http1()
                .wrap_connector(Dialer {
                    rules: rules.into(),
                });
            legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .build(connector)
        });
        Self { inner }
    }
}

/// TLS with the roots that the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are followed),
/// or Mozilla's where it has none.
fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Where a guest's requests arrive, before TLS.
pub(super) struct Hooks(pub(super) Arc<Egress>);

type Sent = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let egress = Arc::clone(&self.0);
        Box::new(async move {
            let response = send(&egress, request, options.unwrap_or_default()).await?;
            let done: Box<dyn Future<Output = _> + Send> = Box::new(async { Ok(()) });
            Ok((response, done))
        })
    }
}

async fn send(
    egress: &Egress,
    request: http::Request<WasiBody>,
    options: RequestOptions,
) -> Result<http::Response<WasiBody>, Error> {
    let target = Target::of(request.uri()).ok_or(Error::HttpRequestUriInvalid)?;
    if egress
        .http_rule(target.scheme, &target.host, target.port)
        .is_none()
    {
        return Err(Error::HttpRequestDenied);
    }
    let client =
        egress.client().inner.as_ref().map_err(|error| {
            Error::InternalError(Some(format!("TLS cannot be set up: {error}")))
        })?;
    let connect = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let first_byte = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let between = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
    // The pool connects inside the request, so one limit covers both.
    let response =
        tokio::time::timeout(connect.saturating_add(first_byte), client.request(request))
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?
            .map_err(|error| guest_error(&error))?;
    Ok(response.map(|body| Timed::new(body, between).boxed_unsync()))
}

/// Where a request goes, in the terms of the rules.
struct Target {
    scheme: Scheme,
    host: Host,
    port: u16,
}

impl Target {
    fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let (scheme, default_port) = match uri.scheme() {
            Some(scheme) if *scheme == UriScheme::HTTPS => (Scheme::Https, 443),
            Some(scheme) if *scheme == UriScheme::HTTP => (Scheme::Http, 80),
            _ => return None,
        };
        let host = authority.host().parse().ok()?;
        // A port that is there but no number must not become the default one.
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(':') => return None,
            None => default_port,
        };
        Some(Self { scheme, host, port })
    }
}

/// Looks a host up, keeps the addresses that its rule allows, and connects to one of them.
#[derive(Clone)]
struct Dialer {
    rules: Arc<[HostRule]>,
}

impl tower_service::Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let rules = Arc::clone(&self.rules);
        Box::pin(async move {
            let target = Target::of(&uri).ok_or(DialError::Prohibited)?;
            let rule = rules
                .iter()
                .find(|rule| rule.allows_http(target.scheme, &target.host, target.port))
                .ok_or(DialError::Prohibited)?;
            let found = lookup(&target.host)
                .await
                .map_err(|_| DialError::NotFound)?;
            dial(rule, found, target.port).await
        })
    }
}

async fn dial(
    rule: &HostRule,
    found: Vec<IpAddr>,
    port: u16,
) -> Result<TokioIo<TcpStream>, DialError> {
    let mut last = DialError::Prohibited;
    for address in found {
        if !may_dial(rule, address) {
            continue;
        }
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => {
                // Requests are written whole; waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                return Ok(TokioIo::new(stream));
            }
            Err(error) => last = DialError::Connect(error),
        }
    }
    Err(last)
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("the host has no address that may be reached")]
    Prohibited,
    #[error("the host was not found")]
    NotFound,
    #[error("it did not answer: {0}")]
    Connect(io::Error),
}

/// The error that a guest sees for a failed request.
fn guest_error(error: &legacy::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(dial) = current.downcast_ref::<DialError>() {
            return match dial {
                DialError::Prohibited => Error::DestinationIpProhibited,
                DialError::NotFound => Error::DnsError {
                    rcode: None,
                    info_code: None,
                },
                DialError::Connect(_) => Error::ConnectionRefused,
            };
        }
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return match tls {
                rustls::Error::InvalidCertificate(_) => Error::TlsCertificateError,
                _ => Error::TlsProtocolError,
            };
        }
        // `io::Error` hides the error that it carries from `source`.
        cause = match current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    if error.is_connect() {
        Error::ConnectionRefused
    } else {
        Error::ConnectionTerminated
    }
}

/// A response body that fails when its sender falls silent.
struct Timed {
    body: Incoming,
    between: Duration,
    silence: Pin<Box<tokio::time::Sleep>>,
}

impl Timed {
    fn new(body: Incoming, between: Duration) -> Self {
        Self {
            body,
            between,
            silence: Box::pin(tokio::time::sleep(between)),
        }
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if let Some(until) = tokio::time::Instant::now().checked_add(self.between) {
                self.silence.as_mut().reset(until);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        match self.silence.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Error::ConnectionReadTimeout))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Option<(Scheme, String, u16)> {
        let target = Target::of(&uri.parse().unwrap())?;
        Some((target.scheme, target.host.to_string(), target.port))
    }

    #[test]
    fn targets_are_normal_before_they_are_judged() {
        let is = |scheme, host: &str, port| Some((scheme, host.to_owned(), port));
        assert_eq!(
            target("https://API.Example.com/x"),
            is(Scheme::Https, "api.example.com", 443)
        );
        assert_eq!(
            target("http://[::1]:8080/"),
            is(Scheme::Http, "[::1]", 8080)
        );
        assert_eq!(
            target("http://a.example/"),
            is(Scheme::Http, "a.example", 80)
        );
        assert_eq!(target("https://user@a.example/"), None);
        assert_eq!(target("/path"), None);
    }
}
