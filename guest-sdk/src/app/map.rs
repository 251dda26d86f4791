//! One Work over many inputs.

use std::collections::VecDeque;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Started, Work, WorkError};

/// How many are started before their results are taken. Far more than a host runs at once, so that
/// one slow Work does not leave it idle; and few enough to hold their outputs meanwhile.
const AHEAD: usize = 1024;

/// What [`Work::map`] gives: the results, in the inputs' order.
#[derive(Debug)]
#[must_use = "nothing is started until results are taken"]
pub struct Map<I, O> {
    work: Work,
    inputs: I,
    /// In the inputs' order; an input that could not be started, too, has its place.
    ahead: VecDeque<Result<Started, WorkError>>,
    output: PhantomData<fn() -> O>,
}

impl<I, O> Map<I, O> {
    pub(crate) fn new(work: Work, inputs: I) -> Self {
        Self {
            work,
            inputs,
            ahead: VecDeque::new(),
            output: PhantomData,
        }
    }
}

impl<I, O> Iterator for Map<I, O>
where
    I: Iterator,
    I::Item: Serialize,
    O: DeserializeOwned,
{
    type Item = Result<O, WorkError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ahead.len() < AHEAD {
            let Some(input) = self.inputs.next() else {
                break;
            };
            self.ahead.push_back(self.work.start(&input));
        }
        let started = self.ahead.pop_front()?;
        Some(started.and_then(|started| started.wait()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.inputs.size_hint();
        let ahead = self.ahead.len();
        let most = most.and_then(|most| most.checked_add(ahead));
        (least.saturating_add(ahead), most)
    }
}
