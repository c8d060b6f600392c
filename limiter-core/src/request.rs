//! The facts that adapters extract from a request: [`RequestInfo`].

mod preflight;

use std::{borrow::Cow, net::IpAddr};

pub(crate) use self::preflight::is_preflight;

use crate::{check::Subject, short_list::ShortList};

/// The subjects that the policies of a set count, in the set's order.
pub type Subjects = ShortList<Subject>;

/// Facts of a request, as a framework's adapter extracts them. It holds no
/// rule: nothing here is resolved, believed or normalised.
pub trait RequestInfo {
    /// The method, in upper case.
    fn method(&self) -> &str;

    /// The address of the connection's other end, if it has one; never one
    /// taken from a header.
    fn peer_address(&self) -> Option<IpAddr>;

    /// The values of every line of that header, in order.
    fn header_lines(&self, name: &str) -> Vec<&[u8]>;

    /// The user whom the application's authentication has found.
    fn user(&self) -> Option<Cow<'_, str>>;

    /// The pattern of the route that was matched, if one was.
    fn endpoint(&self) -> Option<Cow<'_, str>>;

    /// The pattern of the route that the path leads to as it was sent. It alone
    /// exempts a request. Defaults to [`endpoint`](Self::endpoint), which an adapter
    /// may also find by what a middleware further in makes of the path.
    fn exact_endpoint(&self) -> Option<Cow<'_, str>> {
        self.endpoint()
    }
}
