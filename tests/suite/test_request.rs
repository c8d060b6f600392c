//! Requests without a framework.

use std::{borrow::Cow, net::IpAddr};

use limiter_core::{Decision, Error, Limiter, RequestInfo};

/// The facts of a request, given by the test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) headers: Vec<(&'static str, Vec<u8>)>,
    pub(crate) user: Option<String>,
    pub(crate) endpoint: Option<&'static str>,
}

/// A request from that address, or from none if it is no address.
pub(crate) fn from(peer: &str) -> Facts {
    Facts { peer: peer.parse().ok(), ..Facts::default() }
}

impl Facts {
    pub(crate) fn with(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    pub(crate) fn user(self, user: &str) -> Self {
        Self { user: Some(user.to_owned()), ..self }
    }

    /// Checks it against a policy.
    pub(crate) async fn ask(&self, limiter: &Limiter, policy: &str) -> Result<Decision, Error> {
        let policy = limiter.policy(policy)?;
        match policy.resolve_subjects(self, None)? {
            Some(subjects) => policy.check(&subjects, 1).await,
            None => Ok(Decision::uncounted()),
        }
    }

    /// How many of so many such requests are admitted.
    pub(crate) async fn admitted(&self, limiter: &Limiter, policy: &str, times: u32) -> u32 {
        let mut admitted = 0;
        for _ in 0..times {
            let decision = self.ask(limiter, policy).await.expect("the request is decided");
            admitted += u32::from(decision.is_allowed());
        }
        admitted
    }
}

impl RequestInfo for Facts {
    fn method(&self) -> &str {
        "GET"
    }

    fn peer_address(&self) -> Option<IpAddr> {
        self.peer
    }

    fn header_lines(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.headers.iter().filter(|(own, _)| *own == name);
        lines.map(|(_, value)| value.as_slice()).collect()
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(Cow::Borrowed)
    }

    fn endpoint(&self) -> Option<Cow<'_, str>> {
        self.endpoint.map(Cow::Borrowed)
    }
}
