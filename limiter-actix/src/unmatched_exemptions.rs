//! The warning about an exempt endpoint that no route of the application is: without it a
//! misspelt one looks like one that is yet to be called.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use actix_web::dev::ServiceRequest;

/// The patterns that were warned of. They come from configuration and code.
static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Warns, once a process, of each pattern that no route has. One with parameters may be
/// found: of it no path is known that would lead there.
pub(crate) fn warn_of_unmatched<'a>(
    request: &ServiceRequest,
    patterns: impl Iterator<Item = &'a str>,
) {
    let routes = request.resource_map();
    let is_route = |pattern: &str| {
        pattern.contains('{') || routes.match_pattern(pattern).is_some_and(|own| own == pattern)
    };
    for pattern in patterns.filter(|pattern| !is_route(pattern)) {
        // The set is whole after each change, so a poisoned lock is taken all the same.
        let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(pattern.to_owned()) {
            tracing::warn!(
                "exempt: this application has no route {pattern:?}, so that nothing is exempt by \
                 it; write the whole pattern of a route as its scopes and the route have it, such \
                 as \"/api/users/{{id}}\""
            );
        }
    }
}
