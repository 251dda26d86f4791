//! A sign of life for what takes long, on standard error and only on a terminal.

use std::time::Duration;

use indicatif::ProgressBar;

/// What is shorter than this shows nothing.
const LONG: Duration = Duration::from_secs(1);

/// Awaits a future; shows what it is about if it takes long.
pub(crate) async fn during<F: Future>(what: &'static str, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    if let Ok(output) = tokio::time::timeout(LONG, &mut future).await {
        return output;
    }
    let _shown = Shown::now(what);
    future.await
}

/// A spinner that goes away when dropped.
pub(crate) struct Shown(ProgressBar);

impl Shown {
    /// Shows what is about to take long.
    pub(crate) fn now(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
