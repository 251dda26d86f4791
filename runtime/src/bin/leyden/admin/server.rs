//! The server: loopback only, a bounded number of connections, each bounded in size and time.
//!
//! Whoever is on the machine can connect. Connections of sessions keep their places; of the others the
//! oldest makes room for a new one, so that whoever holds many keeps nobody out.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tower_service::Service as _;

/// Connections at once.
const MOST_CONNECTIONS: usize = 128;
/// For the head of a request, and between two of them.
const HEAD_TIME: Duration = Duration::from_secs(15);
const HEAD_BYTES: usize = 32 << 10;

/// Both loopback addresses, as names of the machine itself may lead to either: whoever had the
/// other one would be asked for the page.
pub(super) struct Listeners {
    v4: TcpListener,
    v6: Option<TcpListener>,
}

impl Listeners {
    /// Listens on a port; on any free one for 0.
    ///
    /// # Errors
    ///
    /// Where somebody else has it.
    pub(super) async fn bind(port: u16) -> io::Result<Self> {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = v4.local_addr()?.port();
        let v6 = match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            Ok(v6) => Some(v6),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // A machine without IPv6.
            Err(_) => None,
        };
        Ok(Self { v4, v6 })
    }

    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.v4.local_addr()?.port())
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.v6 {
            None => self.v4.accept().await,
            Some(v6) => tokio::select! {
                accepted = self.v4.accept() => accepted,
                accepted = v6.accept() => accepted,
            },
        }
    }

    /// Serves for ever.
    pub(super) async fn serve(self, pages: Router) {
        let mut places = Places::default();
        loop {
            let Ok((stream, _)) = self.accept().await else {
                // Too many open files: some will be closed.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // Whoever has no place is hung up on.
            let Some(place) = places.take() else {
                continue;
            };
            let pages = pages.clone();
            tokio::spawn(async move {
                let of = Arc::clone(&place);
                let service = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(Arc::clone(&of));
                    // It is always ready.
                    pages.clone().call(request)
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIME)
                    .max_buf_size(HEAD_BYTES)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    // Whoever went away knows.
                    _ = connection => {}
                    () = place.lost.notified() => {}
                }
            });
        }
    }
}

/// The place of one connection.
#[derive(Default)]
pub(super) struct Place {
    /// Whether a session has used it.
    kept: AtomicBool,
    /// Somebody else has it now.
    lost: Notify,
}

impl Place {
    /// A session uses the connection.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

/// The places that are taken, as long as their connections have them, from the oldest on.
#[derive(Default)]
struct Places(Vec<Weak<Place>>);

impl Places {
    /// A place: a free one, or that of the oldest connection that no session uses.
    fn take(&mut self) -> Option<Arc<Place>> {
        self.0.retain(|place| place.strong_count() > 0);
        if self.0.len() >= MOST_CONNECTIONS {
            let place = |at: &Weak<Place>| at.upgrade();
            let is_free = |place: &Arc<Place>| !place.kept.load(Ordering::Relaxed);
            let oldest = self.0.iter().filter_map(place).find(is_free)?;
            self.0.retain(|other| !ptr::eq(other.as_ptr(), &*oldest));
            oldest.lost.notify_one();
        }
        let place = Arc::default();
        self.0.push(Arc::downgrade(&place));
        Some(place)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// The places that were lost since they were asked last.
    fn lost(all: &[Arc<Place>]) -> Vec<usize> {
        let lost = |place: &Arc<Place>| place.lost.notified().now_or_never().is_some();
        let all = all.iter().enumerate();
        all.filter(|(_, place)| lost(place))
            .map(|(at, _)| at)
            .collect()
    }

    #[test]
    fn the_oldest_connection_without_a_session_makes_room() {
        let mut places = Places::default();
        let take = |places: &mut Places| places.take().unwrap();
        let mut all: Vec<_> = (0..MOST_CONNECTIONS).map(|_| take(&mut places)).collect();
        // One that goes frees its place.
        all.pop();
        all.push(take(&mut places));
        assert!(lost(&all).is_empty());
        for kept in all.iter().skip(1).step_by(2) {
            kept.keep();
        }
        all.push(take(&mut places));
        all.push(take(&mut places));
        assert_eq!(lost(&all), [0, 2]);
        // What sessions use stays theirs.
        all.iter().for_each(|place| place.keep());
        assert!(places.take().is_none());
        assert!(lost(&all).is_empty());
    }
}
