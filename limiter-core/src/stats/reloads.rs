//! The numbers of reloads: [`ReloadStats`].

use serde::Serialize;

use crate::time::Timestamp;

/// The outcomes of configurations that were read while the limiter ran.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ReloadStats {
    /// Configurations that were put into force.
    pub applied: u64,
    /// Configurations that were refused. One that is read again counts once.
    pub refused: u64,
    /// The instant since when the configuration that was read last is not the one in
    /// force; `None` if it is.
    pub refused_since: Option<Timestamp>,
    /// The reason why it is not.
    pub refusal: Option<String>,
}
