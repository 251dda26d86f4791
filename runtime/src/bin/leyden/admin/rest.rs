//! The rest of a form that is refused before all of it has come: a browser that cannot send all of it
//! shows no answer. It is read on, within bounds, and thrown away.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures_util::{StreamExt as _, stream};

use super::lock;

/// The most bytes that are read on, and for how long.
const MOST_BYTES: usize = 64 << 20;
const TIME: Duration = Duration::from_secs(10);

/// What a body still brings when whoever was given it reads no more.
pub(super) struct Rest(Arc<Mutex<BodyDataStream>>);

/// Keeps the rest of a body.
pub(super) fn keep(body: Body) -> (Body, Rest) {
    let whole = Arc::new(Mutex::new(body.into_data_stream()));
    let read = Arc::clone(&whole);
    let chunks = stream::poll_fn(move |context| lock(&read).poll_next_unpin(context));
    (Body::from_stream(chunks), Rest(whole))
}

impl Rest {
    /// Reads it on.
    pub(super) async fn throw_away(self) {
        let read = async {
            let mut left = MOST_BYTES;
            while let Some(Ok(chunk)) =
                poll_fn(|context| lock(&self.0).poll_next_unpin(context)).await
            {
                match left.checked_sub(chunk.len()) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(TIME, read).await;
    }
}
