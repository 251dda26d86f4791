//! Outbound HTTP: one client for each component, which resolves, checks and dials.

use std::io;
use std::net::SocketAddr;
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
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::app::{Host, Scheme};

use super::egress::{Egress, LookupError, Rules};

/// Time to connect, to the first byte and between bytes where a guest sets none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Requests of one component under way at once; more wait.
const MAX_REQUESTS: usize = 64;
/// Idle connections that are kept for one host.
const MAX_IDLE: usize = 8;
/// Time for one address of a host to answer before the next is tried.
const DIAL: Duration = Duration::from_secs(10);
/// Bytes that a guest may write into a request's body before the host has sent them.
const BODY_CHUNK: usize = 64 << 10;

/// An HTTP/1.1 client with a pool of connections.
pub(super) struct Client {
    inner: legacy::Client<HttpsConnector<Dialer>, WasiBody>,
    requests: Arc<Semaphore>,
}

impl Client {
    pub(super) fn new(rules: Rules, tls: &Arc<ClientConfig>) -> Self {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(tls))
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dialer(rules));
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(connector);
        Self {
            inner,
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
        }
    }
}

/// TLS with the roots that the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are followed),
/// or Mozilla's where it has none. Reads files.
pub(super) fn tls() -> Result<ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
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
    // What a guest has written and not sent is the host's memory, beside the guest's limit.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

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
    let client = egress
        .client(target.scheme, &target.host, target.port)
        .ok_or(Error::HttpRequestDenied)?;
    let permit = Arc::clone(&client.requests)
        .acquire_owned()
        .await
        .map_err(|_| Error::ConnectionLimitReached)?;
    let connect = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let first_byte = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let between = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
    // The pool connects inside the request, so one limit covers both.
    let response = tokio::time::timeout(
        connect.saturating_add(first_byte),
        client.inner.request(request),
    )
    .await
    .map_err(|_| Error::ConnectionReadTimeout)?
    .map_err(|error| guest_error(&error))?;
    Ok(response.map(|body| Timed::new(body, between, permit).boxed_unsync()))
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
        let (scheme, default_port) = match uri.scheme() {
            Some(scheme) if *scheme == UriScheme::HTTPS => (Scheme::Https, 443),
            Some(scheme) if *scheme == UriScheme::HTTP => (Scheme::Http, 80),
            _ => return None,
        };
        // Whatever else stands there, a user or a port that is no port, is not left out silently.
        let port = match authority.port_u16() {
            Some(port) if authority.as_str() == format!("{}:{port}", authority.host()) => port,
            None if authority.as_str() == authority.host() => default_port,
            _ => return None,
        };
        let host = authority.host().parse().ok()?;
        Some(Self { scheme, host, port })
    }
}

/// Looks a host up, keeps the addresses that its rule allows, and connects to one of them.
#[derive(Clone)]
struct Dialer(Rules);

impl tower_service::Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let rules = self.0.clone();
        Box::pin(async move { dial(&rules, &uri).await })
    }
}

async fn dial(rules: &Rules, uri: &Uri) -> Result<TokioIo<TcpStream>, DialError> {
    let target = Target::of(uri).ok_or(DialError::Prohibited)?;
    let rule = rules
        .http(target.scheme, &target.host, target.port)
        .ok_or(DialError::Prohibited)?;
    let mut last = DialError::Prohibited;
    for address in rules.addresses(rule).await? {
        let connecting = TcpStream::connect(SocketAddr::new(address, target.port));
        match tokio::time::timeout(DIAL, connecting).await {
            Ok(Ok(stream)) => {
                // Requests are written whole; waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                return Ok(TokioIo::new(stream));
            }
            Ok(Err(error)) => last = DialError::Connect(error),
            Err(_) => last = DialError::Connect(io::ErrorKind::TimedOut.into()),
        }
    }
    Err(last)
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("the host may not be reached")]
    Prohibited,
    #[error("the host was not found, or has no address that may be reached")]
    NotFound,
    #[error("it did not answer: {0}")]
    Connect(io::Error),
}

impl From<LookupError> for DialError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Denied => Self::Prohibited,
            LookupError::NotFound => Self::NotFound,
        }
    }
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
    /// The request is under way until its answer is read or dropped.
    _permit: OwnedSemaphorePermit,
}

impl Timed {
    fn new(body: Incoming, between: Duration, permit: OwnedSemaphorePermit) -> Self {
        Self {
            body,
            between,
            silence: Box::pin(tokio::time::sleep(between)),
            _permit: permit,
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
        for refused in [
            "https://user@a.example/",
            "https://a.example:70000/",
            "https://a.example:/",
        ] {
            assert_eq!(target(refused), None, "{refused}");
        }
        assert_eq!(target("/path"), None);
    }
}
