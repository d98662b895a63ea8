//! Which app runs and who streams it: what `/launch`, `/resume` and `/cancel` come to. Pure.
//!
//! Source: protocol document, session 10.4 and 11; the recordings `http-facts` and `wolf-http-facts`.

use std::net::{IpAddr, Ipv4Addr};

use super::{HostSessionId, Manner};
use crate::gamestream::pairing::certificate::Certificate;
use crate::gamestream::wire::http::AppId;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) certificate: Certificate,
    pub(super) address: IpAddr,
}

/// The sessions of a host, and its app.
#[derive(Debug)]
pub(super) struct Launches {
    manner: Manner,
    max_sessions: Option<usize>,
    /// Of Wolf: sessions have addresses of their own.
    session_addresses: bool,
    /// What runs on the one desktop of a Sunshine host, streamed or not. Wolf has one for each session.
    running: Option<AppId>,
    /// In the order of their launches.
    sessions: Vec<Session>,
    next: u32,
}

#[derive(Debug)]
struct Session {
    id: HostSessionId,
    caller: Caller,
    app: AppId,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// For its control connection.
    Waiting,
    Connected,
    /// Wolf keeps a session that its client left.
    Paused,
}

/// A start is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    /// `None`: the host says yes, and forgets it (session 11, consequence 1; wolf24's `/resume` of nothing).
    pub(super) session: Option<HostSessionId>,
    /// The sessions in whose place it comes.
    pub(super) ended: Vec<HostSessionId>,
}

/// Why a start is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    UnknownApp,
    /// An app runs: it can be resumed, not launched.
    Running,
    NothingRuns,
    /// As many sessions as the host allows.
    Limit,
}

/// v0.23.1 ends no app while somebody streams or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Streaming;

impl Launches {
    pub(super) fn new(manner: Manner, max_sessions: Option<usize>, session_addresses: bool) -> Self {
        let usual = (manner == Manner::SunshineV023).then_some(1);
        let max_sessions = max_sessions.or(usual);
        Self { manner, max_sessions, session_addresses, running: None, sessions: Vec::new(), next: 0 }
    }

    /// What runs, as the caller is told. wolf24 knows callers by their addresses, later builds by their certificates.
    pub(super) fn running(&self, address: IpAddr, certificate: Option<&Certificate>) -> Option<AppId> {
        let own = |session: &&Session| match self.session_addresses {
            true => Some(&session.caller.certificate) == certificate,
            false => session.caller.address == address,
        };
        match self.manner {
            Manner::Wolf => self.sessions.iter().find(own).map(|session| session.app),
            Manner::Sunshine | Manner::SunshineV023 => self.running,
        }
    }

    pub(super) fn launch(&mut self, app: AppId, known: bool, caller: &Caller) -> Result<Granted, Refused> {
        if self.live() >= self.max_sessions.unwrap_or(usize::MAX) {
            return Err(Refused::Limit);
        }
        if self.manner != Manner::Wolf && self.running.is_some() {
            return Err(Refused::Running);
        }
        if !known {
            return Err(Refused::UnknownApp);
        }
        if self.manner != Manner::Wolf {
            self.running = Some(app);
        }
        Ok(Granted { session: Some(self.add(app, caller)), ended: Vec::new() })
    }

    pub(super) fn resume(&mut self, caller: &Caller) -> Result<Granted, Refused> {
        if self.manner == Manner::Wolf {
            return Ok(self.resume_own(caller));
        }
        if self.live() >= self.max_sessions.unwrap_or(usize::MAX) {
            return Err(Refused::Limit);
        }
        let app = self.running.ok_or(Refused::NothingRuns)?;
        let waits = self.sessions.iter().any(|session| session.state == State::Waiting);
        let session = if waits { None } else { Some(self.add(app, caller)) };
        Ok(Granted { session, ended: Vec::new() })
    }

    fn resume_own(&mut self, caller: &Caller) -> Granted {
        let own = |session: &Session| session.caller.certificate == caller.certificate;
        let Some(app) = self.sessions.iter().find(|session| own(session)).map(|session| session.app) else {
            return Granted { session: None, ended: Vec::new() };
        };
        let ended = self.sessions.extract_if(.., |session| own(session)).map(|session| session.id).collect();
        Granted { session: Some(self.add(app, caller)), ended }
    }

    /// Ends the app, and gives the sessions that end with it.
    pub(super) fn cancel(&mut self, caller: &Caller) -> Result<Vec<HostSessionId>, Streaming> {
        match self.manner {
            Manner::SunshineV023 if self.live() > 0 => return Err(Streaming),
            Manner::Sunshine | Manner::SunshineV023 => self.running = None,
            Manner::Wolf => {}
        }
        let scope = self.manner;
        let theirs =
            |session: &mut Session| scope != Manner::Wolf || session.caller.certificate == caller.certificate;
        Ok(self.sessions.extract_if(.., theirs).map(|session| session.id).collect())
    }

    /// The app exits: gives all sessions.
    pub(super) fn end_all(&mut self) -> Vec<HostSessionId> {
        self.running = None;
        self.sessions.drain(..).map(|session| session.id).collect()
    }

    /// The session's control connection stands.
    pub(super) fn connected(&mut self, id: HostSessionId) {
        if let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) {
            session.state = State::Connected;
        }
    }

    /// The session is over; the app goes on.
    pub(super) fn ended(&mut self, id: HostSessionId) {
        match self.manner {
            Manner::Wolf => {
                if let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) {
                    session.state = State::Paused;
                }
            }
            Manner::Sunshine | Manner::SunshineV023 => self.sessions.retain(|session| session.id != id),
        }
    }

    /// The address that a session is known by in the RTSP dialogue, where it has one of its own.
    pub(super) fn address_of(&self, id: HostSessionId) -> Option<Ipv4Addr> {
        let [_, _, high, low] = id.0.to_be_bytes();
        self.has_session_addresses().then_some(Ipv4Addr::new(10, 99, high, low))
    }

    pub(super) fn has_session_addresses(&self) -> bool {
        self.session_addresses && self.manner == Manner::Wolf
    }

    /// The session that has this address.
    pub(super) fn session_at(&self, address: Ipv4Addr) -> Option<HostSessionId> {
        let ids =
            self.sessions.iter().filter(|session| session.state != State::Paused).map(|session| session.id);
        ids.into_iter().find(|&id| self.address_of(id) == Some(address))
    }

    /// To whom an RTSP connection belongs: on Sunshine to the session that waits, whoever connects; on wolf24 to the
    /// first one of that address.
    pub(super) fn session_of(&self, address: IpAddr) -> Option<HostSessionId> {
        let session = match self.manner {
            Manner::Wolf => self
                .sessions
                .iter()
                .find(|session| session.caller.address == address && session.state != State::Paused),
            Manner::Sunshine | Manner::SunshineV023 => {
                self.sessions.iter().find(|session| session.state == State::Waiting)
            }
        };
        session.map(|session| session.id)
    }

    /// Sessions that wait or stream.
    fn live(&self) -> usize {
        self.sessions.iter().filter(|session| session.state != State::Paused).count()
    }

    fn add(&mut self, app: AppId, caller: &Caller) -> HostSessionId {
        let id = HostSessionId(self.next);
        self.next = self.next.wrapping_add(1);
        self.sessions.push(Session { id, caller: caller.clone(), app, state: State::Waiting });
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gamestream::pairing::tests::document;

    fn caller(certificate: &str, last: u8) -> Caller {
        let certificate = Certificate::from_pem(certificate.as_bytes()).unwrap();
        Caller { certificate, address: [127, 0, 0, last].into() }
    }

    fn one() -> Caller {
        caller(document::CLIENT_CERTIFICATE, 1)
    }

    fn two() -> Caller {
        caller(document::HOST_CERTIFICATE, 2)
    }

    fn app() -> AppId {
        "7".parse().unwrap()
    }

    fn session(granted: Result<Granted, Refused>) -> HostSessionId {
        granted.unwrap().session.unwrap()
    }

    #[test]
    fn sunshine_has_one_app_which_anybody_resumes_and_anybody_ends() {
        let mut launches = Launches::new(Manner::Sunshine, None, false);
        assert_eq!(launches.resume(&one()), Err(Refused::NothingRuns));
        assert_eq!(launches.launch(app(), false, &one()), Err(Refused::UnknownApp));
        let first = session(launches.launch(app(), true, &one()));
        assert_eq!(launches.running(two().address, None), Some(app()));
        assert_eq!(launches.launch(app(), true, &two()), Err(Refused::Running));

        assert_eq!(launches.resume(&two()).unwrap().session, None, "forgotten while another waits");
        assert_eq!(launches.session_of(two().address), Some(first), "whoever connects");
        launches.connected(first);
        assert_eq!(launches.session_of(one().address), None);
        let second = session(launches.resume(&two()));
        assert_eq!(launches.session_of(one().address), Some(second));

        launches.ended(first);
        assert_eq!(launches.running(one().address, None), Some(app()), "it goes on");
        assert_eq!(launches.cancel(&one()), Ok(vec![second]));
        assert_eq!((launches.running(one().address, None), launches.cancel(&one())), (None, Ok(Vec::new())));
    }

    #[test]
    fn v023_has_one_session_and_ends_no_app_that_is_streamed() {
        let mut launches = Launches::new(Manner::SunshineV023, None, false);
        assert_eq!(launches.cancel(&one()), Ok(Vec::new()));
        let first = session(launches.launch(app(), true, &one()));
        for state in [State::Waiting, State::Connected] {
            assert_eq!(launches.sessions[0].state, state);
            assert_eq!(launches.launch(app(), true, &one()), Err(Refused::Limit));
            assert_eq!(launches.resume(&one()), Err(Refused::Limit));
            assert_eq!(launches.cancel(&one()), Err(Streaming));
            launches.connected(first);
        }
        launches.ended(first);
        assert_eq!(launches.launch(app(), true, &one()), Err(Refused::Running));
        let second = session(launches.resume(&one()));
        launches.ended(second);
        assert_eq!(launches.cancel(&one()), Ok(Vec::new()));
        assert_eq!(launches.running(one().address, None), None);
    }

    #[test]
    fn wolf_has_an_app_for_each_session_which_its_client_alone_resumes_and_ends() {
        let mut launches = Launches::new(Manner::Wolf, None, false);
        let nothing = Granted { session: None, ended: Vec::new() };
        assert_eq!(launches.resume(&one()), Ok(nothing.clone()));
        let first = session(launches.launch(app(), true, &one()));
        let other = session(launches.launch("8".parse().unwrap(), true, &two()));
        assert_eq!(launches.running(one().address, None), Some(app()));
        assert_eq!(launches.running([127, 0, 0, 3].into(), None), None);
        assert_eq!(launches.session_of(two().address), Some(other));

        launches.connected(first);
        launches.ended(first);
        assert_eq!(launches.running(one().address, None), Some(app()), "it is paused");
        assert_eq!(launches.session_of(one().address), None);
        let resumed = launches.resume(&one()).unwrap();
        assert_eq!(resumed.ended, [first]);
        assert_eq!(launches.session_of(one().address), resumed.session);
        assert_eq!(launches.cancel(&one()), Ok(vec![resumed.session.unwrap()]));
        assert_eq!(launches.running(two().address, None), Some("8".parse().unwrap()));
        assert_eq!(launches.resume(&one()), Ok(nothing));
    }

    #[test]
    fn later_wolfs_know_sessions_by_addresses_of_their_own_and_clients_by_their_certificates() {
        let mut launches = Launches::new(Manner::Wolf, None, true);
        let same_address = Caller { address: one().address, ..two() };
        let first = session(launches.launch(app(), true, &one()));
        let second = session(launches.launch("8".parse().unwrap(), true, &same_address));
        let running = |caller: Caller| launches.running(caller.address, Some(&caller.certificate));
        assert_eq!(running(one()), Some(app()));
        assert_eq!(running(same_address), Some("8".parse().unwrap()));
        for id in [first, second] {
            assert_eq!(launches.session_at(launches.address_of(id).unwrap()), Some(id));
        }
        launches.ended(first);
        assert_eq!(launches.session_at(launches.address_of(first).unwrap()), None);
        assert_eq!(Launches::new(Manner::Sunshine, None, true).address_of(first), None);
    }

    #[test]
    fn the_limit_that_was_set_counts_waiting_sessions_too() {
        let mut launches = Launches::new(Manner::Sunshine, Some(2), false);
        let first = session(launches.launch(app(), true, &one()));
        launches.connected(first);
        let second = session(launches.resume(&two()));
        assert_eq!(launches.resume(&two()), Err(Refused::Limit));
        launches.ended(second);
        assert!(launches.resume(&two()).is_ok());
    }
}
