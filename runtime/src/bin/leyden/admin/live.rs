//! Server-sent events: a page is told that what it shows has changed, and looks again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Deserialize;

use super::address::InQuery;
use super::page::Visit;
use super::problem::Problem;
use super::watch::Counts;

/// Changes that follow each other this closely are told as one.
const TOGETHER: Duration = Duration::from_millis(200);
/// A line that says nothing, by which a closed connection is noticed.
const STILL_THERE: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
pub(super) struct Of {
    #[serde(default)]
    of: String,
}

/// Tells of each change of the store (`?of=store`), of runs (`?of=runs`) or of both until the session
/// ends.
///
/// # Errors
///
/// Where too many of the session's pages are told already.
pub(super) async fn stream(
    visit: Visit,
    InQuery(of): InQuery<Of>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let (store, runs) = (of.of != "runs", of.of != "store");
    let count = move |counts: &Counts| {
        let of = |wanted: bool, count: u64| if wanted { count } else { 0 };
        of(store, counts.store) + of(runs, counts.runs)
    };
    let changes = visit.admin.changes.follow();
    let seen = count(&changes.borrow());
    let session = visit.session().clone();
    let place = Arc::clone(&session.streams).try_acquire_owned();
    let place = place.map_err(|_| Problem::Busy)?;
    let events = stream::unfold(Some((session, changes, seen, place)), move |state| {
        let admin = Arc::clone(&visit.admin);
        async move {
            let (mut session, mut changes, seen, place) = state?;
            let mut changed = false;
            loop {
                let ends = admin.sessions().ends(&session.id);
                let Some(ends) = ends.filter(|ends| *ends > Instant::now()) else {
                    let event = Event::default().event("ended").data("-");
                    return Some((Ok(event), None));
                };
                if changed {
                    let seen = count(&changes.borrow_and_update());
                    let event = Event::default().event("changed").data("-");
                    return Some((Ok(event), Some((session, changes, seen, place))));
                }
                changed = tokio::select! {
                    happened = changes.wait_for(|counts| count(counts) != seen) => {
                        happened.ok()?;
                        true
                    }
                    () = session.ended() => false,
                    () = tokio::time::sleep_until(ends.into()) => false,
                };
                if changed {
                    // The session may end meanwhile.
                    tokio::time::sleep(TOGETHER).await;
                }
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(STILL_THERE)))
}
