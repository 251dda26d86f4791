//! Starting Works and waiting for them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::host::{self, Handle};
use super::json::{self, type_name};
use crate::{Map, Status, WorkError};

/// The app's Work of this name, as its `leyden.toml` has it.
///
/// # Errors
///
/// [`WorkError::Unknown`] where there is none, with the nearest that there is.
///
/// ```
/// # leyden_guest::testing::register("train", |epochs: u32| Ok::<_, String>(epochs * 2));
/// let model: u32 = leyden_guest::work("train")?.start(&21)?.wait()?;
/// assert_eq!(model, 42);
///
/// let error = leyden_guest::work("trian").unwrap_err();
/// assert_eq!(error.to_string(), "the app has no Work trian: did you mean train?");
/// # Ok::<(), leyden_guest::WorkError>(())
/// ```
pub fn work(name: &str) -> Result<Work, WorkError> {
    let names = host::names();
    if names.iter().any(|known| known == name) {
        return Ok(Work { name: name.into() });
    }
    Err(WorkError::Unknown {
        name: name.into(),
        nearest: nearest(name, &names),
        names,
    })
}

/// The known name nearest to what was asked for, if a third of it or less differs.
fn nearest(name: &str, names: &[String]) -> Option<String> {
    let allowed = (name.chars().count() / 3).max(1);
    names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known.clone())
}

/// A Work of the app, to be started as often as one likes.
#[derive(Debug, Clone)]
pub struct Work {
    name: Arc<str>,
}

impl Work {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it with this input, as JSON. Does not wait for it: start several, and they run in
    /// parallel, as far as their host lets them.
    ///
    /// # Errors
    ///
    /// [`WorkError::Input`] where the input cannot be JSON. What else may be wrong,
    /// [`wait`](Started::wait) tells.
    ///
    /// ```
    /// # leyden_guest::testing::register("square", |n: u64| Ok::<_, String>(n * n));
    /// let square = leyden_guest::work("square")?;
    /// let (three, four) = (square.start(&3)?, square.start(&4)?);
    /// assert_eq!(three.wait::<u64>()? + four.wait::<u64>()?, 25);
    /// # Ok::<(), leyden_guest::WorkError>(())
    /// ```
    pub fn start<I: Serialize + ?Sized>(&self, input: &I) -> Result<Started, WorkError> {
        let json = serde_json::to_vec(input).map_err(|_| WorkError::Input {
            work: self.name().into(),
            is: type_name::<I>(),
        })?;
        Ok(self.start_bytes(json))
    }

    /// Starts it with these bytes as they are: for a Work of bytes, or one that is a program and
    /// reads its standard input.
    pub fn start_bytes(&self, input: impl AsRef<[u8]>) -> Started {
        Started {
            handle: host::start(&self.name, input.as_ref()),
            work: self.name.clone(),
        }
    }

    /// Starts it for each input, and gives the results in the inputs' order.
    ///
    /// Starts by itself only as many as keep its host busy, takes further inputs as results are
    /// taken, and lets go of each result with it: it holds neither a hundred thousand inputs nor
    /// that many outputs, unless they are collected. One that fails does not end the others.
    ///
    /// ```
    /// # leyden_guest::testing::register("square", |n: u64| Ok::<_, String>(n * n));
    /// let square = leyden_guest::work("square")?;
    /// let squares: Vec<u64> = square.map(1..=4).collect::<Result<_, _>>()?;
    /// assert_eq!(squares, [1, 4, 9, 16]);
    ///
    /// let mut sum = 0;
    /// for result in square.map::<u64, _>(1..=10_000) {
    ///     sum += result?;
    /// }
    /// assert_eq!(sum, 333_383_335_000);
    /// # Ok::<(), leyden_guest::WorkError>(())
    /// ```
    pub fn map<O, I>(&self, inputs: I) -> Map<I::IntoIter, O>
    where
        O: DeserializeOwned,
        I: IntoIterator,
        I::Item: Serialize,
    {
        Map::new(self.clone(), inputs.into_iter())
    }
}

/// A Work that was started. Dropping it neither stops the Work nor waits for it; what it returns
/// is then thrown away. When the Flow ends, what still runs is stopped.
pub struct Started {
    work: Arc<str>,
    handle: Handle,
}

impl Started {
    /// The Work's name.
    pub fn work(&self) -> &str {
        &self.work
    }

    /// How it stands now. Never waits.
    pub fn status(&self) -> Status {
        self.handle.status()
    }

    /// Waits for its end, and reads what it returned as JSON. May be called again.
    ///
    /// # Errors
    ///
    /// [`WorkError::Failed`] where the Work failed, [`WorkError::Output`] where it returned
    /// something else than a `T`.
    pub fn wait<T: DeserializeOwned>(&self) -> Result<T, WorkError> {
        json::read(&self.wait_bytes()?).map_err(|reason| WorkError::Output {
            work: self.work().into(),
            expected: type_name::<T>(),
            reason,
        })
    }

    /// Waits for its end: what it returned, as it is.
    ///
    /// # Errors
    ///
    /// [`WorkError::Failed`] where the Work failed.
    pub fn wait_bytes(&self) -> Result<Vec<u8>, WorkError> {
        self.handle.output().map_err(|failure| WorkError::Failed {
            work: self.work().into(),
            failure,
        })
    }

    /// Stops it, wherever it is, and does not wait for that. One that has ended stays as it ended.
    pub fn stop(&self) {
        self.handle.stop();
    }
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started")
            .field("work", &self.work)
            .field("status", &self.status())
            .finish()
    }
}

/// Waits until any of these has ended, however it ended, and tells its place; `None` where there
/// is nothing to wait for. Of several that have ended, it is the first.
///
/// ```
/// # leyden_guest::testing::register("square", |n: u64| Ok::<_, String>(n * n));
/// let square = leyden_guest::work("square")?;
/// let mut running = vec![square.start(&1)?, square.start(&2)?, square.start(&3)?];
/// let mut sum: u64 = 0;
/// while let Some(place) = leyden_guest::wait_any(&running) {
///     sum += running.swap_remove(place).wait::<u64>()?;
/// }
/// assert_eq!(sum, 14);
/// # Ok::<(), leyden_guest::WorkError>(())
/// ```
///
/// Each call looks at all of them. Where they are many, [`as_completed`] looks less often.
pub fn wait_any<S: Borrow<Started>>(started: &[S]) -> Option<usize> {
    ended(started.iter().map(Borrow::borrow)).first().copied()
}

/// Gives each of these as soon as it has ended, with its place among them.
///
/// ```
/// # leyden_guest::testing::register("square", |n: u64| Ok::<_, String>(n * n));
/// let square = leyden_guest::work("square")?;
/// let running = [square.start(&1)?, square.start(&2)?];
/// for (place, done) in leyden_guest::as_completed(running) {
///     println!("{place}: {}", done.wait::<u64>()?);
/// }
/// # Ok::<(), leyden_guest::WorkError>(())
/// ```
pub fn as_completed(started: impl IntoIterator<Item = Started>) -> AsCompleted {
    AsCompleted {
        running: started.into_iter().enumerate().collect(),
        ended: Vec::new(),
    }
}

/// What [`as_completed`] gives.
#[derive(Debug)]
pub struct AsCompleted {
    running: Vec<(usize, Started)>,
    /// Those that were found to have ended together, the last of them first.
    ended: Vec<(usize, Started)>,
}

impl Iterator for AsCompleted {
    type Item = (usize, Started);

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended.is_empty() {
            let places = ended(self.running.iter().map(|(_, started)| started));
            // From the last to the first: so each place still is where it was.
            let taken = places.into_iter().rev();
            self.ended = taken.map(|at| self.running.swap_remove(at)).collect();
        }
        self.ended.pop()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.running.len() + self.ended.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for AsCompleted {}

/// Waits until any has ended: the places of all that have, in order.
fn ended<'s>(started: impl Iterator<Item = &'s Started>) -> Vec<usize> {
    let handles: Vec<&Handle> = started.map(|started| &started.handle).collect();
    if handles.is_empty() {
        return Vec::new();
    }
    host::ended(&handles)
}
