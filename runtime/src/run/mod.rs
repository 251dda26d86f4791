//! A run: a Flow, the Works that it starts, and the journal of both.

mod bound;
mod event;
mod flow;
pub mod journal;
mod lines;
mod runner;
mod running;
mod unread;

pub(crate) use bound::{BoundApp, BoundComponent, BoundWork};
pub use event::{Answer, Event, Observer, WorkId};
pub use flow::{Input, Outcome, Stopper};
pub(crate) use flow::{Start, run};
pub use running::Running;
