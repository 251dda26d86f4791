//! Who may use the page: log-in links, each good once, and the sessions that they begin.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq as _;
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

/// How long a log-in link is good.
const LINK: Duration = Duration::from_secs(15 * 60);
/// The most links that are good at once. With so many there is no new one, so that nobody who asks for
/// links takes one from somebody else, or fills the terminal.
const MOST_LINKS: usize = 4;
/// How long a session lasts at most, and how long one in which nobody does anything.
const SESSION: Duration = Duration::from_secs(12 * 60 * 60);
const IDLE: Duration = Duration::from_secs(30 * 60);
/// The most sessions at once; with one more the oldest ends.
const MOST: usize = 8;
/// The most pages of a session that are told of changes at once: those of all sessions together leave
/// connections to others.
const MOST_STREAMS: usize = 12;

/// 256 random bits, as text; compared in constant time, and wiped.
#[derive(Clone)]
pub(super) struct Token(Zeroizing<String>);

impl Token {
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self(Zeroizing::new(BASE64URL_NOPAD.encode(&*bytes))))
    }

    pub(super) fn is(&self, typed: &str) -> bool {
        self.0.as_bytes().ct_eq(typed.as_bytes()).into()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One session, as a request finds it.
#[derive(Clone)]
pub(super) struct Session {
    /// The cookie's value.
    pub(super) id: Token,
    /// What each form must bring along.
    pub(super) csrf: Token,
    /// When it ends if nothing more happens.
    pub(super) ends: Instant,
    /// For the pages that are told of changes.
    pub(super) streams: Arc<Semaphore>,
    /// Closed with the session.
    open: watch::Receiver<()>,
}

impl Session {
    /// Waits until somebody ends the session.
    pub(super) async fn ended(&mut self) {
        // Nothing is ever sent.
        let _ = self.open.changed().await;
    }
}

/// The most notices, and answers, that are kept for a session's pages: older ones are told no more.
const MOST_KEPT: usize = 8;

struct Open {
    session: Session,
    /// What tells those who follow the session that it has ended, by being dropped.
    _open: watch::Sender<()>,
    begun: Instant,
    /// What the next page at an address says once: another tab may be elsewhere.
    notices: VecDeque<(String, String)>,
    /// The pages that forms were answered by.
    answers: VecDeque<(Token, Answer)>,
}

/// A page: its status and its HTML.
pub(super) type Answer = (StatusCode, Bytes);

/// A log-in link's token, and the moment until which it is good.
pub(super) type Link = (Token, Instant);

/// The links and the sessions.
#[derive(Default)]
pub(super) struct Sessions {
    links: Vec<Link>,
    open: Vec<Open>,
}

impl Sessions {
    /// A new link's token, beside those that are good; none where there are enough of them.
    pub(super) fn new_link(&mut self, now: Instant) -> Result<Option<Token>, getrandom::Error> {
        self.links.retain(|(_, until)| now < *until);
        if self.links.len() >= MOST_LINKS {
            return Ok(None);
        }
        let token = Token::random()?;
        self.links.push((token.clone(), now + LINK));
        Ok(Some(token))
    }

    /// Takes the link with this token, if it is good: nobody else can use it.
    pub(super) fn take_link(&mut self, typed: &str, now: Instant) -> Option<Link> {
        let good = self.links.iter();
        let place = good
            .map(|(token, until)| token.is(typed) && now < *until)
            .position(|is_good| is_good)?;
        Some(self.links.remove(place))
    }

    /// Makes a link that nothing came of as good as it was.
    pub(super) fn put_back(&mut self, link: Link) {
        self.links.push(link);
    }

    /// Begins a session. Afterwards others may have to end: [`sweep`](Self::sweep).
    pub(super) fn begin(&mut self, now: Instant) -> Result<Session, getrandom::Error> {
        let (sender, open) = watch::channel(());
        let session = Session {
            id: Token::random()?,
            csrf: Token::random()?,
            ends: now + IDLE,
            streams: Arc::new(Semaphore::new(MOST_STREAMS)),
            open,
        };
        self.open.push(Open {
            session: session.clone(),
            _open: sender,
            begun: now,
            notices: VecDeque::new(),
            answers: VecDeque::new(),
        });
        Ok(session)
    }

    /// Removes the sessions whose time is over, and the oldest of those that are too many; how many.
    pub(super) fn sweep(&mut self, now: Instant) -> usize {
        let before = self.open.len();
        self.open.retain(|open| now < open.session.ends);
        let too_many = self.open.len().saturating_sub(MOST);
        self.open.drain(..too_many);
        before - self.open.len()
    }

    /// The session of this cookie. Only what a person did keeps it from ending.
    pub(super) fn find(&mut self, id: &str, now: Instant, by_person: bool) -> Option<Session> {
        let open = self.get(id).filter(|open| now < open.session.ends)?;
        if by_person {
            open.session.ends = (now + IDLE).min(open.begun + SESSION);
        }
        Some(open.session.clone())
    }

    /// When the session of this cookie ends; `None` where it has.
    pub(super) fn ends(&mut self, id: &Token) -> Option<Instant> {
        Some(self.get(id.as_str())?.session.ends)
    }

    /// Ends a session.
    pub(super) fn end(&mut self, id: &Token) {
        self.open.retain(|open| !open.session.id.is(id.as_str()));
    }

    /// Lets the session's next page at an address's path say something.
    pub(super) fn tell(&mut self, id: &Token, path: String, notice: String) {
        if let Some(open) = self.get(id.as_str()) {
            // What was not told yet is older news.
            open.notices.retain(|(at, _)| *at != path);
            keep(&mut open.notices, (path, notice));
        }
    }

    /// What there is to say at a path.
    pub(super) fn told(&mut self, id: &Token, path: &str) -> Option<String> {
        let notices = &mut self.get(id.as_str())?.notices;
        let place = notices.iter().position(|(at, _)| at == path)?;
        notices.remove(place).map(|(_, notice)| notice)
    }

    /// Keeps the page that a form was answered by, under a name.
    pub(super) fn keep_answer(&mut self, id: &Token, name: Token, answer: Answer) {
        if let Some(open) = self.get(id.as_str()) {
            keep(&mut open.answers, (name, answer));
        }
    }

    /// The page of this name.
    pub(super) fn answer(&mut self, id: &Token, name: &str) -> Option<Answer> {
        let answers = &self.get(id.as_str())?.answers;
        let found = answers.iter().find(|(of, _)| of.is(name))?;
        Some(found.1.clone())
    }

    fn get(&mut self, id: &str) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.session.id.is(id))
    }
}

/// Keeps one more, and the oldest no longer where there are too many.
fn keep<T>(all: &mut VecDeque<T>, one: T) {
    if all.len() >= MOST_KEPT {
        all.pop_front();
    }
    all.push_back(one);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn log_in(sessions: &mut Sessions, now: Instant) -> Session {
        let session = sessions.begin(now).unwrap();
        sessions.sweep(now);
        session
    }

    #[test]
    fn a_link_is_good_once_and_for_a_time() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let take =
            |sessions: &mut Sessions, token: &Token, at| sessions.take_link(token.as_str(), at);
        let new = |sessions: &mut Sessions, at| sessions.new_link(at).unwrap().unwrap();
        let first = new(&mut sessions, now);
        assert!(take(&mut sessions, &Token::random().unwrap(), now).is_none());
        let taken = take(&mut sessions, &first, now).unwrap();
        assert!(take(&mut sessions, &first, now).is_none());
        // One that nothing came of is good again, and no longer than it was.
        sessions.put_back(taken);
        assert!(take(&mut sessions, &first, now + LINK).is_none());
        assert!(take(&mut sessions, &first, now).is_some());
        let late = new(&mut sessions, now);
        assert!(take(&mut sessions, &late, now + LINK).is_none());
    }

    #[test]
    fn whoever_asks_for_links_takes_none_from_others() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.new_link(now).unwrap().unwrap();
        let asked = now + LINK / 2;
        let others = (1..MOST_LINKS).map(|_| sessions.new_link(asked).unwrap().unwrap());
        let others: Vec<_> = others.collect();
        for _ in 0..100 {
            assert!(sessions.new_link(asked).unwrap().is_none());
        }
        let good = |sessions: &mut Sessions, link: &Token, at| {
            sessions.take_link(link.as_str(), at).is_some()
        };
        assert!(good(&mut sessions, &first, asked));
        // One that was used makes room, and so does time.
        assert!(sessions.new_link(asked).unwrap().is_some());
        assert!(sessions.new_link(asked).unwrap().is_none());
        assert!(
            others
                .iter()
                .all(|link| good(&mut sessions, link, now + LINK))
        );
        let over = asked + LINK;
        assert!((0..MOST_LINKS).all(|_| sessions.new_link(over).unwrap().is_some()));
        assert!(sessions.new_link(over).unwrap().is_none());
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_after_a_day_in_any_case() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let id = log_in(&mut sessions, now).id;
        let mut at = now;
        while at + IDLE / 2 < now + SESSION {
            at += IDLE / 2;
            assert!(sessions.find(id.as_str(), at, true).is_some());
        }
        assert!(sessions.find(id.as_str(), now + SESSION, true).is_none());
        let id = log_in(&mut sessions, now).id;
        // What the page does by itself does not count.
        assert!(sessions.find(id.as_str(), now + IDLE / 2, false).is_some());
        assert!(sessions.find(id.as_str(), now + IDLE, false).is_none());
        // Each end is told once.
        assert_eq!(sessions.sweep(now + IDLE), 1);
        assert_eq!(sessions.sweep(now + SESSION), 1);
        assert_eq!(sessions.sweep(now + SESSION), 0);
    }

    #[test]
    fn sessions_are_bounded_and_can_be_ended() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let ids: Vec<_> = (0..=MOST).map(|_| log_in(&mut sessions, now).id).collect();
        let open =
            |sessions: &mut Sessions, id: &Token| sessions.find(id.as_str(), now, false).is_some();
        assert!(!open(&mut sessions, &ids[0]));
        assert!(open(&mut sessions, &ids[1]) && open(&mut sessions, &ids[MOST]));
        sessions.end(&ids[1]);
        assert!(!open(&mut sessions, &ids[1]));
    }

    #[test]
    fn what_is_told_and_answered_is_bounded_and_each_tabs_own() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let [id, other] = [(); 2].map(|()| log_in(&mut sessions, now).id);
        sessions.tell(&id, "/a".into(), "done".into());
        assert_eq!(sessions.told(&id, "/b"), None);
        assert_eq!(sessions.told(&other, "/a"), None);
        assert_eq!(sessions.told(&id, "/a").as_deref(), Some("done"));
        assert_eq!(sessions.told(&id, "/a"), None);
        let names: Vec<_> = (0..=MOST_KEPT).map(|_| Token::random().unwrap()).collect();
        for name in &names {
            sessions.tell(&id, name.as_str().to_owned(), "done".into());
            sessions.keep_answer(&id, name.clone(), (StatusCode::OK, Bytes::new()));
        }
        for (number, name) in names.iter().enumerate() {
            let is_kept = number > 0;
            assert_eq!(sessions.told(&id, name.as_str()).is_some(), is_kept);
            assert_eq!(sessions.answer(&id, name.as_str()).is_some(), is_kept);
            assert!(sessions.answer(&other, name.as_str()).is_none());
        }
    }
}
